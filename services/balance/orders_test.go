package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// Every way in which the row of an order, or its lines, can be other than what was published: one check finds and names it.
func TestOrdersAreHeldAgainstTheirRecords(t *testing.T) {
	at := noon.Add(10 * time.Minute)
	cases := []struct {
		name string
		sql  string // $1 is the order's key
		want store.Fault
	}{
		{"a row is deleted", `delete from orders where order_key = $1`, store.NoOrder},
		{"a total is changed", `update orders set total = total + 0.01 where order_key = $1`, store.AmountsDiffer},
		{"a total is removed", `update orders set total = null where order_key = $1`, store.AmountsDiffer},
		{"a paid amount is changed", `update orders set paid = 10.00000001 where order_key = $1`, store.AmountsDiffer},
		{"a discount is there", `update orders set discount = 0 where order_key = $1`, store.AmountsDiffer},
		{"a list price is there", `update orders set list_price = 1 where order_key = $1`, store.AmountsDiffer},
		{"the currency is another", `update orders set currency = 'USD' where order_key = $1`, store.AmountsDiffer},
		{"the lines are deleted", `delete from order_lines where order_key = $1`, store.LinesDiffer},
		{"a line is deleted", `delete from order_lines where order_key = $1 and line_no = 2`, store.LinesDiffer},
		{"a line is doubled", `insert into order_lines select order_key, 3, line_id, product, name, quantity, unit_price, list_price, discount, amount
			from order_lines where order_key = $1 and line_no = 2`, store.LinesDiffer},
		{"a line has another quantity", `update order_lines set quantity = 3 where order_key = $1 and line_no = 1`, store.LinesDiffer},
		{"two lines change their amounts", `update order_lines set amount = 10.05 - amount where order_key = $1`, store.LinesDiffer},
		{"a row claims that nothing passed", `update orders set validated = false where order_key = $1`, store.OldOrder},
		{"a row claims a revision that never was", `update orders set revision = revision + 1000 where order_key = $1`, store.StrayOrder},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := openHouse(t)
			h.now = at.Add(time.Minute)
			h.run(whole, h.push(order.Mall, at, "1")...)
			bad := h.push(order.Mall, at, "2")[0]
			h.run(whole, bad)
			h.run(whole, h.push(order.Mall, at, "3")...)
			h.check()
			h.named()
			h.exec(c.sql, bad.Key)
			h.check()
			h.want(order.Mall, at, "open received 3 ended 3 open 0 missing 0 faults 1")
			if c.want == store.StrayOrder {
				bad.Partition, bad.Offset = store.NoPartition, bad.Offset+1000
			}
			h.named(place(c.want, bad))
		})
	}
}

// Zeros behind the point, and all that retention and erasure take, are no difference.
func TestWhatAmountsToTheSameIsNoDifference(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(10 * time.Minute)
	h.now = at.Add(time.Minute)
	pushed := h.push(order.Mall, at, "1", "2")
	h.run(whole, pushed...)
	h.exec(`update orders set total = 10.0500000, payload = null, personal = null where true`)
	h.exec(`update order_lines set amount = amount + 0.00000000 where true`)
	if _, err := h.db.Erase(t.Context(), order.Key(pushed[0].Key), "somebody", "a request"); err != nil {
		t.Fatal(err)
	}
	h.check()
	h.named()
}

// The row of an order is held against the record of its newest revision, in the hour of that; the hours of the older ones are
// content that it is there.
func TestANewerRevisionAnswersForTheOlder(t *testing.T) {
	h := openHouse(t)
	older, newer := noon.Add(-time.Minute), noon.Add(5*time.Minute)
	first := h.push(order.Mall, older, "1")[0]
	h.run(whole, first)
	second := h.push(order.Mall, newer, "1")[0]
	h.run(whole, second)
	h.run(refusal, h.push(order.Mall, newer, "1")[0]) // leaves the accepted one as it is
	h.now = newer.Add(time.Minute)
	h.check()
	h.named()
	h.exec(`update orders set total = 9 where true`)
	h.check()
	h.named(place(store.AmountsDiffer, second))
	h.want(order.Mall, older, "closed received 1 ended 1 open 0 missing 0 faults 0")
	h.exec(`update orders set total = 10.05, revision = $1 where true`, int64(order.NewRevision(1, first.Offset)))
	h.check()
	h.named(place(store.OldOrder, second))
	h.exec(`delete from orders where true`)
	h.check()
	third := second
	third.Offset++
	h.named(place(store.NoOrder, first), place(store.NoOrder, second), place(store.NoOrder, third))
}

// An order that no record brought is found in the hour that it claims.
func TestAnOrderOfNobodyIsFound(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(10 * time.Minute)
	h.now = at.Add(time.Minute)
	h.run(whole, h.push(order.Mall, at, "1")...)
	h.exec(`insert into orders select 'mall:S:X', source, order_no, numbers, original_no, revision + 7, validated, state, kind, shop, channel, status, currency, total,
		paid, discount, list_price, delivered_revision, delivered_total, delivered_digest, content_digest, content_revision, document_revision, buyer_pseudonym,
		phone_pseudonym, company_pseudonym, personal, payload, warnings, placed_at, paid_at, received_at, updated_at, version from orders`)
	h.check()
	h.named(place(store.StrayOrder, event.Message{Partition: store.NoPartition, Offset: 7, Key: "mall:S:X"}))
	h.want(order.Mall, at, "open received 1 ended 1 open 0 missing 0 faults 1")
}

// While persist has not come to a record, its order is under way and not missing.
func TestAnOrderThatPersistHasNotReachedIsNotMissing(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(10 * time.Minute)
	h.now = at.Add(time.Minute)
	m := h.push(order.Procurement, at, "1")[0]
	h.transact(true, h.made(whole, m)...)
	h.commit("validate")
	for range 3 {
		h.check()
	}
	h.want(order.Procurement, at, "open received 1 ended 0 open 1 missing 0 faults 0")
	h.named()
	h.store(whole, m)
	h.check()
	h.named()
}

// What a person accepts no longer keeps its hour from being complete, and is told beside the figures. Another difference at
// another place is a fault as before.
func TestAnAcceptedDifferenceClosesItsHour(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(-10 * time.Minute)
	h.run(whole, h.push(order.Mall, at, "1")...)
	twice := h.push(order.Mall, at, "2")[0]
	h.run(recordTwice, twice)
	lost := h.push(order.Mall, at, "3")[0]
	h.run(whole, lost)
	h.exec(`delete from received where partition = $1 and "offset" = $2`, lost.Partition, lost.Offset)
	h.now = noon.Add(3 * time.Minute)
	h.check()
	h.want(order.Mall, at, "frozen received 3 ended 2 open 0 missing 1 faults 2")
	accept := func(m event.Message) []store.AcceptedFault {
		t.Helper()
		accepted, err := h.db.AcceptFaults(t.Context(), order.Mall, m.Partition, m.Offset, "vera", "Kafka cannot take it back")
		if err != nil {
			t.Fatal(err)
		}
		return accepted
	}
	if got := accept(twice); len(got) != 1 || got[0].Fault != store.PublishedTwice || string(got[0].OrderKey) != twice.Key || !got[0].Hour.Equal(hourOf(at)) {
		t.Errorf("accepted %+v", got)
	}
	h.check()
	h.want(order.Mall, at, "frozen received 3 ended 2 open 0 missing 1 faults 1")
	h.named(place(store.NoRow, lost), place(store.PublishedTwice, twice))
	accept(lost)
	for range 2 {
		h.check()
	}
	h.want(order.Mall, at, "closed received 3 ended 2 open 0 missing 1 faults 0")
	told := h.told(order.Mall, at)
	if n := len(told); n != 1 || !told[0].Complete || told[0].Accepted != 2 || told[0].Missing != 1 || told[0].Faults != 0 {
		t.Errorf("told %+v", told)
	}
	views, _, err := h.db.Balance(t.Context(), store.BalanceFilter{Source: order.Mall}, "", 10)
	if err != nil || len(views) == 0 {
		t.Fatal(err)
	}
	var seen []string
	for _, v := range views {
		for _, f := range v.Faults {
			seen = append(seen, fmt.Sprint(f.Fault, " ", f.Accepted != nil && f.Accepted.By == "vera" && strings.HasPrefix(f.Accepted.Reason, "Kafka")))
		}
	}
	if len(seen) != 2 || strings.Contains(fmt.Sprint(seen), "false") {
		t.Errorf("seen %q", seen)
	}
	if _, err := h.db.AcceptFaults(t.Context(), order.Mall, lost.Partition, lost.Offset, "vera", "again"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("accepted twice: %v", err)
	}
	// What is done later to the same order is another difference.
	h.exec(`update orders set total = 1 where order_key = $1`, twice.Key)
	h.check()
	h.want(order.Mall, at, "closed received 3 ended 2 open 0 missing 1 faults 1")
}

// What PostgreSQL lost or was made to hold is made again from Kafka's records, and every hour closes.
func TestRestoredOrdersBalance(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(-10 * time.Minute)
	whole1, passedOver, gone := h.push(order.Mall, at, "1")[0], h.push(order.Mall, at, "2")[0], h.push(order.Mall, at, "3")[0]
	h.run(whole, whole1)
	h.run(noPersist, passedOver)
	h.run(whole, gone)
	second := h.push(order.Mall, at, "3")[0]
	h.run(refusal, second)
	h.exec(`update orders set total = 1 where order_key = $1`, whole1.Key)
	h.exec(`delete from orders where order_key = $1`, gone.Key)
	h.exec(`delete from received where order_key = $1`, gone.Key)
	h.now = noon.Add(3 * time.Minute)
	h.check()
	if tally := h.hour(order.Mall, at).Tally; tally.Faults != 6 {
		t.Errorf("%+v", tally)
	}
	for _, pushed := range [][]event.Message{{whole1}, {passedOver}, {gone, second}} {
		var facts []store.Fact
		for _, m := range pushed {
			meta := metaOf(m)
			facts = append(facts, store.Fact{Meta: m.ReceivedMeta(1), Service: "ingest"})
			if m.Offset != second.Offset || m.Partition != second.Partition {
				facts = append(facts, store.Fact{Meta: meta, Service: "validate", Validated: &store.Validated{Order: orderOf(meta), Document: []byte("{}"), At: m.Timestamp}}, delivered(m))
			}
		}
		if _, err := h.writer.Restore(t.Context(), order.Key(pushed[0].Key), facts, "vera", "a test"); err != nil {
			t.Fatal(err)
		}
	}
	h.check()
	h.named()
	h.want(order.Mall, at, "closed received 4 ended 4 open 0 missing 0 faults 0")
	if told := h.told(order.Mall, at); len(told) != 1 || !told[0].Complete || told[0].Parked != 1 || told[0].Delivered != 3 {
		t.Errorf("told %+v", told)
	}
}
