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

// world is a partner that takes whatever lands, and two workers that claim, call, crash, freeze and come back. It holds
// the laws that the ledger is for; what the ledger does to keep them is its own business.
type world struct {
	*book
	key     order.Key
	content []string // digest of each revision, from 1 on
	arrived int      // revisions that exist so far
	hands   [2]*hand // what each worker is doing, nil when idle

	held    string           // the partner's content
	effects []order.Revision // what landed, in order
	late    bool             // the last of them came after its sender had lost its claim
	trouble bool             // some call's outcome was not known for sure
	doubt   order.Revision   // the greatest whose call may have landed, with nobody knowing since; 0: none
	asked   order.Revision   // the greatest that was ever claimed
	done    []order.Revision // what came to its end without a call
}

// hand is one worker in the middle of a delivery.
type hand struct {
	revision order.Revision
	attempt  int
	written  bool // the request is on its way
	landed   bool
	expired  bool // the lease ran out: nothing may be written any more
}

func (w *world) ledger(i int) *store.Ledger { return []*store.Ledger{w.a, w.b}[i] }

func (w *world) digest(r order.Revision) string { return w.content[r-1] }

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
	grants, err := w.ledger(i).Claim(w.Context(), []store.Intent{{OrderKey: w.key, Revision: r, Digest: w.digest(r), Newer: newer}})
	if err != nil {
		t.Fatal(err)
	}
	g := grants[0]
	w.asked = max(w.asked, r)
	switch g.Verdict {
	case store.Call:
		if newer > r && w.doubt == 0 && !w.trouble {
			t.Fatalf("revision %d is sent in front of %d", r, newer)
		}
		if w.held == w.digest(r) && !w.late && !g.MaybeTaken {
			t.Fatalf("the partner holds the content of %d by our own doing, and would be blamed for it", r)
		}
		w.hands[i] = &hand{revision: r, attempt: g.Attempt}
	case store.Unsettled:
		if e := g.Earlier; e.Revision >= r || e.Digest != w.digest(e.Revision) || string(e.Request) != fmt.Sprint("sealed ", e.Revision) {
			t.Fatalf("claim of %d gives %+v to resolve first", r, e)
		}
		w.hands[i] = &hand{revision: g.Earlier.Revision, attempt: g.Earlier.Attempt}
	case store.Done:
		w.checkDone(t, r, g.Delivery)
		w.done = append(w.done, r)
	case store.Busy, store.Held:
	}
	if h := w.hands[1-i]; w.hands[i] != nil && h != nil && !h.expired {
		t.Fatalf("two workers hold the order: revisions %d and %d", w.hands[i].revision, h.revision)
	}
	return g
}

// checkDone holds what the ledger says about a revision that is not sent against what the partner saw.
func (w *world) checkDone(t *rapid.T, r order.Revision, d event.Delivery) {
	switch d.Outcome {
	case event.Superseded:
		if d.Other <= r || int(d.Other) > w.arrived {
			t.Fatalf("revision %d superseded by %d", r, d.Other)
		}
		if w.asked <= r && w.doubt != 0 && !slices.Contains(w.done, r) {
			t.Fatalf("revision %d superseded by one that only waits, while a call of %d is in doubt", r, w.doubt)
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
}

// land lets the partner take the content. Only a request whose sender has lost its claim may come out of order.
func (w *world) land(t *rapid.T, h *hand) {
	if !h.expired && len(w.effects) > 0 && slices.Max(w.effects) > h.revision {
		t.Fatalf("revision %d sent after %d", h.revision, slices.Max(w.effects))
	}
	if !w.trouble && slices.Contains(w.effects, h.revision) {
		t.Fatalf("revision %d sent twice without a reason", h.revision)
	}
	w.held, w.late, h.landed = w.digest(h.revision), h.expired, true
	w.effects = append(w.effects, h.revision)
}

// finish settles what a worker holds: what landed was answered, what was only written is unknown, and may have landed.
func (w *world) finish(t *rapid.T, i int) {
	h := w.hands[i]
	s := store.Settlement{OrderKey: w.key, Revision: h.revision, Attempt: h.attempt, Took: time.Millisecond}
	switch {
	case h.landed:
		s.Ending = store.Delivered
	case h.written:
		s.Ending, s.Request = store.Unknown, fmt.Append(nil, "sealed ", h.revision)
		w.trouble = true
		if rapid.Bool().Draw(t, "taken") {
			w.land(t, h)
		}
	default:
		s.Ending = store.NotTaken
	}
	settled, err := w.ledger(i).Settle(w.Context(), []store.Settlement{s})
	if err != nil {
		t.Fatal(err)
	}
	switch status := settled[0].Status; {
	case status == store.Lost && !h.expired:
		t.Fatalf("lost the claim of %d while its lease lived", h.revision)
	case status == store.Kept && s.Ending == store.Unknown:
		w.doubt = max(w.doubt, h.revision)
	case status == store.Kept && s.Ending == store.Delivered && w.doubt <= h.revision:
		w.doubt = 0
	}
	w.hands[i] = nil
}

func (w *world) expireAll() {
	for _, h := range w.hands {
		if h != nil {
			h.expired, w.trouble = true, true
		}
	}
	w.exec("update deliveries set lease_until = now() - interval '1 s' where lease_until is not null and order_key = $1", w.key)
}

func (w *world) actions() map[string]func(*rapid.T) {
	idle := func(h *hand) bool { return h == nil }
	return map[string]func(*rapid.T){
		"arrive": func(t *rapid.T) { w.arrived = min(w.arrived+1, len(w.content)) },
		"claim": func(t *rapid.T) {
			i := w.pick(t, idle)
			r := order.Revision(rapid.IntRange(1, w.arrived).Draw(t, "revision"))
			newer := order.Revision(rapid.IntRange(int(r), w.arrived).Draw(t, "newer"))
			if newer == r {
				newer = 0
			}
			w.claimRevision(t, i, r, newer)
		},
		"write": func(t *rapid.T) {
			i := w.pick(t, func(h *hand) bool { return h != nil && !h.written && !h.expired })
			w.hands[i].written = true
		},
		"land": func(t *rapid.T) {
			w.land(t, w.hands[w.pick(t, func(h *hand) bool { return h != nil && h.written && !h.landed })])
		},
		"settle": func(t *rapid.T) { w.finish(t, w.pick(t, func(h *hand) bool { return h != nil })) },
		"crash": func(t *rapid.T) {
			i := w.pick(t, func(h *hand) bool { return h != nil && !h.expired })
			if h := w.hands[i]; h.written && !h.landed && rapid.Bool().Draw(t, "taken") {
				w.land(t, h)
			}
			if w.hands[i].written {
				w.doubt = max(w.doubt, w.hands[i].revision)
			}
			w.hands[i], w.trouble = nil, true
		},
		"expire": func(*rapid.T) { w.expireAll() },
	}
}

// drain brings everything to its end, as a healthy worker does with what is redelivered.
func (w *world) drain(t *rapid.T) {
	for i, h := range w.hands {
		if h != nil {
			w.finish(t, i)
		}
	}
	w.expireAll()
	for range 2 {
		for r := order.Revision(1); int(r) <= w.arrived; r++ {
			for tries := 0; w.claimRevision(t, 0, r, 0).Verdict != store.Done; tries++ {
				if tries == 10 {
					t.Fatalf("revision %d does not come to an end", r)
				}
				if h := w.hands[0]; h != nil {
					h.written = true
					w.land(t, h)
					w.finish(t, 0)
				}
			}
		}
	}
}

func TestLedgerLaws(t *testing.T) {
	k := openBook(t)
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		content := rapid.SliceOfN(rapid.SampledFrom([]string{"A", "B", "C"}), 5, 5).Draw(t, "content")
		w := &world{book: k, key: order.Key(fmt.Sprintf("icbu:law-%d", runs)), arrived: 1, content: content}
		t.Repeat(w.actions())
		w.drain(t)
		if newest := w.digest(order.Revision(w.arrived)); w.held != newest {
			t.Fatalf("the partner holds %s, the newest of %v is %s; it saw %v", w.held, w.content[:w.arrived], newest, w.effects)
		}
	})
}
