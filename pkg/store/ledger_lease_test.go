package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

func TestAnotherLiveLeaseOnTheOrderIsBusy(t *testing.T) {
	k := openBook(t)
	k.call(k.a, 5, "A")
	for _, revision := range []order.Revision{4, 5, 6} {
		k.busy(k.b, revision, "B")
	}
	k.expire()
	k.call(k.b, 5, "A")
	k.busy(k.a, 5, "A")
}

func TestOneOfManyWorkersGetsTheOrder(t *testing.T) {
	s, _ := open(t)
	const rounds, workers, orders = 30, 6, 40
	for round := range rounds {
		var intents []store.Intent
		for i := range orders {
			intents = append(intents, store.Intent{OrderKey: order.Key(fmt.Sprintf("icbu:%d-%d", round, i)), Revision: 5, Digest: "A"})
		}
		calls := map[order.Key]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range workers {
			l := s.Ledger("okki", "okkisync", fmt.Sprint("owner ", w))
			mine := slices.Clone(intents)
			if w%2 == 1 {
				slices.Reverse(mine) // no order of claiming may end in a deadlock
			}
			wg.Go(func() {
				grants, err := l.Claim(t.Context(), mine)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for i, grant := range grants {
					if grant.Verdict == store.Call {
						calls[mine[i].OrderKey]++
					}
				}
			})
		}
		wg.Wait()
		for _, in := range intents {
			if n := calls[in.OrderKey]; n != 1 {
				t.Fatalf("%s: granted to %d workers", in.OrderKey, n)
			}
		}
	}
}

func TestLetGoIsNotBusy(t *testing.T) {
	k := openBook(t)
	grant := k.call(k.a, 5, "A")
	k.settle(k.a, 5, grant.Attempt, store.NotTaken)
	if grant = k.call(k.b, 5, "A"); grant.MaybeTaken || grant.Attempt != 2 {
		t.Errorf("nothing was sent before: %+v", grant)
	}
}

func TestAWorkerThatDiedLeavesUnknown(t *testing.T) {
	k := openBook(t)
	k.call(k.a, 5, "A")
	k.expire()
	grant := k.call(k.b, 5, "A")
	if !grant.MaybeTaken || grant.Attempt != 2 {
		t.Errorf("after a lease ran out: %+v", grant)
	}
	k.settle(k.b, 5, grant.Attempt, store.NotTaken)
	if grant = k.call(k.b, 5, "A"); !grant.MaybeTaken {
		t.Errorf("the first call is as unknown as it was: %+v", grant)
	}
	if got := k.text("select step || ' ' || detail from order_events where dedupe = '1' and step = 'attempt'"); got != "attempt unknown: its claim ran out" {
		t.Errorf("timeline: %s", got)
	}
	if ending, took := (store.Event{Detail: "unknown: its claim ran out"}).Call(); ending != store.Unknown || took != -1 {
		t.Errorf("told as %s, %v", ending, took)
	}
	if got := k.text("select unknowns::text from deliveries"); got != "1" {
		t.Errorf("%s unknown outcomes counted", got)
	}
}

func TestOwnLeftoverIsClaimedAgainAsUnknown(t *testing.T) {
	k := openBook(t)
	k.call(k.a, 5, "A")
	if grant := k.call(k.a, 5, "A"); !grant.MaybeTaken {
		t.Error("the settle of the first claim never came: its call may have been taken")
	}
}

func TestTakenOverClaimMakesTheNewestDirty(t *testing.T) {
	k := openBook(t)
	frozen := k.call(k.a, 5, "A")
	k.expire()
	k.deliver(k.b, 5, "A")
	present := k.call(k.b, 6, "B")
	if settled := k.settle(k.a, 5, frozen.Attempt, store.Delivered); settled.Status != store.Lost {
		t.Fatalf("the frozen owner's settle: %+v", settled)
	}
	if settled := k.settle(k.b, 6, present.Attempt, store.Delivered); settled.Status != store.Again {
		t.Fatalf("the present owner's settle: %+v", settled)
	}
	present = k.call(k.b, 6, "B")
	if !present.MaybeTaken {
		t.Error("its own first call was taken")
	}
	if settled := k.settle(k.b, 6, present.Attempt, store.Delivered); settled.Status != store.Kept {
		t.Errorf("the second settle: %+v", settled)
	}
	k.done(k.b, 7, "B", event.Duplicate, 6)
	if got := k.text("select takeovers::text from deliveries where revision = 5"); got != "1" {
		t.Errorf("%s takeovers counted", got)
	}
}

func TestTakenOverAfterTheNewestSettled(t *testing.T) {
	for name, next := range map[string]func(k *book) store.Grant{
		"same revision":        func(k *book) store.Grant { return k.call(k.b, 6, "B") },
		"newer, equal content": func(k *book) store.Grant { return k.call(k.b, 7, "B") },
		"newer, other content": func(k *book) store.Grant { return k.call(k.b, 7, "C") },
	} {
		t.Run(name, func(t *testing.T) {
			k := openBook(t)
			frozen := k.call(k.a, 5, "A")
			k.expire()
			k.deliver(k.b, 5, "A")
			k.deliver(k.b, 6, "B")
			if settled := k.settle(k.a, 5, frozen.Attempt, store.Unknown); settled.Status != store.Lost {
				t.Fatalf("the frozen owner's settle: %+v", settled)
			}
			grant := next(k)
			if name != "newer, other content" && !grant.MaybeTaken {
				t.Error("the content was taken before")
			}
		})
	}
}

func TestTakenOverWithoutEffectLeavesTheNewestAlone(t *testing.T) {
	for name, late := range map[string]struct {
		newest string
		ending store.Ending
	}{
		"not taken":    {"B", store.NotTaken},
		"refused":      {"B", store.Refused},
		"same content": {"A", store.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			k := openBook(t)
			frozen := k.call(k.a, 5, "A")
			k.expire()
			k.deliver(k.b, 5, "A")
			if k.claim(k.b, 6, late.newest).Verdict == store.Call {
				k.settle(k.b, 6, 1, store.Delivered)
			}
			if settled := k.settle(k.a, 5, frozen.Attempt, late.ending); settled.Status != store.Lost {
				t.Fatalf("the frozen owner's settle: %+v", settled)
			}
			k.done(k.b, 7, late.newest, event.Duplicate, 6)
		})
	}
}

func TestTakenOverLeavesARefusedOneAlone(t *testing.T) {
	k := openBook(t)
	frozen := k.call(k.a, 5, "A")
	k.expire()
	k.deliver(k.b, 5, "A")
	k.settle(k.b, 6, k.call(k.b, 6, "B").Attempt, store.Conflict)
	k.settle(k.a, 5, frozen.Attempt, store.Delivered)
	k.settle(k.b, 6, k.call(k.b, 6, "B").Attempt, store.NotTaken)
	if grant := k.call(k.b, 6, "B"); grant.MaybeTaken {
		t.Error("B was never taken")
	}
}

func TestSettlingTwiceIsNoTakeover(t *testing.T) {
	k := openBook(t)
	grant := k.call(k.a, 5, "A")
	for _, want := range []store.Status{store.Kept, store.Lost} {
		if settled := k.settle(k.a, 5, grant.Attempt, store.Delivered); settled.Status != want {
			t.Errorf("settled: %s, wanted %s", settled.Status, want)
		}
	}
	if got := k.text("select takeovers::text from deliveries"); got != "0" {
		t.Errorf("%s takeovers counted", got)
	}
}

func TestAnOldAttemptCannotSettleANewerOne(t *testing.T) {
	k := openBook(t)
	old := k.call(k.a, 5, "A")
	k.deliver(k.a, 5, "A")
	k.deliver(k.a, 6, "B")
	if settled := k.settle(k.a, 5, old.Attempt, store.Delivered); settled.Status != store.Lost {
		t.Errorf("settled: %s", settled.Status)
	}
	k.deliver(k.a, 6, "B") // the old call may have come after it
}

func TestDeadlineIsUnderHalfTheLease(t *testing.T) {
	k := openBook(t)
	grant := k.call(k.a, 5, "A")
	since, err := time.Parse(time.RFC3339Nano, k.text(`select to_json(claimed_at)#>>'{}' from deliveries`))
	if err != nil {
		t.Fatal(err)
	}
	if limit := since.Add(k.a.Lease / 2); !grant.Deadline.Before(limit) {
		t.Errorf("deadline %s after half the lease", grant.Deadline.Sub(limit))
	}
	if got := k.text("select (lease_until - claimed_at)::text from deliveries"); got != "00:00:30" {
		t.Errorf("the lease is %s", got)
	}
}
