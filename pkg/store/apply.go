package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// Writer writes what is known about orders: the write path of persist, and the operators' decisions. Personal data is
// encrypted on the way.
type Writer struct {
	store *Store
	keys  *privacy.Keys
	now   func() time.Time
}

// NewWriter makes a writer that encrypts with keys.
func NewWriter(s *Store, keys *privacy.Keys) *Writer { return &Writer{s, keys, time.Now} }

// maxRedo bounds how often a batch is done again because another process wrote one of its orders in between.
const maxRedo = 8

// Apply writes a batch of facts in one transaction, and returns one error each, nil where the fact is stored. Applying a
// fact again changes nothing, and facts of different topics may come in any order. When a fact's own data cannot be stored
// (Classify: RowData) only that fact fails: the batch is halved until it stands alone. An outage fails all that is left.
func (w *Writer) Apply(ctx context.Context, facts []Fact) []error {
	errs := make([]error, len(facts))
	all := make([]int, len(facts))
	for i := range facts {
		all[i] = i
	}
	// Facts about one order stay together and in their order when the batch is halved.
	slices.SortStableFunc(all, func(a, b int) int { return cmp.Compare(facts[a].Meta.OrderKey, facts[b].Meta.OrderKey) })
	w.halve(ctx, facts, all, errs)
	return errs
}

func (w *Writer) halve(ctx context.Context, facts []Fact, part []int, errs []error) {
	if len(part) == 0 {
		return
	}
	chosen := make([]*Fact, len(part))
	for i, n := range part {
		chosen[i] = &facts[n]
	}
	err := w.applyAll(ctx, chosen)
	if err == nil {
		return
	}
	if len(part) == 1 || Classify(err) != RowData {
		for _, n := range part {
			errs[n] = err
		}
		return
	}
	w.halve(ctx, facts, part[:len(part)/2], errs)
	w.halve(ctx, facts, part[len(part)/2:], errs)
}

// applyAll writes the facts, all or none.
func (w *Writer) applyAll(ctx context.Context, facts []*Fact) error {
	content, err := w.store.ContentKey(ctx, w.keys)
	if err != nil {
		return fmt.Errorf("apply facts: %w", err)
	}
	facts = keyedFacts(content, facts)
	for range maxRedo {
		err = pgx.BeginFunc(ctx, w.store.pool, func(tx pgx.Tx) error { return w.applyIn(ctx, tx, content, facts) })
		if !errors.Is(err, errConflict) && !serialization(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("apply facts: %w", err)
	}
	return nil
}

// applyIn writes the facts. Content is nil where they bring no digest: then those of the rows stay as they are.
func (w *Writer) applyIn(ctx context.Context, tx pgx.Tx, content *privacy.ContentKey, facts []*Fact) error {
	accounts, err := load(ctx, tx, facts)
	if err != nil {
		return err
	}
	if content != nil {
		for _, a := range accounts {
			a.keyDigests(content)
		}
	}
	now := w.now()
	for _, f := range facts {
		accounts[f.Meta.OrderKey].apply(f, now)
	}
	sorted := make([]*account, 0, len(accounts))
	for _, a := range accounts {
		a.settle()
		sorted = append(sorted, a)
	}
	slices.SortFunc(sorted, func(a, b *account) int { return cmp.Compare(a.order.key, b.order.key) })
	return write(ctx, tx, w.keys, sorted)
}

// ErrSettled says that a letter is fixed, superseded or discarded already, or that there is none of that number.
var ErrSettled = errors.New("no such letter, or it is settled")

// Discard gives a letter up in the name of a person, and says so in the audit.
func (w *Writer) Discard(ctx context.Context, letterID int64, by, reason string) error {
	d := &Discard{LetterID: letterID, By: by, Reason: reason, At: w.now()}
	err := pgx.BeginFunc(ctx, w.store.pool, func(tx pgx.Tx) error { return w.discardIn(ctx, tx, d) })
	if err != nil {
		return fmt.Errorf("discard letter %d: %w", letterID, err)
	}
	return nil
}

func (w *Writer) discardIn(ctx context.Context, tx pgx.Tx, d *Discard) error {
	var key order.Key
	var revision *int64
	err := tx.QueryRow(ctx, `select order_key, revision from dead_letters where id = $1`, d.LetterID).Scan(&key, &revision)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrSettled
	}
	if err != nil {
		return err
	}
	// The order is locked before the letter, as by every writer.
	if _, err := tx.Exec(ctx, `select from orders where order_key = $1 for update`, key); err != nil {
		return err
	}
	tag, err := tx.Exec(ctx, `update dead_letters set discarded_at = $2, discarded_by = $3, discard_reason = $4, updated_at = now(),
		state = 'discarded' where id = $1 and state not in ('fixed', 'superseded', 'discarded')`, d.LetterID, d.At, d.By, d.Reason)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return ErrSettled
	}
	_, err = tx.Exec(ctx, `insert into audit (who, action, object, reason) values ($1, 'discard', $2, $3)`,
		d.By, "letter "+strconv.FormatInt(d.LetterID, 10), d.Reason)
	if err != nil || revision == nil {
		return err
	}
	meta := event.Meta{OrderKey: key, Revision: order.Revision(*revision)}
	return w.applyIn(ctx, tx, nil, []*Fact{{Meta: meta, Service: serviceConsole, Discard: d}})
}
