package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

func privacyExportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export ORDER --by NAME --reason TEXT",
		Short: "write down all personal data held about an order, for the person it is about (PIPL Art. 45)",
		Long: `export writes everything that PostgreSQL holds of an order and that points at a person, in clear, as one JSON document: the
personal columns, the pseudonyms, the payload as it was normalised, the records and headers of its letters, and what the
ledger keeps of a call in doubt. ORDER is the key, or a number that only one order has.

The document goes to standard output, or with --out to a new file that only you can read. Hand it over by a safe way and
remove it: orderflow keeps no copy. Further copies of the same data lie in Kafka for 14 days and up to one more.` + settingsHelp(&privacySettings{}),
		Args: cobra.ExactArgs(1),
	}
	who := personFlags(cmd, true)
	path := cmd.Flags().String("out", "", "new file to write to, mode 0600; an existing one is never overwritten")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := who.check(true); err != nil {
			return err
		}
		ctx := cmd.Context()
		db, keys, err := openPrivacy(ctx)
		if err != nil {
			return err
		}
		defer db.Close()
		key, err := findOrder(ctx, db, args[0])
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		if *path == "" {
			return writeCopy(ctx, out, cmd.ErrOrStderr(), db, keys, key, who)
		}
		file, err := os.OpenFile(*path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("--out: %w", err)
		}
		err = errors.Join(writeCopy(ctx, file, cmd.ErrOrStderr(), db, keys, key, who), file.Close())
		if err == nil {
			fmt.Fprintf(out, "written to %s\n", *path)
		}
		return err
	}
	return cmd
}

// heldOrder is what is held of the order itself.
type heldOrder struct {
	OrderKey   order.Key       `json:"order_key"`
	Source     order.Source    `json:"source"`
	OrderNo    string          `json:"order_no"`
	State      store.State     `json:"state"`
	Total      string          `json:"total"`
	Currency   string          `json:"currency"`
	PlacedAt   time.Time       `json:"placed_at,omitzero"`
	ReceivedAt time.Time       `json:"received_at"`
	ErasedAt   time.Time       `json:"erased_at,omitzero"`
	Personal   *order.Personal `json:"personal"`
	Pseudonyms pseudonyms      `json:"pseudonyms"`
	Payload    any             `json:"payload"`
	Unreadable bool            `json:"unreadable,omitempty"`
}

type pseudonyms struct {
	Buyer   string `json:"buyer,omitzero"`
	Phone   string `json:"phone,omitzero"`
	Company string `json:"company,omitzero"`
}

// heldRecord is a letter's record, or a request in doubt.
type heldRecord struct {
	Letter     int64             `json:"letter,omitzero"`
	Partner    string            `json:"partner,omitzero"`
	Service    string            `json:"service,omitzero"`
	Code       string            `json:"code,omitzero"`
	State      store.LetterState `json:"state,omitzero"`
	Revision   order.Revision    `json:"revision"`
	FailedAt   time.Time         `json:"failed_at,omitzero"`
	Payload    any               `json:"payload"`
	Headers    []heldHeader      `json:"headers,omitzero"`
	Gone       bool              `json:"gone,omitempty"`
	Unreadable bool              `json:"unreadable,omitempty"`
}

type heldHeader struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// held is content as it is best read: JSON as it stands, else text, else bytes in base64.
func held(content []byte) any {
	switch {
	case content == nil:
		return nil
	case utf8.Valid(content) && json.Valid(content):
		return json.RawMessage(content)
	default:
		return heldText(content)
	}
}

func heldText(content []byte) any {
	if utf8.Valid(content) {
		return string(content)
	}
	return map[string][]byte{"base64": content}
}

func heldHeaders(headers []event.Header) []heldHeader {
	var all []heldHeader
	for _, h := range headers {
		all = append(all, heldHeader{h.Key, heldText(h.Value)})
	}
	return all
}

// writeCopy writes one document, record by record: an order may have any number of letters.
func writeCopy(ctx context.Context, out, warn io.Writer, db *store.Store, keys *privacy.Keys, key order.Key, who *person) error {
	entry := store.AuditEntry{Who: who.by, Action: "export", Object: "order " + string(key), Reason: who.reason}
	if err := db.AddAudit(ctx, entry); err != nil {
		return err
	}
	e := &personalCopy{buffer: bufio.NewWriter(out), keys: keys, db: db, key: key}
	e.text(`{"exported_at":`).value(time.Now().UTC()).text(`,"order":`)
	err := e.order(ctx)
	if err == nil {
		e.text(`,"letters":[`)
		err = e.letters(ctx)
	}
	if err == nil {
		e.text(`],"requests":[`)
		err = e.requests(ctx)
	}
	if err := errors.Join(err, e.err); err != nil {
		return fmt.Errorf("export: the document is not complete: %w", err)
	}
	e.text("]}\n")
	if err := e.buffer.Flush(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if e.unreadable > 0 {
		fmt.Fprintf(warn, "%d values cannot be opened and are marked as unreadable: their key is not in PAYLOAD_KEYS, or they are damaged\n", e.unreadable)
		return errRefused
	}
	return nil
}

type personalCopy struct {
	buffer     *bufio.Writer
	keys       *privacy.Keys
	db         *store.Store
	key        order.Key
	unreadable int
	err        error // of writing
}

func (e *personalCopy) text(text string) *personalCopy {
	_, err := e.buffer.WriteString(text)
	e.err = errors.Join(e.err, err)
	return e
}

func (e *personalCopy) value(v any) *personalCopy {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = e.buffer.WriteString(printableLines(string(text)))
	}
	e.err = errors.Join(e.err, err)
	return e
}

func (e *personalCopy) order(ctx context.Context) error {
	view, err := e.db.Order(ctx, e.key)
	if err != nil {
		return err
	}
	open, err := e.db.ClearOrder(ctx, e.keys, e.key)
	if err != nil {
		return err
	}
	e.value(heldOrder{
		OrderKey: view.Key, Source: view.Source, OrderNo: view.OrderNo, State: view.State, Total: view.Total, Currency: view.Currency,
		PlacedAt: view.PlacedAt.UTC(), ReceivedAt: view.ReceivedAt.UTC(), ErasedAt: open.ErasedAt.UTC(), Personal: open.Personal,
		Pseudonyms: pseudonyms{open.Pseudonyms[0], open.Pseudonyms[1], open.Pseudonyms[2]}, Payload: held(open.Document), Unreadable: e.bad(open.Err),
	})
	return nil
}

func (e *personalCopy) letters(ctx context.Context) error {
	for after := int64(0); e.err == nil; {
		l, err := e.db.NextClearLetter(ctx, e.keys, e.key, after)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if after > 0 {
			e.text(",")
		}
		after = l.ID
		e.value(heldRecord{
			Letter: l.ID, Service: l.Service, Code: l.Code, State: l.State, Revision: l.Revision, FailedAt: l.FailedAt.UTC(), Payload: held(l.Payload),
			Headers: heldHeaders(l.Headers), Gone: errors.Is(l.Err, store.ErrGone), Unreadable: e.bad(l.Err),
		})
	}
	return nil
}

func (e *personalCopy) requests(ctx context.Context) error {
	requests, err := e.db.ClearRequests(ctx, e.keys, e.key)
	for i, r := range requests {
		if i > 0 {
			e.text(",")
		}
		e.value(heldRecord{Partner: r.Partner, Revision: r.Revision, Payload: held(r.Body), Unreadable: e.bad(r.Err)})
	}
	return err
}

// bad counts what cannot be opened.
func (e *personalCopy) bad(err error) bool {
	if err == nil || errors.Is(err, store.ErrGone) {
		return false
	}
	e.unreadable++
	return true
}
