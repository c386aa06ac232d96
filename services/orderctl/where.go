package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"orderflow/pkg/cause"
)

type orderView struct {
	OrderKey       string     `json:"order_key"`
	State          string     `json:"state"`
	Revision       int64      `json:"revision"`
	Total          *string    `json:"total"`
	Currency       string     `json:"currency"`
	DeliveredTotal *string    `json:"delivered_total"`
	Steps          []stepView `json:"steps"`
	EarlierLeftOut bool       `json:"earlier_steps_left_out"`
}

func whereCommand() *cobra.Command {
	return withConsole(&cobra.Command{
		Use:   "where NUMBER",
		Short: "say where an order is, and everything that happened to it",
		Long: `where finds orders by any number: order key, ali_order_no, okki_order_no, trade_no, Fenbeitong order_id, supplier_order_id,
mall Code, or the receipt of a push. It prints the state and the timeline of each, oldest step first. The numbers of every push
count, those of earlier and of refused ones too. A receipt is answered from the first moment on, also while every worker is
down; without CONSOLE_USER, it is all that can be asked by.

Each step names the revision that it is about: every push of an order is one, and a later push has a greater one.

The exit status is 1 when there is no such order.`,
		Example: "  orderctl where P90001\n  orderctl where mall:HQS0001:R100",
		Args:    cobra.ExactArgs(1),
	}, where)
}

func where(ctx context.Context, c *console, args []string) error {
	if c.cfg.User == "" {
		return c.whereReceipt(ctx, args[0])
	}
	found, more, err := listParts[orderView](ctx, c, "/api/orders", url.Values{"number": {args[0]}}, mostFound, 0)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return c.whereNothing(ctx, args[0])
	}
	for i, o := range found {
		if c.raw {
			break
		}
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		c.printOrder(o)
	}
	if more && !c.raw {
		fmt.Fprintf(c.out, "\nand more: over %d orders have this number; ask by an order key, which only one has\n", len(found))
	}
	return nil
}

// mostFound is how many orders are shown by one number.
const mostFound = 1000

// whereNothing says what it means that no order was found: the number may be the receipt of a push without one.
func (c *console) whereNothing(ctx context.Context, number string) error {
	if c.raw {
		return errRefused
	}
	var refused *apiError
	switch err := c.whereReceipt(ctx, number); {
	case errors.As(err, &refused) && refused.code == "not_found":
	default:
		return err
	}
	fmt.Fprintln(c.out, `no order has this number
  meaning: nothing with it has come as far as PostgreSQL: it was never pushed, was refused at the door, or was pushed a moment
           ago. If it is a receipt, it was cut or altered, or its key is no longer in the console's RECEIPT_KEYS
  next:    see that the number is whole and of this system; ask by the push's receipt (the header Orderflow-Receipt), which
           is known from the first moment on; orderctl quarantine ls lists what was refused at the door`)
	return errRefused
}

// whereReceipt asks as a sender does, whose receipt is its key.
func (c *console) whereReceipt(ctx context.Context, receipt string) error {
	var answer struct {
		Source      string    `json:"source"`
		ReceivedAt  time.Time `json:"received_at"`
		Quarantined bool      `json:"quarantined"`
		Orders      []struct {
			OrderKey string `json:"order_key"`
			State    string `json:"state"`
			Code     string `json:"code"`
		} `json:"orders"`
	}
	err := c.ask(ctx, http.MethodGet, "/receipts/"+url.PathEscape(receipt), nil, nil, &answer)
	if err != nil && c.cfg.User == "" {
		return fmt.Errorf("%w\n  CONSOLE_USER is not set: without a login, an order is found by the receipt of its push only", err)
	}
	if err != nil || c.raw {
		return err
	}
	printf(c.out, "a push of %s, received %s\n", answer.Source, stamp(answer.ReceivedAt))
	if answer.Quarantined {
		fmt.Fprintln(c.out, `  meaning: it was no readable order and lies in quarantine: nothing more will happen to it
  next:    the sender pushes it again, mended; orderctl quarantine ls shows what was wrong with it`)
	}
	for _, o := range answer.Orders {
		line := o.OrderKey
		if line == "" {
			line = "its order is not known any more: the record left Kafka, and PostgreSQL does not hold it"
		}
		if o.Code != "" {
			line += "  " + o.Code
		}
		printf(c.out, "  %-10s %s\n", o.State, line)
		if text, known := cause.Of(cause.English, o.Code); known {
			printf(c.out, "    meaning: %s %s\n    next:    %s\n", text.Happened, text.Means, text.Next)
		}
	}
	return nil
}

// stateMeanings say what an order's state means to somebody who waits for it.
var stateMeanings = map[string]string{
	"received":   "it is safe in Kafka; no worker has looked at it yet",
	"validated":  "it keeps the rules of its contract and is on its way to its partner",
	"delivered":  "its partner has it",
	"persisted":  "it is stored; orders of this source go to no partner",
	"superseded": "a newer push of the same order went out in its place",
	"parked":     "it failed and waits for somebody: nothing more happens to it by itself",
	"discarded":  "a person gave it up: nothing more happens to it",
}

func (c *console) printOrder(o orderView) {
	printf(c.out, "%s  %s", o.OrderKey, o.State)
	if o.Total != nil {
		printf(c.out, "  %s", *o.Total)
		if o.Currency != "" {
			printf(c.out, " %s", o.Currency)
		}
	}
	if o.DeliveredTotal != nil {
		printf(c.out, "  (delivered %s)", *o.DeliveredTotal)
	}
	fmt.Fprintln(c.out)
	if meaning, known := stateMeanings[o.State]; known {
		printf(c.out, "  meaning: %s\n", meaning)
	}
	if s, ok := o.openLetter(); ok {
		if s.Revision > o.Revision || o.State != "parked" && s.Revision == o.Revision {
			printf(c.out, "  but:     the push of revision %d failed (%s): what is said above is about revision %d\n", s.Revision, s.Code, o.Revision)
		}
		printf(c.out, "  next:    orderctl dlq show %d says what is wrong; a corrected push of the sender supersedes it\n", s.Letter)
	}
	if o.EarlierLeftOut {
		fmt.Fprintln(c.out, "  earlier steps are left out: there are too many")
	}
	t := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "  AT\tREVISION\tSTEP\tBY\tWHAT")
	for _, s := range o.Steps {
		printf(t, "  %s\t%d\t%s\t%s\t%s\n", stamp(s.At), s.Revision, s.Step, s.Service, s.what())
	}
	_ = t.Flush()
}

// openLetter is the newest step about a letter that waits for somebody, unless a later revision went through.
func (o *orderView) openLetter() (found stepView, ok bool) {
	for _, s := range o.Steps {
		live := s.LetterState == "open" || s.LetterState == "failed_again"
		failed := s.Step == "refused" || s.Step == "dead_lettered"
		if live && failed && s.Revision >= o.Revision && (!ok || s.Revision >= found.Revision) {
			found, ok = s, true
		}
	}
	return found, ok
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Local().Format("2006-01-02 15:04:05.000")
}
