package store_test

import (
	"strings"
	"testing"

	"orderflow/pkg/event"
	"orderflow/pkg/store"
)

// soil delivers 6 after a frozen call of 5, which then comes after all.
func soil(k *book) {
	k.Helper()
	frozen := k.call(k.a, 5, "A")
	k.expire()
	k.deliver(k.b, 5, "A")
	grant := k.call(k.b, 6, "B")
	if !grant.Keep {
		k.Error("a late call of 5 is to be expected")
	}
	s := store.Settlement{OrderKey: key, Revision: 6, Attempt: grant.Attempt, Ending: store.Delivered, Request: []byte("sealed 6")}
	if _, err := k.b.Settle(k.Context(), []store.Settlement{s}); err != nil {
		k.Fatal(err)
	}
	k.settle(k.a, 5, frozen.Attempt, store.Delivered)
}

func TestNothingIsKeptOnTheNormalWay(t *testing.T) {
	k := openBook(t)
	k.settle(k.a, 1, k.call(k.a, 1, "A").Attempt, store.NotTaken)
	k.deliver(k.a, 1, "A")
	if grant := k.call(k.a, 2, "B"); grant.Keep {
		t.Error("no call of the older one is in doubt")
	}
}

func TestALateCallOfARevisionClosedByTheSameProcess(t *testing.T) {
	k := openBook(t)
	hung := k.call(k.a, 5, "A")
	k.expire()
	k.exec("update deliveries set claimed_at = now() - interval '61 minutes'")
	k.deliver(k.a, 6, "B")
	k.settle(k.a, 5, hung.Attempt, store.Delivered)
	if got := k.text("select string_agg(revision::text, ' ') from deliveries where dirty and mend_after is not null"); got != "6" {
		t.Errorf("dirty: %q", got)
	}
	if got := k.text("select takeovers::text from deliveries where revision = 5"); got != "1" {
		t.Errorf("%s takeovers counted", got)
	}
}

func TestInTimeForItsOwnRowButLateForANewerOne(t *testing.T) {
	k := openBook(t)
	frozen := k.call(k.a, 5, "A")
	k.expire()
	k.exec("update deliveries set claimed_at = now() - interval '61 minutes'")
	present := k.call(k.b, 6, "B")
	if settled := k.settle(k.a, 5, frozen.Attempt, store.Delivered); settled.Status != store.Kept {
		t.Errorf("nobody took 5 over: %s", settled.Status)
	}
	if settled := k.settle(k.b, 6, present.Attempt, store.Delivered); settled.Status != store.Again {
		t.Errorf("5 may have come after 6: %s", settled.Status)
	}
}

func TestALateAcceptanceOfARefusedRevisionIsInDoubt(t *testing.T) {
	k := openBook(t)
	k.deliver(k.a, 4, "A")
	k.intend(k.a, store.Intent{OrderKey: key, Revision: 5, Digest: "B", Request: []byte("sealed")})
	k.expire()
	k.settle(k.b, 5, k.call(k.b, 5, "B").Attempt, store.Refused)
	k.settle(k.a, 5, 1, store.Delivered)
	if grant := k.call(k.b, 6, "A"); !grant.Keep {
		t.Error("the partner may hold B, and more of it may come")
	}
}

// A frozen call of a revision that was refused meanwhile may yet change what the partner took before. Its content again is
// no duplicate then: nothing was kept of the first, and the second has to be there when the late call comes.
func TestTheContentBeforeARefusalIsSentAgainWhileALateCallIsExpected(t *testing.T) {
	k := openBook(t)
	k.deliver(k.a, 4, "A")
	frozen := k.call(k.a, 5, "B")
	k.expire()
	k.settle(k.b, 5, k.call(k.b, 5, "B").Attempt, store.Refused)
	grant := k.call(k.b, 6, "A")
	if !grant.Keep || !grant.MaybeTaken {
		t.Errorf("%+v", grant)
	}
	s := store.Settlement{OrderKey: key, Revision: 6, Attempt: grant.Attempt, Ending: store.Delivered, Request: []byte("sealed 6")}
	if _, err := k.b.Settle(t.Context(), []store.Settlement{s}); err != nil {
		t.Fatal(err)
	}
	k.done(k.b, 7, "A", event.Duplicate, 6)
	k.settle(k.a, 5, frozen.Attempt, store.Unknown)
	mends, err := k.b.Dirty(t.Context(), 10)
	if err != nil || len(mends) != 1 || mends[0].Intent.Revision != 7 || string(mends[0].Request) != "sealed 6" {
		t.Errorf("to be sent again: %+v, %v", mends, err)
	}
}

func TestTheContentBeforeARefusalIsADuplicateWhenNoLateCallIsExpected(t *testing.T) {
	k := openBook(t)
	k.deliver(k.a, 4, "A")
	k.settle(k.a, 5, k.call(k.a, 5, "B").Attempt, store.Refused)
	k.done(k.b, 6, "A", event.Duplicate, 4)

	k = openBook(t)
	k.deliver(k.a, 4, "A")
	k.settle(k.a, 5, k.call(k.a, 5, "B").Attempt, store.Unknown)
	k.settle(k.b, 5, k.call(k.b, 5, "B").Attempt, store.Refused)
	k.exec("update deliveries set claimed_at = claimed_at - interval '121 minutes'")
	k.done(k.b, 6, "A", event.Duplicate, 4)
}

// A late call that surely changed nothing leaves what was delivered before as what "exists already" means.
func TestExistsMeansWhatIsSentAgainAfterAHarmlessLateCall(t *testing.T) {
	k := openBook(t)
	k.deliver(k.a, 4, "A")
	frozen := k.call(k.a, 5, "B")
	k.expire()
	k.settle(k.b, 5, k.call(k.b, 5, "B").Attempt, store.Refused)
	k.settle(k.a, 5, frozen.Attempt, store.Refused)
	if grant := k.call(k.b, 6, "A"); !grant.MaybeTaken || grant.HoldsOther {
		t.Errorf("%+v", grant)
	}
}

func TestExistsMayMeanWhatALateCallBrought(t *testing.T) {
	k := openBook(t)
	frozen := k.call(k.a, 5, "A")
	k.expire()
	k.exec("update deliveries set claimed_at = now() - interval '61 minutes'")
	k.settle(k.b, 6, k.call(k.b, 6, "B").Attempt, store.Unknown)
	if grant := k.call(k.b, 6, "B"); !grant.MaybeTaken || !grant.HoldsOther {
		t.Errorf("A or B may have been taken: %+v", grant)
	}
	k.settle(k.a, 5, frozen.Attempt, store.Delivered)
	if grant := k.call(k.b, 6, "B"); !grant.HoldsOther {
		t.Errorf("A was taken: %+v", grant)
	}
}

func TestAnOlderDoubtIsNotResolvedAfterTheNewerOneMayHaveBeenTaken(t *testing.T) {
	k := openBook(t)
	frozen := k.call(k.a, 5, "A")
	k.expire()
	k.exec("update deliveries set claimed_at = now() - interval '61 minutes'")
	k.settle(k.b, 6, k.call(k.b, 6, "B").Attempt, store.Unknown)
	k.settle(k.a, 5, frozen.Attempt, store.Unknown) // leaves its request
	k.deliver(k.b, 6, "B")
}

func TestAMenderDiesAndTheNextOneGoesOn(t *testing.T) {
	k := openBook(t)
	soil(k)
	k.claim(k.a.Mender(), 6, "B")
	if mends, err := k.b.Dirty(t.Context(), 10); err != nil || len(mends) > 0 {
		t.Errorf("while its lease lives: %+v, %v", mends, err)
	}
	k.expire()
	mends, err := k.b.Dirty(t.Context(), 10)
	if err != nil || len(mends) != 1 || mends[0].Intent.Revision != 6 || string(mends[0].Request) != "sealed 6" {
		t.Fatalf("after it: %+v, %v", mends, err)
	}
	grant := k.call(k.b.Mender(), 6, "B")
	if settled := k.settle(k.b.Mender(), 6, grant.Attempt, store.Delivered); settled.Delivery.Outcome != event.Delivered {
		t.Errorf("settled: %+v", settled)
	}
	if n, err := k.b.CountDirty(t.Context()); err != nil || n != 0 {
		t.Errorf("%d dirty, %v", n, err)
	}
}

func TestANewerDeliveryEndsTheMending(t *testing.T) {
	k := openBook(t)
	soil(k)
	grant := k.claim(k.b, 7, "C")
	if mends, err := k.a.Dirty(t.Context(), 10); err != nil || len(mends) > 0 {
		t.Errorf("a newer one is on its way: %+v, %v", mends, err)
	}
	k.settle(k.b, 7, grant.Attempt, store.Delivered)
	if got := k.text("select count(*)::text from deliveries where dirty or mend_after is not null"); got != "0" {
		t.Errorf("%s rows are still dirty", got)
	}
}

func TestKeptRequestsAreForgottenAfterAnHourUnlessTheyAreNeeded(t *testing.T) {
	k := openBook(t)
	soil(k)
	k.exec("update deliveries set keep_until = keep_until - interval '61 minutes'")
	forget := func(want string) {
		t.Helper()
		if err := k.a.ForgetRequests(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := k.text("select count(*)::text from deliveries where request is not null"); got != want {
			t.Errorf("%s requests are kept, wanted %s", got, want)
		}
	}
	forget("1")
	k.settle(k.b.Mender(), 6, k.call(k.b.Mender(), 6, "B").Attempt, store.Delivered)
	forget("0")
}

func TestFindingWhatIsDirtyOrOldReadsNoWholeTable(t *testing.T) {
	k := openBook(t)
	k.exec(`insert into deliveries (partner, order_key, revision, digest, state, outcome, owner, claimed_at, settled_at)
		select 'okki', 'icbu:' || n, 1, 'A', 'settled', 'delivered', 'a', now(), now() from generate_series(1, 5000) n`)
	k.exec("analyze deliveries")
	for name, sql := range store.MendQueries() {
		rows, err := k.conn.Query(t.Context(), "explain "+strings.NewReplacer("$1", "'okki'", "$2", "100").Replace(sql))
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, "Seq Scan") {
				t.Errorf("%s: %s", name, line)
			}
		}
		rows.Close()
	}
}
