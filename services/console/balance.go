package main

import (
	"net/http"
	"net/url"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// hourAnswer is one hour of receipt of one source. Received is the sum of delivered, persisted, duplicate, superseded, parked,
// discarded, open and lost; refused ones are parked or discarded. The totals are exact texts.
type hourAnswer struct {
	Source     order.Source    `json:"source"`
	Hour       time.Time       `json:"hour"`
	State      store.HourState `json:"state"`
	Received   int64           `json:"received"`
	Refused    int64           `json:"refused"`
	Validated  int64           `json:"validated"`
	Published  int64           `json:"published"`
	Delivered  int64           `json:"delivered"`
	Persisted  int64           `json:"persisted"`
	Duplicate  int64           `json:"duplicate"`
	Superseded int64           `json:"superseded"`
	Parked     int64           `json:"parked"`
	Discarded  int64           `json:"discarded"`
	Open       int64           `json:"open"`
	Lost       int64           `json:"lost"`
	Faults     int64           `json:"faults"`
	Balanced   bool            `json:"balanced"` // nothing is at fault; open orders are no fault
	Complete   bool            `json:"complete"` // closed, balanced, and nothing is open
	Revision   int             `json:"revision"` // of the completeness record that was written last; 0: none
	Sums       []store.Sum     `json:"sums"`     // of what was published
	CheckedAt  *time.Time      `json:"checked_at"`
	Missing    []offsetAnswer  `json:"missing"` // the first 100 offsets at fault
	Waiting    []offsetAnswer  `json:"waiting"` // some of those that are open in an hour that has ended
}

// offsetAnswer is a received record that does not balance, or is open.
type offsetAnswer struct {
	OrderKey  order.Key   `json:"order_key"` // "" where neither PostgreSQL nor Kafka has it any more
	Partition int32       `json:"partition"`
	Offset    int64       `json:"offset"`
	Fault     store.Fault `json:"fault"`
}

func hourOf(v store.BalanceView) hourAnswer {
	t := &v.Tally
	h := hourAnswer{
		Source: v.Source, Hour: v.Hour.UTC(), State: v.State, Received: t.Received, Refused: t.Refused, Validated: t.Validated,
		Published: t.Published, Delivered: t.Delivered, Persisted: t.Persisted, Duplicate: t.Duplicate, Superseded: t.Superseded, Parked: t.Parked,
		Discarded: t.Discarded, Open: t.Open, Lost: t.Missing, Faults: t.Faults, Balanced: t.Balanced(), Revision: v.Revision,
		Complete: v.State == store.HourClosed && t.Settled(), Sums: t.Sums, Missing: []offsetAnswer{}, Waiting: []offsetAnswer{},
	}
	if h.Sums == nil {
		h.Sums = []store.Sum{}
	}
	if !v.CheckedAt.IsZero() {
		at := v.CheckedAt.UTC()
		h.CheckedAt = &at
	}
	for _, f := range v.Faults {
		o := offsetAnswer{f.OrderKey, f.Partition, f.Offset, f.Fault}
		if f.Fault == store.StillOpen {
			h.Waiting = append(h.Waiting, o)
		} else {
			h.Missing = append(h.Missing, o)
		}
	}
	return h
}

// usualBalance is how far back hours are listed when nobody says.
const usualBalance = 24 * time.Hour

func (c *console) listBalance(r *http.Request, _ user) (any, error) {
	query, cursor, limit, err := onlyList(r, "source", "from", "to")
	if err != nil {
		return nil, err
	}
	filter := store.BalanceFilter{Source: order.Source(query.Get("source"))}
	if filter.To, err = balanceTime(query, "to", 24*time.Hour); err != nil {
		return nil, err
	}
	if filter.From, err = balanceTime(query, "from", 0); err != nil {
		return nil, err
	}
	if filter.From.IsZero() {
		until := filter.To
		if until.IsZero() {
			until = time.Now()
		}
		filter.From = until.Add(-usualBalance).UTC().Truncate(time.Hour)
	}
	views, next, err := c.db.Balance(r.Context(), filter, cursor, limit)
	if err != nil {
		return nil, badFilter(err)
	}
	return listOf(views, next, hourOf), nil
}

// balanceTime reads a time of the query: an instant, or a day of UTC, which stands for its start and a while.
func balanceTime(query url.Values, name string, day time.Duration) (time.Time, error) {
	text := query.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		if at, err = time.Parse(time.DateOnly, text); err == nil {
			at = at.Add(day)
		}
	}
	if err != nil || len(query[name]) > 1 || at.Year() < 1970 || at.Year() > 9998 {
		return time.Time{}, badRequest("bad_parameter", name+": give a day such as 2026-01-31 (UTC), or an instant such as 2026-01-31T08:00:00Z")
	}
	return at, nil
}
