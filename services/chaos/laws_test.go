package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/order"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func doc(key, amount string, v verdict) document {
	d := document{Key: key, Source: sourceOf(key), Amount: amount, Digest: key + amount, Verdict: v}
	switch v {
	case bad:
		d.Code = "sum_mismatch"
	case refused:
		d.Code = "partner_rejected"
	case good, hostile:
	}
	return d
}

// took has an order accepted and ended in a state.
func (e *evidence) took(d document, offset int64, state string) place {
	at := place{d.Source, 0, offset}
	e.attempts = append(e.attempts, attempt{At: noon, Docs: []document{d}, Accepted: true, Status: 200})
	e.accepted = append(e.accepted, acceptance{d, noon, at})
	e.received = append(e.received, record{topic: d.Source + ".received.v1", offset: offset, key: d.Key, digest: d.Digest, origin: at})
	e.left = append(e.left, record{key: d.Key, origin: at})
	e.fates = append(e.fates, fate{place: at, key: d.Key, revision: 1000 + offset, state: state})
	if len(e.hours) == 0 {
		e.healed = noon
		e.hours = []hourCount{
			{name: "all in one hour", start: noon.Add(-2 * time.Hour), state: "closed", complete: true, closedAt: noon.Add(closeWithin)},
			{name: "an hour that goes on", start: noon.Add(-10 * time.Minute), state: "open"},
		}
	}
	e.hours[0].received++
	return at
}

func (e *evidence) effect(d document) {
	number := strings.TrimPrefix(d.Key, "icbu:")
	e.effects = append(e.effects, effect{Seq: int64(len(e.effects)), Partner: "okki", OrderNo: number, Amount: d.Amount})
	e.held = slices.DeleteFunc(e.held, func(h held) bool { return h.OrderNo == number })
	e.held = append(e.held, held{Partner: "okki", OrderNo: number, Amount: d.Amount})
}

func (e *evidence) letter(d document, offset int64, code string) {
	e.parked = append(e.parked, parked{service: "validate", code: code, key: d.Key, revision: 1000 + offset, state: "open"})
	e.letters = append(e.letters, record{key: d.Key, origin: place{d.Source, 0, offset}})
}

// sound is evidence of a small run in which all is well: one order in two contents, one of which came again, a purchase,
// and a bad one.
func sound() *evidence {
	e := &evidence{existing: "overwrite", orders: map[string]orderRow{}, ledger: map[string]account{}}
	first, second := doc("icbu:A", "10.01", good), doc("icbu:A", "20.01", good)
	e.took(first, 0, "delivered")
	e.effect(first)
	e.took(first, 1, "duplicate")
	e.took(second, 2, "delivered")
	e.effect(second)
	e.orders["icbu:A"] = orderRow{key: "icbu:A", source: "icbu", state: "delivered", total: "20.01", deliveredTotal: "20.010", deliveredRevision: 1002}
	bought := doc("procurement:B", "90071992547409930.07", good)
	e.took(bought, 0, "persisted")
	e.orders["procurement:B"] = orderRow{key: "procurement:B", source: "procurement", state: "persisted", total: "90071992547409930.07"}
	wrong := doc("icbu:C", "5.00", bad)
	e.took(wrong, 3, "parked")
	e.letter(wrong, 3, "sum_mismatch")
	e.orders["icbu:C"] = orderRow{key: "icbu:C", source: "icbu", state: "parked"}
	return e
}

func TestAllLawsHold(t *testing.T) {
	for _, r := range newChecker(sound()).rule() {
		looked := r.held > 0 || r.law == lawReturns || r.law == lawMended // which have tests of their own
		if len(r.violations) > 0 || !looked {
			t.Errorf("%s: looked at %d, %v", r.law, r.held, r.violations)
		}
	}
}

// Each way of breaking the promise is caught by the law that names it.
func TestBrokenLawsAreCaught(t *testing.T) {
	first := doc("icbu:A", "10.01", good)
	for name, c := range map[string]struct {
		law   string
		spoil func(e *evidence)
	}{
		"accepted but not in Kafka":      {"an accepted push is in Kafka", func(e *evidence) { e.received = e.received[1:] }},
		"another's bytes at the receipt": {"an accepted push is in Kafka", func(e *evidence) { e.received[0].digest = "x" }},
		"two receipts for one place":     {"an accepted push is in Kafka", func(e *evidence) { e.accepted = append(e.accepted, e.accepted[0]) }},
		"a record without a row":         {"every accepted push ends", func(e *evidence) { e.fates = e.fates[1:] }},
		"a record without an end":        {"every accepted push ends", func(e *evidence) { e.fates[0].state = "" }},
		"a record with two rows":         {"every accepted push ends", func(e *evidence) { e.fates = append(e.fates, e.fates[0]) }},
		"the newest superseded":          {"every accepted push ends", func(e *evidence) { e.fates[2].state = "superseded" }},
		"a bad one delivered":            {"every accepted push ends", func(e *evidence) { e.fates[4].state = "delivered" }},
		"validated twice":                {"validate gives one outcome", func(e *evidence) { e.left = append(e.left, e.left[0]) }},
		"lost in validate":               {"validate gives one outcome", func(e *evidence) { e.left = e.left[1:] }},
		"pushed by nobody":               {"nothing refused or unanswered", func(e *evidence) { e.attempts = e.attempts[1:]; e.attempts = e.attempts[1:] }},
		"got past the door":              {"nothing refused or unanswered", func(e *evidence) { e.attempts[4].Docs[0].Verdict = hostile }},
		"a row without a record":         {"nothing refused or unanswered", func(e *evidence) { e.fates = append(e.fates, fate{place: place{"mall", 1, 9}, state: "delivered"}) }},
		"the partner holds a stranger":   {"nothing refused or unanswered", func(e *evidence) { e.effect(doc("icbu:Z", "1.00", good)) }},
		"delivered at a bad revision":    {"nothing refused or unanswered", func(e *evidence) { o := e.orders["icbu:C"]; o.deliveredRevision = 1003; e.orders["icbu:C"] = o }},
		"older after newer":              {"per order revisions in order", func(e *evidence) { e.effect(first) }},
		"never delivered":                {"per order revisions in order", func(e *evidence) { e.effects, e.held = nil, nil }},
		"the newest never came":          {"per order revisions in order", func(e *evidence) { e.effects = e.effects[:1] }},
		"two effects without an unknown": {"no order has two effects", func(e *evidence) { e.effects = append(e.effects, e.effects[1]) }},
		"a cent less at the partner":     {"sums of money", func(e *evidence) { e.held[0].Amount = "20.00" }},
		"the last digit in PostgreSQL": {"sums of money", func(e *evidence) {
			o := e.orders["procurement:B"]
			o.total = "90071992547409930.08"
			e.orders[o.key] = o
		}},
		"delivered and unknown to us":    {"sums of money", func(e *evidence) { o := e.orders["icbu:A"]; o.deliveredRevision = 0; e.orders[o.key] = o }},
		"a bad one without a letter":     {"letters are exactly", func(e *evidence) { e.parked = nil }},
		"a letter of a good one":         {"letters are exactly", func(e *evidence) { e.letter(first, 0, "partner_rejected") }},
		"a letter with another code":     {"letters are exactly", func(e *evidence) { e.parked[0].code = "bad_time" }},
		"a letter that Kafka lacks":      {"letters are exactly", func(e *evidence) { e.letters = nil }},
		"a letter that PostgreSQL lacks": {"letters are exactly", func(e *evidence) { e.letters = append(e.letters, record{key: "icbu:A", origin: place{"icbu", 0, 0}}) }},
		"the balance lacks a record":     {"every hour balances", func(e *evidence) { e.hours[0].received-- }},
		"the balance waits for one":      {"every hour balances", func(e *evidence) { e.hours[0].open = 1 }},
		"the balance names one":          {"every hour balances", func(e *evidence) { e.unbalanced = []string{"no_row"} }},
		"an hour stays open":             {"an hour that is over", func(e *evidence) { e.hours[0].state = "frozen" }},
		"an hour is told incomplete":     {"an hour that is over", func(e *evidence) { e.hours[0].complete = false }},
		"an hour closes too late":        {"an hour that is over", func(e *evidence) { e.hours[0].closedAt = noon.Add(closeWithin + time.Second) }},
		"an hour that ends soon is open": {"an hour that is over", func(e *evidence) { e.hours[1].start = noon.Add(-time.Hour - balanceGrace + closeWithin) }},
		"the last hour is waited for":    {"an hour that is over", func(e *evidence) { e.last = true }},
		"a letter because of an outage":  {"no letter because", func(e *evidence) { e.letter(first, 0, "retries_exhausted") }},
	} {
		t.Run(name, func(t *testing.T) {
			e := sound()
			c.spoil(e)
			var broken []string
			for _, r := range newChecker(e).rule() {
				if len(r.violations) > 0 {
					broken = append(broken, r.law)
				}
			}
			if !slices.ContainsFunc(broken, func(law string) bool { return strings.HasPrefix(law, c.law) }) {
				t.Errorf("caught by %q only", broken)
			}
		})
	}
}

// What the ledger shows excuses what it explains, and no more.
func TestLedgerExcuses(t *testing.T) {
	e := sound()
	e.effects = append(e.effects, e.effects[1]) // once more after a call that was cut
	e.ledger["icbu:A"] = account{unknowns: 1}
	for _, r := range newChecker(e).rule() {
		if len(r.violations) > 0 {
			t.Errorf("%s: %v", r.law, r.violations)
		}
	}
	e.effects = append(e.effects, e.effects[1])
	if r := newChecker(e).oneEffect(); len(r.violations) == 0 {
		t.Error("two repeated effects with one unknown outcome are not caught")
	}
}

// A late call that the ledger shows as a takeover is excused if the newest came again after it.
func TestTakeoverExcuses(t *testing.T) {
	e := sound()
	first, second := doc("icbu:A", "10.01", good), doc("icbu:A", "20.01", good)
	e.effect(first)
	e.ledger["icbu:A"] = account{unknowns: 1, takeovers: 1}
	if r := newChecker(e).inOrder(); len(r.violations) != 1 || !strings.Contains(r.violations[0], "ended with 10.01") {
		t.Errorf("a partner that ends with the older one: %v", r.violations)
	}
	e.effect(second)
	for _, r := range newChecker(e).rule() {
		if len(r.violations) > 0 {
			t.Errorf("%s: %v", r.law, r.violations)
		}
	}
}

// Where EZR takes no changes, a changed order is parked as a conflict, and is not claimed to be delivered.
func TestRefusedChanges(t *testing.T) {
	first, second := doc("mall:S:M", "10.01", good), doc("mall:S:M", "20.01", good)
	changed := func(state, code string) *evidence {
		e := sound()
		e.existing = "2102"
		e.took(first, 0, "delivered")
		e.took(second, 1, state)
		e.effects = append(e.effects, effect{Partner: "ezr", Shop: "S", OrderNo: "M", Amount: "10.01"})
		e.held = append(e.held, held{Partner: "ezr", Shop: "S", OrderNo: "M", Amount: "10.01"})
		e.orders["mall:S:M"] = orderRow{key: "mall:S:M", source: "mall", state: "parked", deliveredTotal: "10.01", deliveredRevision: 1000}
		if code != "" {
			e.letter(second, 1, code)
		}
		return e
	}
	for _, r := range newChecker(changed("parked", "partner_conflict")).rule() {
		if len(r.violations) > 0 {
			t.Errorf("%s: %v", r.law, r.violations)
		}
	}
	if r := newChecker(changed("delivered", "")).lettersAreTheBad(); len(r.violations) == 0 {
		t.Error("a refused change that is claimed as delivered is not caught")
	}
	if r := newChecker(changed("parked", "partner_rejected")).lettersAreTheBad(); len(r.violations) == 0 {
		t.Error("a conflict under another code is not caught")
	}
}

func TestMatch(t *testing.T) {
	a, b := version{doc: doc("icbu:A", "1.00", good)}, version{doc: doc("icbu:A", "2.00", good)}
	wrong := version{doc: doc("icbu:A", "3.00", bad)}
	for name, c := range map[string]struct {
		versions []version
		effects  string
		extra    int
		behind   int
	}{
		"each once":                   {[]version{a, b}, "1 2", 0, 0},
		"the older one was skipped":   {[]version{a, b}, "2", 0, 0},
		"older after newer":           {[]version{a, b}, "2 1", 0, 1},
		"once more":                   {[]version{a, b}, "1 1 2", 1, 0},
		"a former content again":      {[]version{a, b, a}, "1 2 1", 0, 0},
		"equal pushes need no effect": {[]version{a, a, a}, "1", 0, 0},
		"an effect for equal pushes":  {[]version{a, a, a}, "1 1", 1, 0},
		"a bad one took effect":       {[]version{a, wrong}, "1 3", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var effects []effect
			for _, amount := range strings.Fields(c.effects) {
				effects = append(effects, effect{Amount: amount})
			}
			extra, behind := match(c.versions, effects)
			if extra != c.extra || len(behind) != c.behind {
				t.Errorf("%d extra, %d behind, want %d, %d", extra, len(behind), c.extra, c.behind)
			}
		})
	}
}

func TestLongestGap(t *testing.T) {
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	if got := longestGap([]time.Time{at(7), at(2), at(30)}, at(0), at(10)); got != 5*time.Second {
		t.Errorf("longest gap %v, want 5s", got)
	}
	if got := longestGap(nil, at(0), at(10)); got != 10*time.Second {
		t.Errorf("without a moment: %v, want the whole time", got)
	}
}

// The amounts of one order's contents differ, and the same content is the same bytes.
func TestDocuments(t *testing.T) {
	for _, source := range sourceNames {
		a := author{source: order.Source(source), number: "C1", shop: "S", serial: 10, at: noon}
		seen := map[string]bool{}
		for content := 1; content < 9; content++ {
			d := a.write(content, good, "")
			if seen[d.Amount] || seen[d.Digest] || sourceOf(d.Key) != source {
				t.Errorf("%s content %d: %+v", source, content, d)
			}
			seen[d.Amount], seen[d.Digest] = true, true
			if again := a.write(content, good, ""); again.Digest != d.Digest {
				t.Errorf("%s content %d: two writings differ", source, content)
			}
		}
		for _, code := range faultsOf[a.source] {
			if d := a.write(1, bad, code); seen[d.Digest] || d.Code != code {
				t.Errorf("%s: the document with %s is like the good one", source, code)
			}
		}
	}
}

// An hour has five minutes from when it can be closed at the earliest: its own end and grace, or the healing, whatever is later.
func TestWhenAnHourHasToBeClosed(t *testing.T) {
	over, running := hourCount{start: noon.Add(-3 * time.Hour)}, hourCount{start: noon.Add(-time.Minute)}
	if got := over.latest(noon); !got.Equal(noon.Add(closeWithin)) {
		t.Errorf("an hour that was over: %s", got)
	}
	if got := running.latest(noon); !got.Equal(noon.Add(59*time.Minute + balanceGrace + closeWithin)) {
		t.Errorf("the running hour: %s", got)
	}
	if !over.over(noon, false) || running.over(noon, false) || !running.over(noon, true) || (&hourCount{start: noon.Add(time.Minute)}).over(noon, true) {
		t.Error("the law is about other hours")
	}
}

// Whoever waits for hours to be closed waits as long as the law gives each of them, at whatever minute of the hour the run ends.
func TestClosedIsAwaitedAsLongAsTheLawAllows(t *testing.T) {
	for _, last := range []bool{false, true} {
		for second := range 3600 {
			healed, about := noon.Add(time.Duration(second)*time.Second), 0
			for _, start := range []time.Time{noon.Add(-2 * time.Hour), noon.Add(-time.Hour), noon} {
				h := hourCount{start: start}
				if !h.over(healed, last) {
					continue
				}
				if about++; closedBy(healed, last).Before(h.latest(healed)) {
					t.Fatalf("healed at %s: waited until %s, the hour from %s has until %s", healed, closedBy(healed, last), start, h.latest(healed))
				}
			}
			if wait := closedBy(healed, last).Sub(healed); about == 0 || !last && wait > 2*closeWithin {
				t.Fatalf("healed at %s: waited for %d hours, and %s", healed, about, wait)
			}
		}
	}
}
