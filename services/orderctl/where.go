package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

type orderView struct {
	OrderKey       string  `json:"order_key"`
	State          string  `json:"state"`
	Revision       int64   `json:"revision"`
	Total          *string `json:"total"`
	Currency       string  `json:"currency"`
	DeliveredTotal *string `json:"delivered_total"`
	Steps          []struct {
		At        time.Time `json:"at"`
		Step      string    `json:"step"`
		Service   string    `json:"service"`
		Code      string    `json:"code"`
		Detail    string    `json:"detail"`
		Revision  int64     `json:"revision"`
		Topic     string    `json:"topic"`
		Partition int32     `json:"partition"`
		Offset    int64     `json:"offset"`
	} `json:"steps"`
}

func whereCommand() *cobra.Command {
	return withConsole(&cobra.Command{
		Use:   "where NUMBER",
		Short: "say where an order is, and everything that happened to it",
		Long: `where finds orders by any number: order key, ali_order_no, okki_order_no, trade_no, Fenbeitong order_id, supplier_order_id,
mall Code, or the receipt of a push. It prints the state and the timeline of each, oldest step first. A receipt is answered
from the first moment on, also while every worker is down; without CONSOLE_USER, it is all that can be asked by.

The exit status is 1 when there is no such order.`,
		Example: "  orderctl where P90001\n  orderctl where mall:HQS0001:R100",
		Args:    cobra.ExactArgs(1),
	}, where)
}

func where(ctx context.Context, c *console, args []string) error {
	if c.cfg.User == "" {
		return c.whereReceipt(ctx, args[0])
	}
	var found struct {
		Items []orderView `json:"items"`
	}
	if err := c.ask(ctx, http.MethodGet, "/api/orders", url.Values{"number": {args[0]}}, nil, &found); err != nil {
		return err
	}
	if len(found.Items) == 0 && !c.raw {
		fmt.Fprintln(c.out, `no order has this number
  meaning: nothing with it has come as far as PostgreSQL: it was never pushed, was refused at the door, or was pushed a moment ago
  next:    ask by the push's receipt (the header Orderflow-Receipt), which is known from the first moment on`)
	}
	if len(found.Items) == 0 {
		return errRefused
	}
	for _, o := range found.Items {
		if !c.raw {
			c.printOrder(o)
		}
	}
	return nil
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
		} `json:"orders"`
	}
	err := c.ask(ctx, http.MethodGet, "/receipts/"+url.PathEscape(receipt), nil, nil, &answer)
	if err != nil {
		return fmt.Errorf("%w\n  CONSOLE_USER is not set: without a login, an order is found by the receipt of its push only", err)
	}
	if c.raw {
		return nil
	}
	fmt.Fprintf(c.out, "a push of %s, received %s\n", answer.Source, stamp(answer.ReceivedAt))
	if answer.Quarantined {
		fmt.Fprintln(c.out, "it was no readable order and lies in quarantine: push it again, mended")
	}
	for _, o := range answer.Orders {
		fmt.Fprintf(c.out, "  %-10s %s\n", o.State, o.OrderKey)
	}
	return nil
}

func (c *console) printOrder(o orderView) {
	fmt.Fprintf(c.out, "%s  %s", o.OrderKey, o.State)
	if o.Total != nil {
		fmt.Fprintf(c.out, "  %s %s", *o.Total, o.Currency)
	}
	if o.DeliveredTotal != nil {
		fmt.Fprintf(c.out, "  (delivered %s)", *o.DeliveredTotal)
	}
	fmt.Fprintln(c.out)
	t := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	for _, s := range o.Steps {
		place := ""
		if s.Topic != "" {
			place = fmt.Sprintf("%s/%d/%d", s.Topic, s.Partition, s.Offset)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", stamp(s.At), s.Step, s.Service, s.Code, s.Detail, place)
	}
	_ = t.Flush()
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Local().Format("2006-01-02 15:04:05.000")
}
