package store_test

import (
	"testing"

	"orderflow/pkg/event"
	"orderflow/pkg/store"
)

func TestOnlyAnUnknownCallWithTheSameContentMayHaveBeenTaken(t *testing.T) {
	k := openBook(t)
	grant := k.call(k.a, 5, "A")
	if grant.MaybeTaken {
		t.Error("the first call ever")
	}
	k.settle(k.a, 5, grant.Attempt, store.Unknown)
	if grant = k.call(k.b, 5, "A"); !grant.MaybeTaken {
		t.Error("the same revision again")
	}
	k.settle(k.b, 5, grant.Attempt, store.NotTaken)
	if grant = k.call(k.b, 6, "A"); !grant.MaybeTaken {
		t.Error("a newer revision with the same content, the last call of it not taken")
	}
	k.settle(k.b, 6, grant.Attempt, store.Delivered)
	k.done(k.b, 5, "A", event.Superseded, 6)
	if grant = k.call(k.b, 7, "B"); grant.MaybeTaken {
		t.Error("other content")
	}
}

func TestUnknownIsResolvedBeforeANewerRevision(t *testing.T) {
	k := openBook(t)
	grant := k.call(k.a, 5, "A")
	k.settle(k.a, 5, grant.Attempt, store.Unknown)
	grant = k.claim(k.b, 6, "B")
	if grant.Verdict != store.Unsettled || grant.Earlier == nil {
		t.Fatalf("claim of the newer: %+v", grant)
	}
	if e := grant.Earlier; e.Revision != 5 || e.Digest != "A" || string(e.Request) != "sealed 5" || e.Attempt != 2 {
		t.Errorf("to be resolved: %+v", e)
	}
	k.busy(k.a, 6, "B")
	if settled := k.settle(k.b, 5, grant.Earlier.Attempt, store.Delivered); settled.Status != store.Kept || settled.Delivery.Revision != 5 {
		t.Errorf("resolved: %+v", settled)
	}
	k.deliver(k.b, 6, "B")
	k.done(k.a, 5, "A", event.Delivered, 0)
	if got := k.text("select coalesce(max(length(request)), 0)::text from deliveries"); got != "0" {
		t.Errorf("%s bytes of a settled request are kept", got)
	}
}

func TestUnknownStaysResolvableAfterACallThatWasNotTaken(t *testing.T) {
	k := openBook(t)
	k.settle(k.a, 5, k.call(k.a, 5, "A").Attempt, store.Unknown)
	k.settle(k.a, 5, k.call(k.a, 5, "A").Attempt, store.NotTaken)
	if grant := k.claim(k.b, 6, "B"); grant.Verdict != store.Unsettled || string(grant.Earlier.Request) != "sealed 5" {
		t.Errorf("claim of the newer: %+v", grant)
	}
}

func TestResolvedByRefusal(t *testing.T) {
	k := openBook(t)
	grant := k.call(k.a, 5, "A")
	k.settle(k.a, 5, grant.Attempt, store.Unknown)
	grant = k.claim(k.a, 6, "B")
	k.settle(k.a, 5, grant.Earlier.Attempt, store.Refused)
	k.deliver(k.a, 6, "B")
}

func TestUnknownIsNoDuplicateOfWhatWasBefore(t *testing.T) {
	k := openBook(t)
	k.deliver(k.a, 4, "A")
	grant := k.call(k.a, 5, "B")
	k.settle(k.a, 5, grant.Attempt, store.Unknown)
	if grant = k.claim(k.a, 6, "A"); grant.Verdict != store.Unsettled {
		t.Fatalf("the partner may hold B: %+v", grant)
	}
	k.settle(k.a, 5, grant.Earlier.Attempt, store.Delivered)
	k.deliver(k.a, 6, "A")
}

func TestSupersededRowStaysInDoubt(t *testing.T) {
	// The newer one was let go before anything was sent, so what the partner holds is the content of 5, if anything.
	superseded := func() *book {
		k := openBook(t)
		k.deliver(k.a, 4, "A")
		grant := k.call(k.a, 5, "B")
		k.settle(k.a, 5, grant.Attempt, store.Unknown)
		grant = k.call(k.a, 6, "B")
		k.settle(k.a, 6, grant.Attempt, store.NotTaken)
		k.done(k.a, 5, "B", event.Superseded, 6)
		return k
	}
	k := superseded()
	if grant := k.call(k.a, 6, "B"); !grant.MaybeTaken {
		t.Error("the partner may hold B from 5")
	}
	k = superseded()
	grant := k.call(k.a, 6, "B")
	k.settle(k.a, 6, grant.Attempt, store.Refused)
	k.exec("delete from deliveries where revision = 4")
	k.done(k.a, 3, "C", event.Superseded, 5)
	k = superseded()
	if grant := k.call(k.a, 7, "A"); grant.Delivery.Outcome != "" {
		t.Errorf("the partner may hold B: %+v", grant)
	}
}

func TestDeadClaimWithoutItsRequestWaitsForItsRecord(t *testing.T) {
	k := openBook(t)
	frozen := k.call(k.a, 5, "A")
	k.expire()
	k.busy(k.b, 6, "B")
	k.exec("update deliveries set claimed_at = now() - interval '61 minutes'")
	k.deliver(k.b, 6, "B")
	// Should its owner come back after all, it has lost its claim, and may have overwritten the newer one.
	if settled := k.settle(k.a, 5, frozen.Attempt, store.Delivered); settled.Status != store.Lost {
		t.Errorf("the frozen owner's settle: %+v", settled)
	}
	k.deliver(k.b, 6, "B")
	k.done(k.a, 5, "A", event.Superseded, 6)
}

func TestDeadClaimWithItsRequestIsResolved(t *testing.T) {
	k := openBook(t)
	k.intend(k.a, store.Intent{OrderKey: key, Revision: 5, Digest: "A", Request: []byte("sealed")})
	k.expire()
	grant := k.claim(k.b, 6, "B")
	if grant.Verdict != store.Unsettled || string(grant.Earlier.Request) != "sealed" {
		t.Fatalf("claim of the newer: %+v", grant)
	}
}

func TestExistsMayMeanWhatIsInDoubtBeforeTheOneThatIsResolved(t *testing.T) {
	k := openBook(t)
	k.call(k.a, 1, "B")
	k.expire()
	k.exec("update deliveries set claimed_at = now() - interval '61 minutes'")
	k.settle(k.a, 4, k.call(k.a, 4, "A").Attempt, store.Unknown)
	if grant := k.claim(k.b, 5, "C"); grant.Verdict != store.Unsettled || !grant.HoldsOther {
		t.Errorf("A or B may have been taken: %+v", grant)
	}
}
