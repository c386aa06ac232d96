package main

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// hourAnswer is one hour of receipt of one source. Received is the sum of delivered, persisted, duplicate, superseded, parked,
// discarded, open and missing_count; refused ones are parked or discarded. The totals are exact texts.
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
	Absent     int64           `json:"missing_count"`
	Faults     int64           `json:"faults"`
	Accepted   int64           `json:"accepted"` // differences that a person accepted: no faults any more
	Balanced   bool            `json:"balanced"` // nothing is at fault; open orders are no fault
	Complete   bool            `json:"complete"` // closed, balanced, and nothing is open
	Revision   int             `json:"revision"` // of the completeness record that was written last; 0: none
	Sums       []store.Sum     `json:"sums"`     // of what was published
	CheckedAt  *time.Time      `json:"checked_at"`
	Missing    []offsetAnswer  `json:"missing"` // the first 100 offsets at fault, and what is wrong with each
	Waiting    []offsetAnswer  `json:"waiting"` // some of those that are open in an hour that has ended
	Waived     []waivedAnswer  `json:"accepted_differences"`
}

// waivedAnswer is a difference that somebody accepted.
type waivedAnswer struct {
	offsetAnswer
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// offsetAnswer is a received record that does not balance, or is open; its partition is -1 where no record is meant.
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
		Discarded: t.Discarded, Open: t.Open, Absent: t.Missing, Faults: t.Faults, Accepted: t.Accepted, Balanced: t.Balanced(), Revision: v.Revision,
		Complete: v.State == store.HourClosed && t.Settled(), Sums: t.Sums, Missing: []offsetAnswer{}, Waiting: []offsetAnswer{}, Waived: []waivedAnswer{},
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
		switch {
		case f.Fault == store.StillOpen:
			h.Waiting = append(h.Waiting, o)
		case f.Accepted != nil:
			h.Waived = append(h.Waived, waivedAnswer{o, f.Accepted.By, f.Accepted.Reason, f.Accepted.At.UTC()})
		default:
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
	if filter.Source != "" && !slices.Contains(order.Sources, filter.Source) {
		return nil, badRequest("bad_parameter", "source: not one of icbu, procurement, mall")
	}
	if filter.To, err = balanceTime(query, "to", 24*time.Hour); err != nil {
		return nil, err
	}
	if filter.From, err = balanceTime(query, "from", 0); err != nil {
		return nil, err
	}
	if !filter.From.IsZero() && !filter.To.IsZero() && !filter.From.Before(filter.To) {
		return nil, badRequest("bad_parameter", "from: not before to")
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

// acceptedAnswer is what an acceptance was about.
type acceptedAnswer struct {
	Source order.Source `json:"source"`
	Hour   time.Time    `json:"hour"`
	offsetAnswer
}

// acceptDifference accepts, in the name of whoever asks, what does not balance at the place of one received record. It lets the
// hour be complete for analysts, so it takes an approver.
func (c *console) acceptDifference(r *http.Request, by user) (any, error) {
	var body struct {
		Source    order.Source `json:"source"`
		Partition int32        `json:"partition"`
		Offset    int64        `json:"offset"`
		Reason    string       `json:"reason"`
	}
	if err := readBody(r, &body); err != nil {
		return nil, err
	}
	if !slices.Contains(order.Sources, body.Source) {
		return nil, badRequest("bad_parameter", "source: not one of icbu, procurement, mall")
	}
	if err := readReason(&body.Reason); err != nil || body.Reason == "" {
		return nil, badRequest("bad_parameter", "reason: say in at most 1024 bytes why this difference can stay")
	}
	accepted, err := c.db.AcceptFaults(r.Context(), body.Source, body.Partition, body.Offset, by.name, body.Reason)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoDifference
	}
	if err != nil {
		return nil, err
	}
	return listOf(accepted, "", func(f store.AcceptedFault) acceptedAnswer {
		return acceptedAnswer{body.Source, f.Hour.UTC(), offsetAnswer{f.OrderKey, f.Partition, f.Offset, f.Fault}}
	}), nil
}

var errNoDifference = &failure{http.StatusNotFound, "no_difference", "nothing that can be accepted is named at this place now"}
