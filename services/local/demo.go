package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/receipt"
	"orderflow/pkg/sender"
	"orderflow/pkg/store"
)

const (
	demoWithin = time.Minute
	demoEvery  = 50 * time.Millisecond
)

// sent is one order of the demo: where its record stands, and what became of it.
type sent struct {
	example example
	place   store.Place
	at      time.Time
	took    time.Duration // until its end state was seen; 0: not yet
	fate    store.Fate
}

// demo pushes the examples as the real senders would, waits for what becomes of each order, and prints it as a table.
func (s *stack) demo(ctx context.Context) error {
	db, err := store.Open(ctx, s.env.value("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close()
	keys, err := receipt.ParseKeys(s.env.value("RECEIPT_KEYS"))
	if err != nil {
		return err
	}
	examples, err := demoExamples(time.Now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, demoWithin)
	defer cancel()
	orders, refusals := s.pushAll(ctx, examples, keys)
	err = await(ctx, db, orders)
	s.console.print(table(orders) + refusals)
	return err
}

// pushAll sends every example and reads from the receipts where the records stand. What was refused is told in words.
func (s *stack) pushAll(ctx context.Context, examples []example, keys receipt.Keys) (orders []*sent, refusals string) {
	to := sender.New(s.env["INGEST_URL"], sender.Secrets{
		ICBU: s.env.value("ICBU_SECRETS"), Procurement: s.env.value("PROCUREMENT_TOKENS"), Mall: s.env.value("MALL_APPS"),
	})
	refuse := func(e example, why string) { refusals += fmt.Sprintf("  not accepted: %s: %s\n", e.path, why) }
	for _, e := range examples {
		at := time.Now()
		answer, err := to.Send(ctx, sender.Push{Source: e.source, Body: e.body})
		if err != nil {
			refuse(e, err.Error())
			continue
		}
		if !answer.Accepted {
			refuse(e, fmt.Sprintf("HTTP %d, code %s: %s", answer.Status, answer.Code, answer.Text))
			continue
		}
		r, err := receipt.Parse(keys, answer.Receipt)
		if err != nil {
			refuse(e, "its receipt: "+err.Error())
			continue
		}
		for _, record := range r.Records {
			orders = append(orders, &sent{example: e, place: store.Place{Partition: record.Partition, Offset: record.Offset}, at: at})
		}
	}
	return orders, refusals
}

// await looks at PostgreSQL until every order has come to an end.
func await(ctx context.Context, db *store.Store, orders []*sent) error {
	for {
		open := 0
		var failed error
		for _, source := range order.Sources {
			n, err := look(ctx, db, source, orders)
			open += n
			failed = errors.Join(failed, err)
		}
		if open == 0 {
			return nil
		}
		if !pause(ctx, demoEvery) {
			return errors.Join(fmt.Errorf("%d orders had no end within %v", open, demoWithin), failed)
		}
	}
}

// look asks for the orders of one source that have not ended, and returns how many those still are.
func look(ctx context.Context, db *store.Store, source order.Source, orders []*sent) (int, error) {
	var open []*sent
	var places []store.Place
	for _, o := range orders {
		if o.example.source == source && o.took == 0 {
			open, places = append(open, o), append(places, o.place)
		}
	}
	if len(open) == 0 {
		return 0, nil
	}
	fates, err := db.Fates(ctx, source, bus.Generation(event.Received(source)), places)
	if err != nil {
		return len(open), err
	}
	left := 0
	for _, o := range open {
		o.fate = fates[o.place]
		if o.fate.State == "" {
			left++
			continue
		}
		o.took = max(time.Since(o.at), time.Millisecond)
	}
	return left, nil
}

// table shows the demo's orders.
func table(orders []*sent) string {
	var b bytes.Buffer
	b.WriteString("\n")
	t := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "  SOURCE\tEXAMPLE\tORDER\tSTATE\tTOTAL\tTIME")
	for _, o := range orders {
		state, took, total := o.fate.State, o.took.Round(time.Millisecond).String(), o.fate.Total
		if state == "" {
			state, took = "under way", "-"
		}
		if o.fate.Code != "" {
			state += " (" + o.fate.Code + ")"
		}
		if total == "" {
			total = "-"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", o.example.source, o.example.name, o.fate.OrderKey, state, total, took)
	}
	_ = t.Flush()
	return b.String()
}
