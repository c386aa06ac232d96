package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// boardView is one day of UTC: hours by sources, the newest hour first.
type boardView struct {
	Day           time.Time
	Before, After string // addresses of the days beside it; "" where there is none yet
	Sources       []order.Source
	Rows          []boardRow
	Late          time.Time // when the balance looked last, if that is too long ago
}

type boardRow struct {
	Hour  time.Time
	Cells []*boardHour // by source; nil: nothing is known of the hour
}

// boardHour is an hour as people see it.
type boardHour struct{ hourAnswer }

// Status says in one word how an hour stands.
func (h boardHour) Status() string {
	switch {
	case !h.Balanced:
		return "unbalanced"
	case h.State == store.HourOpen:
		return "counting"
	case !h.Complete:
		return "late"
	case h.Received == 0:
		return "empty"
	default:
		return "complete"
	}
}

// Address is that of the hour's own page.
func (h boardHour) Address() string {
	return address("/balance/hour", url.Values{"source": {string(h.Source)}, "hour": {h.Hour.Format(time.RFC3339)}})
}

// balanceLate is when somebody should ask whether balance runs: it looks every 30 seconds.
const balanceLate = 3 * time.Minute

func (c *console) balancePage(r *http.Request, _ user) (screen, error) {
	query, err := parseQuery(r)
	if err != nil {
		return screen{}, err
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	day := today
	if text := query.Get("day"); text != "" {
		if day, err = time.Parse(time.DateOnly, text); err != nil || day.Year() < 1970 || day.Year() > 9998 {
			return screen{}, badRequest("bad_parameter", "day: give a day such as 2026-01-31")
		}
	}
	views, _, err := c.db.Balance(r.Context(), store.BalanceFilter{From: day, To: day.Add(24 * time.Hour)}, "", maxLimit)
	if err != nil {
		return screen{}, err
	}
	v := &boardView{Day: day, Sources: order.Sources, Before: dayAddress(day.Add(-24 * time.Hour))}
	if day.Before(today) {
		v.After = dayAddress(day.Add(24 * time.Hour))
	}
	for _, view := range views { // hour by hour
		if n := len(v.Rows); n == 0 || !v.Rows[n-1].Hour.Equal(view.Hour) {
			v.Rows = append(v.Rows, boardRow{Hour: view.Hour, Cells: make([]*boardHour, len(order.Sources))})
		}
		h := &boardHour{hourOf(view)}
		if i := slices.Index(order.Sources, view.Source); i >= 0 {
			v.Rows[len(v.Rows)-1].Cells[i] = h
		}
		if view.State == store.HourOpen && time.Since(view.CheckedAt) > balanceLate {
			v.Late = view.CheckedAt
		}
	}
	return screen{template: "balance", data: v, live: day.Equal(today)}, nil
}

func dayAddress(day time.Time) string {
	return address("/balance", url.Values{"day": {day.Format(time.DateOnly)}})
}

// hourPage shows all that is known of one hour, and what does not balance in it.
func (c *console) hourPage(r *http.Request, _ user) (screen, error) {
	query, err := parseQuery(r)
	if err != nil {
		return screen{}, err
	}
	hour, err := time.Parse(time.RFC3339, query.Get("hour"))
	if err != nil || !slices.Contains(order.Sources, order.Source(query.Get("source"))) || hour.Year() < 1970 || hour.Year() > 9998 {
		return screen{}, errNotFound
	}
	filter := store.BalanceFilter{Source: order.Source(query.Get("source")), From: hour, To: hour.Add(time.Hour)}
	views, _, err := c.db.Balance(r.Context(), filter, "", 1)
	if err != nil {
		return screen{}, err
	}
	if len(views) == 0 {
		return screen{}, errNotFound
	}
	return screen{template: "balance_hour", data: boardHour{hourOf(views[0])}, live: views[0].State == store.HourOpen}, nil
}

// Find is where to look for the record's order: one that was passed over altogether has no page of its own.
func (o offsetAnswer) Find() string {
	return address("/search", url.Values{"number": {string(o.OrderKey)}})
}

// Board is the address of the hour's day.
func (h boardHour) Board() string { return dayAddress(h.Hour.Truncate(24 * time.Hour)) }

// Figures are the counts of an hour by name, in the order in which an order passes the house.
func (h boardHour) Figures() []figure {
	return []figure{
		{"received", h.Received, false},
		{"refused", h.Refused, false},
		{"validated", h.Validated, false},
		{"published", h.Published, false},
		{"delivered", h.Delivered, false},
		{"persisted", h.Persisted, false},
		{"duplicate", h.Duplicate, false},
		{"superseded", h.Superseded, false},
		{"parked", h.Parked, false},
		{"discarded", h.Discarded, false},
		{"open", h.Open, false},
		{"missing", h.Absent, h.Absent > 0 && !h.Balanced},
		{"faults", h.Faults, h.Faults > 0},
		{"accepted", h.Accepted, false},
	}
}

type figure struct {
	Name  string
	Count int64
	Bad   bool
}

// Place is that of the record in its topic; "" where no record is meant.
func (o offsetAnswer) Place() string {
	if o.Partition < 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", o.Partition, o.Offset)
}
