package store_test

import (
	"testing"

	"orderflow/pkg/store"
)

// A worker that does not know that it has lost its partition claims a revision once more whose refusal was told, and dies.
// Nothing brings that record back: the newer one waits for the lease and no longer.
func TestStaleClaimOfARefusedRevisionHoldsNobodyBack(t *testing.T) {
	k := openBook(t)
	first := k.call(k.a, 1, "A")
	k.settle(k.a, 1, first.Attempt, store.Refused)
	k.call(k.a, 1, "A")
	if g := k.claim(k.b, 2, "B"); g.Verdict != store.Busy {
		t.Fatalf("beside the live claim: %s", g.Verdict)
	}
	k.expire()
	if g := k.claim(k.b, 2, "B"); g.Verdict != store.Call || !g.Keep {
		t.Errorf("after its lease: %+v", g)
	}
}

// The same, but the worker comes back, claims once more and lets go.
func TestStaleClaimThatIsLetGoHoldsNobodyBack(t *testing.T) {
	k := openBook(t)
	k.settle(k.a, 1, k.call(k.a, 1, "A").Attempt, store.Refused)
	k.call(k.a, 1, "A")
	k.settle(k.a, 1, k.call(k.a, 1, "A").Attempt, store.NotTaken)
	if g := k.claim(k.b, 2, "B"); g.Verdict != store.Call || !g.Keep {
		t.Errorf("after it let go: %+v", g)
	}
}
