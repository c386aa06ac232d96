package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// unwanted is a content that the partner never takes.
const unwanted = "X"

// world is a partner and the hands that work for it: two workers that claim, call, crash, freeze and come back, and a
// mender. A frozen hand is set aside, and its call may land long after others took over. A record whose outcome was told
// is not redelivered. The world holds the laws that the ledger is for; what the ledger does to keep them is its business.
type world struct {
	*book
	key     order.Key
	strict  bool // the partner takes no changes: "exists already" to whatever comes after the first
	content []string
	arrived int      // revisions that exist so far
	hands   [3]*hand // what each worker and the mender is doing, nil when idle
	frozen  []*hand
	told    map[order.Revision]event.Outcome // "" for a letter

	held    string           // the partner's content
	effects []order.Revision // what landed and was taken, in order
	waited  bool
	late    bool // the last of them came after its sender had lost its claim
	trouble bool // some call's outcome was not known for sure
}

// mending is the mender's place among the hands.
const mending = 2

// hand is one worker in the middle of a delivery.
type hand struct {
	owner    int
	revision order.Revision
	grant    store.Grant
	attempt  int
	written  bool // the request is on its way
	answer   store.Ending
	exists   bool
	expired  bool // the lease ran out: nothing may be written any more
}

func (h *hand) landed() bool { return h.answer != "" || h.exists }

func (w *world) ledger(i int) *store.Ledger {
	return []*store.Ledger{w.a, w.b, w.b.Mender()}[i]
}

func (w *world) digest(r order.Revision) string { return w.content[r-1] }

func sealed(r order.Revision) []byte { return fmt.Append(nil, "sealed ", r) }

func (w *world) pick(t *rapid.T, fits func(h *hand) bool) int {
	var fitting []int
	for i, h := range w.hands {
		if fits(h) {
			fitting = append(fitting, i)
		}
	}
	if len(fitting) == 0 {
		t.SkipNow()
	}
	return rapid.SampledFrom(fitting).Draw(t, "worker")
}

func (w *world) claimRevision(t *rapid.T, i int, r order.Revision) store.Grant {
	in := store.Intent{OrderKey: w.key, Revision: r, Digest: w.digest(r)}
	if _, replay := w.told[r]; replay || i == mending {
		in.Request = sealed(r)
	}
	grants, err := w.ledger(i).Claim(w.Context(), []store.Intent{in})
	if err != nil {
		t.Fatal(err)
	}
	g := grants[0]
	switch g.Verdict {
	case store.Call:
		if w.held == w.digest(r) && !w.late && !g.MaybeTaken {
			t.Fatalf("the partner holds the content of %d by our own doing, and would be blamed for it", r)
		}
		w.hands[i] = &hand{owner: i, revision: r, grant: g, attempt: g.Attempt}
	case store.Unsettled:
		if e := g.Earlier; e.Revision >= r || e.Digest != w.digest(e.Revision) || string(e.Request) != string(sealed(e.Revision)) {
			t.Fatalf("claim of %d gives %+v to resolve first", r, e)
		}
		g.MaybeTaken = true
		w.hands[i] = &hand{owner: i, revision: g.Earlier.Revision, grant: g, attempt: g.Earlier.Attempt}
	case store.Done:
		if i != mending {
			w.tell(t, r, g.Delivery)
		}
	case store.Busy:
	}
	for n, h := range w.hands {
		if n != i && w.hands[i] != nil && h != nil && !h.expired {
			t.Fatalf("two workers hold the order: revisions %d and %d", w.hands[i].revision, h.revision)
		}
	}
	return g
}

// tell holds what the ledger says about a revision against what the partner saw and what was told before.
func (w *world) tell(t *rapid.T, r order.Revision, d event.Delivery) {
	switch d.Outcome {
	case event.Superseded:
		if d.Other <= r {
			t.Fatalf("revision %d superseded by %d", r, d.Other)
		}
	case event.Duplicate:
		if d.Other >= r || w.digest(d.Other) != w.digest(r) {
			t.Fatalf("revision %d (%s) is no duplicate of %d", r, w.digest(r), d.Other)
		}
	case event.Delivered:
		if !slices.ContainsFunc(w.effects, func(e order.Revision) bool { return w.digest(e) == w.digest(r) }) {
			t.Fatalf("revision %d delivered, but the partner never saw its content", r)
		}
	}
	if before := w.told[r]; before != "" && before != d.Outcome {
		t.Fatalf("revision %d was told as %s, now as %q", r, before, d.Outcome)
	}
	w.told[r] = d.Outcome
}

// land lets the partner answer. Only a request whose sender has lost its claim may come out of order.
func (w *world) land(t *rapid.T, h *hand) {
	content := w.digest(h.revision)
	switch {
	case content == unwanted:
		h.answer = store.Refused
		return
	case w.strict && w.held != "":
		h.exists = true
		return
	}
	if !h.expired && len(w.effects) > 0 && slices.Max(w.effects) > h.revision {
		t.Fatalf("revision %d sent after %d", h.revision, slices.Max(w.effects))
	}
	if !w.trouble && slices.Contains(w.effects, h.revision) {
		t.Fatalf("revision %d sent twice without a reason", h.revision)
	}
	w.held, w.late, h.answer = content, h.expired, store.Delivered
	w.effects = append(w.effects, h.revision)
}

// finish settles what a hand holds: what landed was answered, what was only written is unknown, and may have landed.
func (w *world) finish(t *rapid.T, h *hand) {
	s := store.Settlement{OrderKey: w.key, Revision: h.revision, Attempt: h.attempt, Took: time.Millisecond}
	switch {
	case h.exists && h.grant.MaybeTaken && !h.grant.HoldsOther:
		s.Ending = store.Delivered
	case h.exists:
		s.Ending = store.Conflict
	case h.answer != "":
		s.Ending = h.answer
	case h.written:
		s.Ending, s.Request = store.Unknown, sealed(h.revision)
		w.trouble = true
		if rapid.Bool().Draw(t, "taken") {
			w.land(t, h)
		}
	default:
		s.Ending = store.NotTaken
	}
	if s.Ending == store.Delivered && h.grant.Keep {
		s.Request = sealed(h.revision)
	}
	settled, err := w.ledger(h.owner).Settle(w.Context(), []store.Settlement{s})
	if err != nil {
		t.Fatal(err)
	}
	if settled[0].Status == store.Lost && !h.expired {
		t.Fatalf("lost the claim of %d while its lease lived", h.revision)
	}
	if final := s.Ending != store.Unknown && s.Ending != store.NotTaken; final && settled[0].Status == store.Kept && h.owner != mending {
		w.tell(t, h.revision, settled[0].Delivery)
	}
}

func (w *world) put(t *rapid.T, i int) {
	h := w.hands[i]
	w.hands[i] = nil
	w.finish(t, h)
}

func (w *world) expireAll() {
	for _, h := range w.hands {
		if h != nil {
			h.expired, w.trouble = true, true
		}
	}
	w.exec("update deliveries set lease_until = now() - interval '1 s' where lease_until is not null and order_key = $1", w.key)
}

// mend lets the mender begin with what is due, and tells whether it did.
func (w *world) mend(t *rapid.T) bool {
	w.exec("update deliveries set mend_after = now() where mend_after is not null and order_key = $1", w.key)
	mends, err := w.ledger(mending).Dirty(w.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mends {
		if m.Intent.OrderKey != w.key {
			continue
		}
		if string(m.Request) != string(sealed(m.RequestRevision)) || w.digest(m.RequestRevision) != w.digest(m.Intent.Revision) {
			t.Fatalf("to be sent again for %+v: %s", m.Intent, m.Request)
		}
		w.claimRevision(t, mending, m.Intent.Revision)
		return w.hands[mending] != nil
	}
	return false
}

func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"arrive": func(t *rapid.T) { w.arrived = min(w.arrived+1, len(w.content)) },
		"claim": func(t *rapid.T) {
			i := rapid.IntRange(0, 1).Draw(t, "worker")
			if w.hands[i] != nil {
				t.SkipNow()
			}
			w.claimRevision(t, i, order.Revision(rapid.IntRange(1, w.arrived).Draw(t, "revision")))
		},
		"mend": func(t *rapid.T) {
			if w.hands[mending] != nil || !w.mend(t) {
				t.SkipNow()
			}
		},
		"write": func(t *rapid.T) {
			i := w.pick(t, func(h *hand) bool { return h != nil && !h.written && !h.expired })
			w.hands[i].written = true
		},
		"land": func(t *rapid.T) {
			w.land(t, w.hands[w.pick(t, func(h *hand) bool { return h != nil && h.written && !h.landed() })])
		},
		"settle": func(t *rapid.T) { w.put(t, w.pick(t, func(h *hand) bool { return h != nil })) },
		"crash": func(t *rapid.T) {
			i := w.pick(t, func(h *hand) bool { return h != nil && !h.expired })
			if h := w.hands[i]; h.written && !h.landed() && rapid.Bool().Draw(t, "taken") {
				w.land(t, h)
			}
			w.hands[i], w.trouble = nil, true
		},
		"expire": func(*rapid.T) { w.expireAll() },
		"freeze": func(t *rapid.T) {
			i := w.pick(t, func(h *hand) bool { return h != nil && h.written })
			w.expireAll()
			w.frozen, w.hands[i] = append(w.frozen, w.hands[i]), nil
		},
		"thaw": func(t *rapid.T) {
			if len(w.frozen) == 0 {
				t.SkipNow()
			}
			w.thaw(t, rapid.IntRange(0, len(w.frozen)-1).Draw(t, "frozen"))
		},
		"long wait": func(t *rapid.T) {
			if w.waited { // twice is longer than the ledger remembers
				t.SkipNow()
			}
			w.waited = true
			w.exec("update deliveries set claimed_at = claimed_at - interval '61 minutes' where state <> 'settled' and order_key = $1", w.key)
		},
	}
}

// thaw lets a frozen hand go on: what it had written lands now, or never.
func (w *world) thaw(t *rapid.T, i int) {
	h := w.frozen[i]
	w.frozen = slices.Delete(w.frozen, i, i+1)
	if !h.landed() && rapid.Bool().Draw(t, "lands") {
		w.land(t, h)
	}
	w.finish(t, h)
}

// redeliver brings to its end what nothing was told of yet, as a healthy worker does.
func (w *world) redeliver(t *rapid.T) {
	for i, h := range w.hands {
		if h != nil {
			w.put(t, i)
		}
	}
	w.expireAll()
	for r := order.Revision(1); int(r) <= w.arrived; r++ {
		for tries := 0; ; tries++ {
			if _, done := w.told[r]; done {
				break
			}
			if tries == 10 {
				t.Fatalf("revision %d does not come to an end", r)
			}
			w.claimRevision(t, 0, r)
			w.perform(t, 0)
		}
	}
}

func (w *world) perform(t *rapid.T, i int) {
	if h := w.hands[i]; h != nil {
		h.written = true
		w.land(t, h)
		w.put(t, i)
	}
}

// drain brings everything to its end. Only the mender sends again what was told already.
func (w *world) drain(t *rapid.T) {
	w.redeliver(t)
	for len(w.frozen) > 0 {
		w.thaw(t, 0)
	}
	w.redeliver(t)
	for tries := 0; w.mend(t); tries++ {
		if tries == 10 {
			t.Fatal("mending does not come to an end")
		}
		w.perform(t, mending)
	}
	if dirty, err := w.a.CountDirty(w.Context()); err != nil || dirty > 0 {
		t.Fatalf("%d orders are still dirty, %v", dirty, err)
	}
}

// check holds what the partner has in the end against the laws.
func (w *world) check(t *rapid.T) {
	if w.strict {
		for r, outcome := range w.told {
			if outcome == event.Delivered && w.digest(r) != w.held {
				t.Fatalf("revision %d (%s) was told as delivered, the partner holds %s", r, w.digest(r), w.held)
			}
		}
		return
	}
	newest := order.Revision(w.arrived)
	for newest > 0 && (w.digest(newest) == unwanted || w.told[newest] == event.Superseded) {
		newest--
	}
	if newest == 0 || w.held == w.digest(newest) || w.effects[len(w.effects)-1] > newest {
		return
	}
	t.Fatalf("the partner holds %s, the newest accepted of %v is %d; it saw %v", w.held, w.content[:w.arrived], newest, w.effects)
}

func TestLedgerLaws(t *testing.T) {
	k := openBook(t)
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		k.exec("delete from deliveries")
		w := &world{
			book: k, key: order.Key(fmt.Sprintf("icbu:law-%d", runs)), arrived: 1, told: map[order.Revision]event.Outcome{},
			strict:  rapid.Bool().Draw(t, "strict"),
			content: rapid.SliceOfN(rapid.SampledFrom([]string{"A", "B", "C", unwanted}), 5, 5).Draw(t, "content"),
		}
		t.Repeat(w.actions())
		w.drain(t)
		w.check(t)
	})
}
