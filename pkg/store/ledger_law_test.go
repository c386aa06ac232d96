package store_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"arrive": func(t *rapid.T) { w.arrived = min(w.arrived+1, len(w.content)) },
		"claim": func(t *rapid.T) {
			i := rapid.IntRange(0, 1).Draw(t, "worker")
			if w.hands[i] != nil {
				t.SkipNow()
			}
			r := order.Revision(rapid.IntRange(1, w.arrived).Draw(t, "revision"))
			newer := order.Revision(rapid.IntRange(int(r), w.arrived).Draw(t, "newer"))
			if newer == r {
				newer = 0
			}
			w.stale = rapid.Bool().Draw(t, "stale")
			w.claimRevision(t, i, r, newer)
			w.stale = false
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
			w.claimRevision(t, 0, r, 0)
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
