package worker

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// guardRound is how often what waits of a held source is judged.
const guardRound = time.Minute

// otherSource is the window of records whose key names no source that we know.
const otherSource = "other"

// guard keeps a bad deploy or schema from pouring a topic into dead letters. Per source it remembers the verdicts over the
// last records of the main topics; when too many of them would be letters, the source is held: its records wait, no letter
// is written, and once a minute what waits by then is judged. It knows no Kafka and no clock, and one goroutine owns it.
type guard struct {
	ratio   float64
	size    int // verdicts of a full window
	windows map[string]*window
	holds   map[string]time.Time // next round of the held sources
}

// window holds the newest verdicts of one source: true for a record that would become a letter.
type window struct {
	verdicts []bool
	oldest   int // where the next one goes, once the window is full
	bad      int
}

func newGuard(s Settings) guard {
	return guard{ratio: s.DeadLetterRatio, size: s.DeadLetterMin, windows: map[string]*window{}, holds: map[string]time.Time{}}
}

// guardedSource is the source whose window a record belongs to; empty for a replay, which the guard lets pass: somebody
// chose it, and replay jobs have a stop of their own.
func guardedSource(service string, m event.Message) string {
	if m.Topic == event.Replay(service) {
		return ""
	}
	if source := order.Key(m.Key).Source(); slices.Contains(order.Sources, source) {
		return string(source)
	}
	return otherSource
}

// guardedSources lists every source that may be held.
func guardedSources() []string {
	all := []string{otherSource}
	for _, source := range order.Sources {
		all = append(all, string(source))
	}
	return all
}

// clone is a copy to try verdicts on.
func (g *guard) clone() guard {
	c := guard{ratio: g.ratio, size: g.size, windows: make(map[string]*window, len(g.windows)), holds: maps.Clone(g.holds)}
	for source, w := range g.windows {
		c.windows[source] = &window{verdicts: slices.Clone(w.verdicts), oldest: w.oldest, bad: w.bad}
	}
	return c
}

// fold takes a verdict into its source's window. True: this record would be a letter, and too many already are; the caller
// holds the source, and writes no letter.
func (g *guard) fold(source string, bad bool) (tripped bool) {
	w := g.windows[source]
	if w == nil {
		w = &window{}
		g.windows[source] = w
	}
	w.add(bad, g.size)
	return bad && len(w.verdicts) >= g.size && !g.passes(w.bad, len(w.verdicts))
}

func (w *window) add(bad bool, size int) {
	if bad {
		w.bad++
	}
	if len(w.verdicts) < size {
		w.verdicts = append(w.verdicts, bad)
		return
	}
	if w.verdicts[w.oldest] {
		w.bad--
	}
	w.verdicts[w.oldest] = bad
	w.oldest = (w.oldest + 1) % size
}

// passes tells whether so many failures are within the ratio. It divides, for a ratio such as 0.29 times 100 is less than 29.
func (g *guard) passes(failed, total int) bool { return float64(failed)/float64(total) <= g.ratio }

func (g *guard) held(source string) bool {
	_, held := g.holds[source]
	return held
}

// hold begins a hold. A source that is held folds no verdicts.
func (g *guard) hold(source string, now time.Time) { g.holds[source] = now.Add(guardRound) }

// due tells whether a held source's next round should begin, and if so sets the time of the one after it.
func (g *guard) due(source string, now time.Time) bool {
	next, held := g.holds[source]
	if !held || now.Before(next) {
		return false
	}
	g.holds[source] = now.Add(guardRound)
	return true
}

// release ends a hold whose records passed: the window starts empty.
func (g *guard) release(source string) {
	delete(g.holds, source)
	delete(g.windows, source)
}

// lift ends a hold that has no record left to judge. The window stays, so that the next letter would begin another hold.
func (g *guard) lift(source string) { delete(g.holds, source) }

// wake is when the next round of a held source is due; zero when none is held.
func (g *guard) wake() (at time.Time) {
	for _, next := range g.holds {
		at = earlier(at, next)
	}
	return at
}

// heldError is the readiness condition of a held source. It is for the SRE who reads /readyz.
type heldError struct {
	source      string
	bad, window int
	ratio       float64
}

// count tells how many of how many records in a source's window failed.
func (g *guard) count(source string) (failed, total int) {
	w := g.windows[source]
	return w.bad, len(w.verdicts)
}

func (g *guard) heldError(source string, failed, total int) *heldError {
	return &heldError{source: source, bad: failed, window: total, ratio: g.ratio}
}

func (e *heldError) Error() string {
	return fmt.Sprintf("%s is held: %d of its last %d records would be dead letters, more than a share of %g; its live records wait, "+
		"none of their letters is written, and what waits is judged again every minute; mend the rules or the deployment, "+
		"or set DEAD_LETTER_RATIO=1 to let them become letters", e.source, e.bad, e.window, e.ratio)
}
