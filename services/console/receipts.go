package main

import (
	"context"
	"net/http"
	"time"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/receipt"
	"orderflow/pkg/store"
)

// stateReceived is the state of a push that nothing downstream has seen yet.
const stateReceived = store.State("received")

// stateUnknown is the state of a record that is neither in Kafka, beyond its retention, nor in PostgreSQL.
const stateUnknown = store.State("unknown")

// What somebody without a login may ask: a sender that polls for its last pushes, not one that reads all it ever sent.
const (
	receiptRate  = 20  // a second
	receiptBurst = 200 // at once
)

// receipts answers the senders' question: what became of my push?
type receipts struct {
	keys    receipt.Keys
	db      *store.Store
	records *records
}

// receiptAnswer is what became of one push.
type receiptAnswer struct {
	Receipt     string         `json:"receipt"`
	Source      order.Source   `json:"source"`
	ReceivedAt  time.Time      `json:"received_at"`
	Quarantined bool           `json:"quarantined,omitzero"`
	Orders      []receiptOrder `json:"orders"` // in the order of the push
}

type receiptOrder struct {
	OrderKey order.Key      `json:"order_key"`
	Revision order.Revision `json:"revision"`
	State    store.State    `json:"state"`
	Code     string         `json:"code,omitzero"` // why it is parked or was given up

	partition  int32
	receivedAt time.Time
}

func (c *console) getReceipt(r *http.Request, _ user) (any, error) {
	text := r.PathValue("id")
	parsed, err := receipt.Parse(c.receipts.keys, text)
	if err != nil {
		return nil, &failure{http.StatusNotFound, "not_found", "not a receipt of ours: it was cut, altered, or signed with a key that is no longer in RECEIPT_KEYS"}
	}
	return c.receipts.resolve(r.Context(), parsed, text)
}

// resolve tells what became of each record of the push. It asks PostgreSQL first; what no worker has brought there yet is
// read from Kafka, at the very places that the receipt names.
func (r *receipts) resolve(ctx context.Context, of receipt.Receipt, text string) (*receiptAnswer, error) {
	answer := &receiptAnswer{Receipt: text, Source: of.Source, ReceivedAt: of.ReceivedAt, Quarantined: of.Quarantined, Orders: []receiptOrder{}}
	if of.Quarantined {
		return answer, nil
	}
	places := make([]store.Place, len(of.Records))
	for i, record := range of.Records {
		places[i] = store.Place(record)
	}
	generation := bus.Generation(of.Topic())
	fates, err := r.db.Fates(ctx, of.Source, generation, places)
	if err != nil {
		return nil, err
	}
	var unseen []store.Place
	for _, p := range places {
		fate, ok := fates[p]
		if ok && fate.PushID != "" && fate.PushID != of.PushID.String() {
			delete(fates, p) // of another topic's life: another push lay at this place
			ok = false
		}
		if !ok {
			unseen = append(unseen, p)
		}
	}
	fresh, err := r.records.read(ctx, of.Topic(), unseen)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		o := receiptOrder{Revision: order.NewRevision(generation, p.Offset), State: stateUnknown, partition: p.Partition}
		if fate, ok := fates[p]; ok {
			o.OrderKey, o.State, o.receivedAt = fate.OrderKey, standing(fate), fate.ReceivedAt
			if o.State == store.StateParked || o.State == store.StateDiscarded {
				o.Code = fate.Code
			}
		} else if m, ok := fresh[p]; ok && m.Header(event.HeaderPushID) == of.PushID.String() {
			o.OrderKey, o.State, o.receivedAt = m.ReceivedMeta(generation).OrderKey, stateReceived, m.Timestamp
		}
		answer.Orders = append(answer.Orders, o)
	}
	if len(answer.Orders) > 0 && !answer.Orders[0].receivedAt.IsZero() {
		answer.ReceivedAt = answer.Orders[0].receivedAt.UTC()
	}
	return answer, nil
}

// standing is the state of a record that PostgreSQL knows.
func standing(f store.Fate) store.State {
	if f.State == "" {
		return store.StateValidated // under way to its partner
	}
	return store.State(f.State)
}
