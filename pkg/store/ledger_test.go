package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

const key order.Key = "icbu:P0001"

// book is a ledger seen by two owners.
type book struct {
	testing.TB
	a, b *store.Ledger
	conn *pgx.Conn
}

func openBook(t testing.TB) *book {
	t.Helper()
	s, url := open(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return &book{t, s.Ledger("okki", "okkisync", "a"), s.Ledger("okki", "okkisync", "b"), conn}
}

func (k *book) claim(l *store.Ledger, revision order.Revision, digest string) store.Grant {
	k.Helper()
	return k.intend(l, store.Intent{OrderKey: key, Revision: revision, Digest: digest, Total: "28600.0"})
}

func (k *book) intend(l *store.Ledger, intent store.Intent) store.Grant {
	k.Helper()
	grants, err := l.Claim(k.Context(), []store.Intent{intent})
	if err != nil {
		k.Fatal(err)
	}
	return grants[0]
}

// call claims and wants a call granted.
func (k *book) call(l *store.Ledger, revision order.Revision, digest string) store.Grant {
	k.Helper()
	grant := k.claim(l, revision, digest)
	if grant.Verdict != store.Call {
		k.Fatalf("revision %d: %s (%s), wanted a call", revision, grant.Verdict, grant.Delivery.Outcome)
	}
	return grant
}

func (k *book) settle(l *store.Ledger, revision order.Revision, attempt int, ending store.Ending) store.Settled {
	k.Helper()
	s := store.Settlement{OrderKey: key, Revision: revision, Attempt: attempt, Ending: ending, Code: "c", Took: 7 * time.Millisecond}
	if ending == store.Unknown {
		s.Request = fmt.Appendf(nil, "sealed %d", revision)
	}
	settled, err := l.Settle(k.Context(), []store.Settlement{s})
	if err != nil {
		k.Fatal(err)
	}
	return settled[0]
}

// deliver claims, calls and settles with success.
func (k *book) deliver(l *store.Ledger, revision order.Revision, digest string) event.Delivery {
	k.Helper()
	settled := k.settle(l, revision, k.call(l, revision, digest).Attempt, store.Delivered)
	if settled.Status != store.Kept {
		k.Fatalf("revision %d: settled as %s", revision, settled.Status)
	}
	return settled.Delivery
}

// done claims and wants no call and that outcome.
func (k *book) done(l *store.Ledger, revision order.Revision, digest string, outcome event.Outcome, other order.Revision) event.Delivery {
	k.Helper()
	grant := k.claim(l, revision, digest)
	if grant.Verdict != store.Done || grant.Delivery.Outcome != outcome || grant.Delivery.Other != other {
		k.Errorf("revision %d: %s %s by %d, wanted done %s by %d", revision, grant.Verdict, grant.Delivery.Outcome, grant.Delivery.Other, outcome, other)
	}
	return grant.Delivery
}

func (k *book) busy(l *store.Ledger, revision order.Revision, digest string) {
	k.Helper()
	if grant := k.claim(l, revision, digest); grant.Verdict != store.Busy {
		k.Errorf("revision %d: %s, wanted busy", revision, grant.Verdict)
	}
}

func (k *book) exec(sql string, args ...any) {
	k.Helper()
	if _, err := k.conn.Exec(k.Context(), sql, args...); err != nil {
		k.Fatal(err)
	}
}

// expire lets every lease run out.
func (k *book) expire() {
	k.Helper()
	k.exec("update deliveries set lease_until = now() - interval '1 s' where lease_until is not null")
}

func (k *book) text(sql string) string {
	k.Helper()
	var text string
	if err := k.conn.QueryRow(k.Context(), sql).Scan(&text); err != nil {
		k.Fatal(err)
	}
	return text
}

func TestSettledRevisionIsPublishedAgainWithoutACall(t *testing.T) {
	k := openBook(t)
	first := k.deliver(k.a, 5, "A")
	if first.Outcome != event.Delivered || first.Total != "28600.0" || first.Attempts != 1 || first.Code != "c" || first.TookMS != 7 || first.Digest != "A" || first.Partner != "okki" {
		t.Errorf("settled as %+v", first)
	}
	again := k.done(k.b, 5, "A", event.Delivered, 0)
	if !again.At.Equal(first.At) {
		t.Errorf("settled at %s, published again as %s", first.At, again.At)
	}
	again.At = first.At
	if again != first {
		t.Errorf("first %+v, then %+v", first, again)
	}
}

func TestOlderThanTheNewestIsSuperseded(t *testing.T) {
	k := openBook(t)
	k.deliver(k.a, 5, "A")
	k.done(k.a, 4, "B", event.Superseded, 5)
	k.done(k.b, 4, "B", event.Superseded, 5)
	k.deliver(k.a, 6, "C")
	k.done(k.a, 5, "A", event.Delivered, 0)
}

func TestOlderThanOneOnItsWayIsSuperseded(t *testing.T) {
	k := openBook(t)
	grant := k.call(k.a, 5, "A")
	k.settle(k.a, 5, grant.Attempt, store.Unknown)
	k.done(k.a, 4, "B", event.Superseded, 5)
}

func TestEqualContentIsADuplicate(t *testing.T) {
	k := openBook(t)
	k.deliver(k.a, 5, "A")
	k.done(k.a, 6, "A", event.Duplicate, 5)
	k.done(k.a, 6, "A", event.Duplicate, 5)
	k.done(k.a, 7, "A", event.Duplicate, 6)
	// The duplicate is the newest content: what lies between is old, whatever it says.
	k.done(k.a, 4, "B", event.Superseded, 7)
}

func TestABAIsNoDuplicate(t *testing.T) {
	k := openBook(t)
	k.deliver(k.a, 1, "A")
	k.deliver(k.a, 2, "B")
	if grant := k.call(k.a, 3, "A"); grant.MaybeTaken {
		t.Error("the partner holds B: that it has the number says nothing about A")
	}
}

func TestRefusedMayBeReplayed(t *testing.T) {
	for _, ending := range []store.Ending{store.Refused, store.Conflict} {
		k := openBook(t)
		grant := k.call(k.a, 5, "A")
		if settled := k.settle(k.a, 5, grant.Attempt, ending); settled.Status != store.Kept || settled.Delivery.Outcome != "" {
			t.Errorf("%s: %+v", ending, settled)
		}
		if grant = k.call(k.a, 5, "A"); grant.MaybeTaken || grant.Attempt != 2 {
			t.Errorf("replay after %s: %+v", ending, grant)
		}
		k.settle(k.a, 5, grant.Attempt, ending)
		k.deliver(k.a, 6, "B")
		k.done(k.a, 5, "A", event.Superseded, 6)
	}
}

func TestRefusalDoesNotSupersede(t *testing.T) {
	k := openBook(t)
	grant := k.call(k.a, 6, "B")
	k.settle(k.a, 6, grant.Attempt, store.Refused)
	k.deliver(k.a, 5, "A")
	k.deliver(k.a, 6, "B")
}

func TestTimelineOfAClaim(t *testing.T) {
	k := openBook(t)
	grant := k.call(k.a, 5, "A")
	k.settle(k.a, 5, grant.Attempt, store.Unknown)
	k.deliver(k.a, 5, "A")
	got := k.text(`select string_agg(concat_ws(' ', step, dedupe, service, code, detail), '; ' order by dedupe, step desc) from order_events`)
	want := "claimed 1 okkisync  ; attempt 1 okkisync c unknown, 7 ms; claimed 2 okkisync  ; attempt 2 okkisync c delivered, 7 ms"
	if got != want {
		t.Errorf("timeline: %s\nwanted:   %s", got, want)
	}
}

func TestPartnersAndOrdersAreApart(t *testing.T) {
	s, _ := open(t)
	okki, ezr := s.Ledger("okki", "okkisync", "a"), s.Ledger("ezr", "mallupload", "b")
	intents := []store.Intent{{OrderKey: "icbu:1", Revision: 5, Digest: "A"}, {OrderKey: "icbu:2", Revision: 5, Digest: "A"}}
	for _, l := range []*store.Ledger{okki, ezr} {
		grants, err := l.Claim(t.Context(), intents)
		if err != nil {
			t.Fatal(err)
		}
		for i, grant := range grants {
			if grant.Verdict != store.Call || grant.Delivery.OrderKey != intents[i].OrderKey {
				t.Errorf("intent %d: %+v", i, grant)
			}
		}
	}
}

func TestAnOrderStandsInABatchOnce(t *testing.T) {
	s, _ := open(t)
	l := s.Ledger("okki", "okkisync", "a")
	if _, err := l.Claim(t.Context(), []store.Intent{{OrderKey: key, Revision: 1}, {OrderKey: key, Revision: 2}}); err == nil {
		t.Error("claimed")
	}
	if _, err := l.Settle(t.Context(), []store.Settlement{{OrderKey: key, Revision: 1}, {OrderKey: key, Revision: 2}}); err == nil {
		t.Error("settled")
	}
}

func TestLedgerReportsADatabaseThatIsAway(t *testing.T) {
	server := pgtest.Server(t)
	s, err := store.Open(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	l := s.Ledger("okki", "okkisync", "a")
	if _, err := l.Claim(t.Context(), []store.Intent{{OrderKey: key, Revision: 1}}); err == nil || store.Classify(err) != store.Outage {
		t.Errorf("claim: %v", err)
	}
	if _, err := l.Settle(t.Context(), []store.Settlement{{OrderKey: key, Revision: 1}}); err == nil || store.Classify(err) != store.Outage {
		t.Errorf("settle: %v", err)
	}
}
