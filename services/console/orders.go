package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"orderflow/pkg/order"
	"orderflow/pkg/receipt"
	"orderflow/pkg/store"
)

// maxSteps bounds a timeline; of a longer one the newest steps are shown.
const maxSteps = 500

// orderAnswer is one order with all that happened to it. Totals are exact texts, null where there is none.
type orderAnswer struct {
	OrderKey          order.Key      `json:"order_key"`
	Source            order.Source   `json:"source"`
	OrderNo           string         `json:"order_no"`
	Revision          order.Revision `json:"revision"`
	State             store.State    `json:"state"`
	Total             *string        `json:"total"`
	Currency          string         `json:"currency"`
	DeliveredRevision order.Revision `json:"delivered_revision,omitzero"`
	DeliveredTotal    *string        `json:"delivered_total,omitzero"`
	PlacedAt          time.Time      `json:"placed_at,omitzero"`
	ReceivedAt        time.Time      `json:"received_at"`
	UpdatedAt         time.Time      `json:"updated_at"`
	Steps             []step         `json:"steps"`                           // oldest first
	EarlierLeftOut    bool           `json:"earlier_steps_left_out,omitzero"` // there are more than maxSteps
}

func (c *console) getOrder(r *http.Request, _ user) (any, error) {
	key := r.PathValue("order_key") // decoded once, and so as it stands in Kafka
	if !searchable(key) {
		return nil, errNotFound
	}
	view, err := c.db.Order(r.Context(), order.Key(key))
	if errors.Is(err, store.ErrNotFound) {
		return nil, &failure{http.StatusNotFound, "not_found", "no such order in PostgreSQL: if it was pushed a moment ago, ask by its receipt"}
	}
	if err != nil {
		return nil, err
	}
	answers, err := c.withSteps(r.Context(), []store.OrderView{view})
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// maxFound is how many orders one answer of a search holds: each brings its timeline.
const maxFound = 100

// findOrders looks for orders by any number that people may have: their key, one of the sender's or the partner's, or the
// receipt of a push, which is answered as a whole.
func (c *console) findOrders(r *http.Request, _ user) (any, error) {
	query, cursor, limit, err := onlyList(r, "number")
	if err != nil {
		return nil, err
	}
	if query.Get("limit") == "" {
		limit = maxFound
	}
	number := query.Get("number")
	bare := strings.TrimSpace(number)
	if bare == "" || len(query["number"]) != 1 || !searchable(number) {
		return nil, badRequest("bad_parameter", "number: "+"give it once, as a text of at most 2047 bytes")
	}
	ctx := r.Context()
	if parsed, err := receipt.Parse(c.receipts.keys, bare); err == nil {
		return c.ordersOf(ctx, parsed, bare)
	}
	views, next, err := c.db.OrdersNumbered(ctx, number, cursor, min(limit, maxFound))
	if err == nil && len(views) == 0 && bare != number { // blanks come with copied text, but may belong to a number too
		views, next, err = c.db.OrdersNumbered(ctx, bare, cursor, min(limit, maxFound))
	}
	if err != nil {
		return nil, badFilter(err)
	}
	answers, err := c.withSteps(ctx, views)
	if err != nil {
		return nil, err
	}
	return page[*orderAnswer]{Items: answers, Next: text(next)}, nil
}

// ordersOf gives the orders of a push; one that PostgreSQL does not know yet has been received, and that is all.
func (c *console) ordersOf(ctx context.Context, of receipt.Receipt, text string) (any, error) {
	resolved, err := c.receipts.resolve(ctx, of, text)
	if err != nil {
		return nil, err
	}
	keys := make([]order.Key, len(resolved.Orders))
	for i, pushed := range resolved.Orders {
		keys[i] = pushed.OrderKey
	}
	views, err := c.db.Orders(ctx, keys)
	if err != nil {
		return nil, err
	}
	known, err := c.withSteps(ctx, views)
	if err != nil {
		return nil, err
	}
	found := page[*orderAnswer]{Items: []*orderAnswer{}}
	seen := map[order.Key]bool{"": true} // of a record that is gone, not even the order is known
	for _, pushed := range resolved.Orders {
		if seen[pushed.OrderKey] {
			continue
		}
		seen[pushed.OrderKey] = true
		o := justReceived(of, pushed)
		if i := slices.IndexFunc(known, func(k *orderAnswer) bool { return k.OrderKey == pushed.OrderKey }); i >= 0 {
			o = known[i]
		}
		found.Items = append(found.Items, o)
	}
	return found, nil
}

func justReceived(of receipt.Receipt, pushed receiptOrder) *orderAnswer {
	at := pushed.receivedAt.UTC()
	received := step{At: at, Step: store.StepReceived, Service: "ingest", Revision: pushed.Revision}
	received.lies(of.Topic(), pushed.partition)
	return &orderAnswer{
		OrderKey: pushed.OrderKey, Source: of.Source, Revision: pushed.Revision, State: stateReceived, ReceivedAt: at, UpdatedAt: at,
		Steps: []step{received},
	}
}

// withSteps adds to each order what happened to it.
func (c *console) withSteps(ctx context.Context, views []store.OrderView) ([]*orderAnswer, error) {
	keys := make([]order.Key, len(views))
	for i, v := range views {
		keys[i] = v.Key
	}
	lines, err := c.db.Timelines(ctx, keys, maxSteps)
	if err != nil {
		return nil, err
	}
	answers := make([]*orderAnswer, len(views))
	for i, v := range views {
		answers[i] = &orderAnswer{
			OrderKey: v.Key, Source: v.Source, OrderNo: v.OrderNo, Revision: v.Revision, State: v.State, Total: text(v.Total), Currency: v.Currency,
			DeliveredRevision: v.DeliveredRevision, DeliveredTotal: text(v.DeliveredTotal),
			PlacedAt: v.PlacedAt.UTC(), ReceivedAt: v.ReceivedAt.UTC(), UpdatedAt: v.UpdatedAt.UTC(), Steps: stepsOf(v.Source, lines[v.Key]),
			EarlierLeftOut: len(lines[v.Key].Events) == maxSteps,
		}
	}
	return answers, nil
}

// text is null where there is none.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// searchable tells whether PostgreSQL takes a text at all, and whether anything can be known by it.
func searchable(text string) bool {
	return text != "" && len(text) <= receipt.MaxText && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}
