package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// settleWithin is how long after the begin of an outage calls may come back that were under way.
const settleWithin = 5 * time.Second

// tally is what the evidence tells of one outage.
type tally struct {
	accepted   int           // orders, while it lasted
	letters    int           // from its begin until all was drained
	during     int           // deliveries in spite of it
	first      time.Duration // from its end to the first delivery; -1 if there is none
	afterwards int           // orders that arrived after its end
	last       time.Duration // from its end to the last of these
}

// speed in orders a second, from the end of the outage to the last arrival.
func (t tally) speed() float64 {
	if t.last <= 0 {
		return 0
	}
	return float64(t.afterwards) / t.last.Seconds()
}

// wrong says what must not be; empty when all is well.
func (t tally) wrong(one spell) string {
	switch {
	case t.letters > 0:
		return fmt.Sprintf("%d letters", t.letters)
	case t.during > 0:
		return fmt.Sprintf("%d deliveries while it was away: that was no outage", t.during)
	case t.accepted == 0 || t.afterwards == 0:
		return "nothing was accepted meanwhile, or nothing was delivered after: that proves nothing"
	case one.late != nil:
		return one.late.Error()
	}
	return ""
}

// tallyOf counts what belongs to one outage.
func (e *evidence) tallyOf(one spell) tally {
	t := tally{first: -1}
	orders := map[string]bool{}
	for _, a := range e.accepted {
		if !a.at.Before(one.from) && a.at.Before(one.healed) && !orders[a.doc.Key] {
			orders[a.doc.Key] = true
			t.accepted++
		}
	}
	for _, l := range e.parked {
		if !l.failedAt.Before(one.from) && !l.failedAt.After(one.drained) {
			t.letters++
		}
	}
	arrivals := e.arrivals(one)
	slices.SortFunc(arrivals, func(a, b arrival) int { return a.at.Compare(b.at) })
	arrived := map[string]bool{}
	for _, a := range arrivals {
		switch {
		case a.at.After(one.from.Add(settleWithin)) && a.at.Before(one.healed):
			t.during++
		case a.at.After(one.healed) && !a.at.After(one.drained):
			if t.first < 0 {
				t.first = a.at.Sub(one.healed)
			}
			if !arrived[a.key] {
				arrived[a.key] = true
				t.last = a.at.Sub(one.healed)
			}
		}
	}
	t.afterwards = len(arrived)
	return t
}

// arrival is one order at the place where it goes.
type arrival struct {
	key string
	at  time.Time
}

// arrivals of the orders that depend on what was away: at a partner, or in PostgreSQL.
func (e *evidence) arrivals(one spell) []arrival {
	var all []arrival
	for _, taken := range e.effects {
		if one.counts(sourceOf(taken.key())) {
			all = append(all, arrival{taken.key(), taken.At})
		}
	}
	for _, f := range e.fates {
		if f.place.source == "procurement" && one.counts(f.place.source) {
			all = append(all, arrival{f.key, f.at})
		}
	}
	return all
}

// writeSpells prints the table of outages; true when one of them broke the promise.
func writeSpells(w io.Writer, seen *evidence, spells []spell) (broken bool) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("| outage | lasted | orders accepted meanwhile | greatest lag, records | letters | first delivery after | drained after | orders drained | a second | verdict |")
	p("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|")
	for _, one := range spells {
		t := seen.tallyOf(one)
		verdict := "holds"
		if wrong := t.wrong(one); wrong != "" {
			verdict, broken = "**BROKEN**: "+wrong, true
		}
		p("| %s | %s | %d | %d (%s) | %d | %s | %s | %d | %.1f | %s |", one.name, show(one.healed.Sub(one.from)), t.accepted,
			one.lag, one.lagging, t.letters, show(t.first), show(one.drained.Sub(one.healed)), t.afterwards, t.speed(), verdict)
	}
	p("")
	return broken
}
