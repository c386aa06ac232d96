package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// report is what a trial comes to.
type report struct {
	name      string
	seed      uint64
	lasts     time.Duration
	existing  string
	at        times
	seen      *evidence
	incidents []incident
	rulings   []ruling
	deaths    map[string]int // of services, that the script did not cause
	lag       error          // what was still under way when the wait for the end was given up
}

func newReport(t *trial, seen *evidence, incidents []incident, at times, lag error) *report {
	slices.SortFunc(incidents, func(a, b incident) int { return a.From.Compare(b.From) })
	return &report{
		name: t.name, seed: t.seed, lasts: t.lasts, existing: t.existing, at: at, seen: seen,
		incidents: incidents, rulings: newChecker(seen).rule(), deaths: map[string]int{}, lag: lag,
	}
}

// broken are the laws that do not hold.
func (r *report) broken() []string {
	var laws []string
	for _, one := range r.rulings {
		if len(one.violations) > 0 {
			laws = append(laws, one.law)
		}
	}
	if r.lag != nil {
		laws = append(laws, lawDrained)
	}
	return laws
}

// shownViolations bounds how many violations of one law are printed.
const shownViolations = 8

// write prints the report as Markdown.
func (r *report) write(w io.Writer) {
	r.writeLaws(w)
	r.writeFigures(w)
}

// writeLaws prints the verdicts.
func (r *report) writeLaws(w io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("### %s: seed %d, %s of faults, EZR answers a known Code with %q", r.name, r.seed, r.lasts, r.existing)
	p("")
	p("| law | looked at | verdict |")
	p("|---|---:|---|")
	for _, one := range r.rulings {
		verdict := "holds"
		if n := len(one.violations); n > 0 {
			verdict = fmt.Sprintf("**BROKEN %d times**", n)
		}
		if one.note != "" {
			verdict += " (" + strings.TrimSuffix(one.note, "; ") + ")"
		}
		p("| %s | %d | %s |", one.law, one.held, verdict)
	}
	verdict := "holds (" + r.at.drained.Sub(r.at.healed).Round(100*time.Millisecond).String() + " after the last fault was healed)"
	if r.lag != nil {
		verdict = "**BROKEN** (" + r.lag.Error() + ")"
	}
	p("| "+lawDrained+" | %d | %s |", len(r.seen.received), verdict)
	p("")
	for _, one := range r.rulings {
		for i, violation := range one.violations {
			if i == shownViolations {
				p("- ... and %d more", len(one.violations)-i)
				break
			}
			p("- %s: %s", one.law, violation)
		}
	}
}

func (r *report) writeFigures(w io.Writer) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("| figure | |")
	p("|---|---|")
	for _, row := range r.figures() {
		p("| %s | %s |", row[0], row[1])
	}
	p("")
	p("| fault | times | recovery, median | longest |")
	p("|---|---:|---:|---:|")
	for _, row := range r.recoveries() {
		p("| %s | %d | %s | %s |", row.kind, row.times, show(row.median), show(row.longest))
	}
	p("")
}

// figures of the load.
func (r *report) figures() [][2]string {
	kinds, acks, again, silent, docs := map[string]int{}, 0, 0, 0, 0
	var acked []time.Time
	for _, a := range r.seen.attempts {
		kind, _, _ := strings.Cut(a.Kind, ":")
		kinds[kind]++
		docs += len(a.Docs)
		switch {
		case a.Accepted:
			acks++
			acked = append(acked, a.end())
		case a.Status == 503:
			again++
		case a.Status == 0:
			silent++
		}
	}
	var delivered []time.Time
	for _, e := range r.seen.effects {
		delivered = append(delivered, e.At)
	}
	ends := map[string]int{}
	for _, f := range r.seen.fates {
		ends[f.state]++
	}
	during, first := r.lettersDuringFaults()
	takeovers := 0
	for _, a := range r.seen.ledger {
		takeovers += a.takeovers
	}
	faults := 0
	for _, i := range r.incidents {
		if i.Err == nil {
			faults++
		}
	}
	return [][2]string{
		{"faults injected", fmt.Sprint(faults)},
		{"requests of senders", fmt.Sprintf("%d with %d orders (%s)", len(r.seen.attempts), docs, counts(kinds))},
		{"accepted, told to come again (503), without an answer", fmt.Sprintf("%d, %d, %d", acks, again, silent)},
		{"records received", fmt.Sprintf("%d of %d orders", len(r.seen.received), len(r.seen.orders))},
		{"ends", counts(ends)},
		{"effects at the partners", fmt.Sprintf("%d on %d orders", len(r.seen.effects), len(r.seen.held))},
		{"calls that came back after a takeover; orders to be sent once more for them", fmt.Sprintf("%d; %d", takeovers, len(r.seen.dirty))},
		{"duplicates absorbed", fmt.Sprint(ends["duplicate"])},
		{"longest time without an acceptance", show(longestGap(acked, r.at.begun, r.at.loadEnded))},
		{"longest time without a delivery", show(longestGap(delivered, r.at.begun, r.at.loadEnded))},
		{"letters written while a fault was in force", fmt.Sprintf("%d, of good records %d", during, first)},
		{"drained", show(r.at.drained.Sub(r.at.healed)) + " after the last fault"},
		{"deaths that no fault caused", counts(r.deaths)},
	}
}

func counts(all map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		shown := name
		if shown == "" {
			shown = "none"
		}
		parts = append(parts, fmt.Sprintf("%s %d", shown, all[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// lettersDuringFaults counts the letters that were written while a fault was in force, and those among them that no author
// wanted.
func (r *report) lettersDuringFaults() (all, ofGood int) {
	c := newChecker(r.seen)
	for _, l := range r.seen.parked {
		inForce := slices.ContainsFunc(r.incidents, func(i incident) bool { return !l.failedAt.Before(i.From) && !l.failedAt.After(i.Healed) })
		if !inForce {
			continue
		}
		all++
		for i, v := range c.history[l.key] {
			if v.revision == l.revision && v.doc.Verdict == good && !c.changed(l.key, c.history[l.key], i) {
				ofGood++
			}
		}
	}
	return all, ofGood
}

// longestGap is the longest time between two of the moments, or from begin to the first, or from the last to end.
func longestGap(moments []time.Time, begin, end time.Time) time.Duration {
	slices.SortFunc(moments, time.Time.Compare)
	longest, last := time.Duration(0), begin
	for _, at := range moments {
		if at.After(end) {
			break
		}
		longest, last = max(longest, at.Sub(last)), at
	}
	return max(longest, end.Sub(last))
}

// recovery is how long faults of one kind were felt.
type recovery struct {
	kind            string
	times           int
	median, longest time.Duration
}

// numbered is what tells two of a kind apart: the slot of a service, the number of a broker.
var numbered = regexp.MustCompile(`-\d\b|(broker) \d`)

// recoveries tells, for each kind of fault, how long after its end it took until an order that was accepted after it had
// arrived, of every source. Other faults may have come in between.
func (r *report) recoveries() []recovery {
	journeys := r.journeys()
	took := map[string][]time.Duration{}
	for _, i := range r.incidents {
		var slowest time.Duration
		for _, journeys := range journeys {
			first := time.Duration(-1)
			for _, j := range journeys {
				if !j.accepted.Before(i.Healed) && j.arrived.After(i.Healed) && (first < 0 || j.arrived.Sub(i.Healed) < first) {
					first = j.arrived.Sub(i.Healed)
				}
			}
			slowest = max(slowest, first)
		}
		if slowest == 0 {
			continue // nothing was pushed after it, so nothing can be told
		}
		kind := numbered.ReplaceAllString(i.Kind, "$1")
		took[kind] = append(took[kind], slowest)
	}
	var all []recovery
	for kind, durations := range took {
		slices.Sort(durations)
		all = append(all, recovery{kind, len(durations), durations[len(durations)/2], durations[len(durations)-1]})
	}
	slices.SortFunc(all, func(a, b recovery) int { return cmp.Compare(a.kind, b.kind) })
	return all
}

// journey is one order's way from acceptance to where it goes.
type journey struct{ accepted, arrived time.Time }

func (r *report) journeys() map[string][]journey {
	effects := map[string]time.Time{}
	for _, e := range slices.Backward(r.seen.effects) {
		effects[e.key()+" "+amount(e.Amount).String()] = e.At
	}
	rows := map[place]time.Time{}
	for _, f := range r.seen.fates {
		rows[f.place] = f.at
	}
	all := map[string][]journey{}
	for _, a := range r.seen.accepted {
		arrived, ok := effects[a.doc.Key+" "+amount(a.doc.Amount).String()]
		if a.doc.Source == "procurement" {
			arrived, ok = rows[a.place]
		}
		if ok && a.doc.Verdict == good {
			all[a.doc.Source] = append(all[a.doc.Source], journey{a.at, arrived})
		}
	}
	return all
}

func show(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
