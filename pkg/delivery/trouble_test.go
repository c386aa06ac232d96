package delivery_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

func TestUnknownIsResolvedWithTheSameBytesBeforeTheNewerOne(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a")
	s.refuse(partner.Unknown, "timeout")
	s.handle(message("P1", 9, "secret A"))
	if request := requests(t, url); len(request) != 1 || strings.Contains(request[0], "secret") {
		t.Errorf("the ledger keeps %q", request)
	}

	other := newStand(t, url, "b")
	if d := delivered(t, other.handle(message("P1", 10, "B"))); d.Revision != 10 || d.Outcome != event.Delivered {
		t.Errorf("the newer: %+v", d)
	}
	other.wantSent(2)
	if got := string(other.sent[0].Body); got != "body of secret A" || other.sent[0].Revision != 9 || !other.sent[0].MaybeTaken {
		t.Errorf("first sent: %+v", other.sent[0])
	}
	if got := string(other.sent[1].Body); got != "body of B" || other.sent[1].MaybeTaken {
		t.Errorf("then sent: %+v", other.sent[1])
	}
	if d := delivered(t, s.handle(message("P1", 9, "secret A"))); d.Outcome != event.Delivered {
		t.Errorf("the older, back: %+v", d)
	}
	// Revision 9 may still come late: what it would overwrite is kept for a while.
	left := pgtest.Texts(t, url, "select revision || ' ' || (keep_until - settled_at) from deliveries where request is not null")
	if len(left) != 1 || left[0] != "10 01:00:00" {
		t.Errorf("requests kept after all is settled: %v", left)
	}
}

func TestNewerWaitsWhileTheOlderStaysUnknown(t *testing.T) {
	s := newStand(t, migrated(t), "a")
	s.refuse(partner.Unknown, "timeout")
	s.handle(message("P1", 9, "A"))
	if r := s.handle(message("P1", 10, "B")); r.Err == nil || is[*worker.PermanentError](r.Err) {
		t.Errorf("the newer: %+v", r)
	}
	s.wantSent(2)
	if s.sent[1].Revision != 9 {
		t.Errorf("sent revision %d", s.sent[1].Revision)
	}
}

func TestReplayLeavesItsRequestBeforeTheCall(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a")
	s.says = func(context.Context, delivery.Parcel) *partner.Error {
		if kept := requests(t, url); len(kept) != 1 {
			t.Errorf("%d requests kept during the call", len(kept))
		}
		return nil
	}
	in := message("P1", 9, "A")
	in.SetHeader(event.HeaderReplayJob, "job-1")
	r := s.handle(in)
	delivered(t, r)
	if got := r.Out[0].Header(event.HeaderReplayJob); got != "job-1" {
		t.Errorf("the delivery names replay job %q", got)
	}
}

func TestHeldByAnotherWorkerIsBusy(t *testing.T) {
	url := migrated(t)
	s, other := newStand(t, url, "a"), newStand(t, url, "b")
	s.says = func(context.Context, delivery.Parcel) *partner.Error {
		if r := other.handle(message("P1", 10, "B")); !errors.Is(r.Err, worker.ErrBusy) {
			t.Errorf("beside a call: %+v", r)
		}
		return nil
	}
	delivered(t, s.handle(message("P1", 9, "A")))
	other.wantSent(0)
}

func TestStoppedInTheMiddleOfACall(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a")
	ctx, stop := context.WithCancel(t.Context())
	s.says = func(context.Context, delivery.Parcel) *partner.Error {
		stop()
		return &partner.Error{Class: partner.Unknown, Code: partner.CodeCancelled}
	}
	if r := s.Handle(ctx, []event.Message{message("P1", 9, "A")})[0]; r.Err == nil || is[*worker.PermanentError](r.Err) {
		t.Fatalf("stopped: %+v", r)
	}
	// Settled as unknown all the same: the next worker need not wait for the lease, and takes "exists" for success.
	other := newStand(t, url, "b")
	other.refuse(partner.Exists, "2102")
	if d := delivered(t, other.handle(message("P1", 9, "A"))); d.Outcome != event.Delivered {
		t.Errorf("redelivered: %+v", d)
	}
}

func TestCrashBetweenCallAndSettle(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a")
	func() {
		defer func() { _ = recover() }()
		s.says = func(context.Context, delivery.Parcel) *partner.Error { panic("crash") }
		s.handle(message("P1", 9, "A"))
	}()
	other := newStand(t, url, "b")
	other.refuse(partner.Exists, "2102")
	if r := other.handle(message("P1", 9, "A")); !errors.Is(r.Err, worker.ErrBusy) {
		t.Errorf("while the lease lives: %+v", r)
	}
	pgtest.Texts(t, url, "update deliveries set lease_until = now()")
	if d := delivered(t, other.handle(message("P1", 9, "A"))); d.Outcome != event.Delivered || d.Attempts != 2 {
		t.Errorf("redelivered: %+v", d)
	}
}

func TestCallsEndBeforeHalfTheLease(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a")
	s.says = func(ctx context.Context, _ delivery.Parcel) *partner.Error {
		since, err := time.Parse(time.RFC3339Nano, pgtest.Texts(t, url, `select to_json(claimed_at)#>>'{}' from deliveries`)[0])
		deadline, ok := ctx.Deadline()
		if err != nil || !ok || !deadline.Before(since.Add(s.Ledger.Lease/2)) {
			t.Errorf("deadline %s after the claim, of a lease of %s, %v", deadline.Sub(since), s.Ledger.Lease, err)
		}
		return nil
	}
	delivered(t, s.handle(message("P1", 9, "A")))
}

func TestDatabaseAway(t *testing.T) {
	server := pgtest.Server(t)
	url := server.URL("postgres")
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s := newStand(t, url, "a")
	// Away between call and settle: what the partner said is not lost.
	s.says = func(context.Context, delivery.Parcel) *partner.Error {
		if err := errors.Join(server.Stop(), server.Start(t.Context())); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	if d := delivered(t, s.handle(message("P1", 9, "A"))); d.Attempts != 1 {
		t.Errorf("settled after the restart: %+v", d)
	}
	// Away before the claim: nobody's fault, and nothing is sent.
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if r := s.handle(message("P2", 9, "A")); !is[*worker.OutageError](r.Err) {
		t.Errorf("claim without a database: %v", r.Err)
	}
	s.wantSent(1)
}

func TestForeignAndDamagedRecords(t *testing.T) {
	s := newStand(t, migrated(t), "a")
	odd := message("P1", 9, "A")
	odd.SetHeader(event.HeaderDigest, "nul\x00")
	results := s.Handle(t.Context(), []event.Message{
		{Topic: event.Validated(order.ICBU), Key: "icbu:P0", Value: []byte("A")}, message("P2", 9, "bad"), odd, message("P3", 9, "A"),
	})
	wantPermanent(t, results[0], "missing_field", "")
	wantPermanent(t, results[1], "bad_amount", "")
	wantPermanent(t, results[2], worker.DBData, "")
	delivered(t, results[3])
	s.wantSent(1)
}

// requests gives what the ledger keeps of requests.
func requests(t testing.TB, url string) []string {
	t.Helper()
	return pgtest.Texts(t, url, "select encode(request, 'escape') from deliveries where request is not null")
}
