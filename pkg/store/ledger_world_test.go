package store_test

import (
	"fmt"
	"slices"
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
	stale   bool // the next claim is one by a worker that has lost its partition
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

// claimRevision claims a revision, with a newer one waiting behind it or 0.
func (w *world) claimRevision(t *rapid.T, i int, r, newer order.Revision) store.Grant {
	in := store.Intent{OrderKey: w.key, Revision: r, Digest: w.digest(r), Newer: newer}
	// A revision that was told comes by a replay, or to a worker that does not know that it has lost the partition.
	if _, told := w.told[r]; told && !w.stale || i == mending {
		in.Request = sealed(r)
	}
	grants, err := w.ledger(i).Claim(w.Context(), []store.Intent{in})
	if err != nil {
		t.Fatal(err)
	}
	g := grants[0]
	switch g.Verdict {
	case store.Call:
		if newer > r && !w.trouble {
			t.Fatalf("revision %d is sent in front of %d", r, newer)
		}
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
	case store.Busy, store.Held:
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
		if d.Other <= r || int(d.Other) > w.arrived {
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
		w.claimRevision(t, mending, m.Intent.Revision, 0)
		return w.hands[mending] != nil
	}
	return false
}
