package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// returning makes the stand prepare documents that read "return of <number>, ..." as returns.
func (s *stand) returning() *stand {
	s.MaxAttempts = 3
	s.Prepare = func(document []byte) (delivery.Prepared, error) {
		ready, err := prepare(document)
		if after, isReturn := bytes.CutPrefix(document, []byte("return of ")); isReturn {
			number, _, _ := bytes.Cut(after, []byte(","))
			ready.After = order.Key("icbu:" + string(number))
		}
		return ready, err
	}
	return s
}

// know writes what persist knows about an order: its state, and the state of its letter unless it is "".
func know(t testing.TB, url, number, state, letter string) {
	t.Helper()
	pgtest.Texts(t, url, `insert into orders (order_key, source, revision, validated, state, received_at, updated_at, version)
		values ('icbu:`+number+`', 'icbu', 5, true, '`+state+`', now(), now(), 1)
		on conflict (order_key) do update set state = excluded.state returning order_key`)
	if letter != "" {
		pgtest.Texts(t, url, `insert into dead_letters (service, code, origin_topic, origin_partition, origin_offset, first_failed_at, failed_at,
			dlq_topic, dlq_partition, dlq_offset, state, updated_at, order_key, revision)
			values ('okkisync', 'partner_rejected', 't', 0, 5, now(), now(), 'd', 0, 5, '`+letter+`', now(), 'icbu:`+number+`', 5) returning state`)
	}
}

func wantBusy(t testing.TB, r worker.Result) {
	t.Helper()
	if !errors.Is(r.Err, worker.ErrBusy) || r.Answered || is[*worker.PermanentError](r.Err) {
		t.Fatalf("result: %+v, wanted to wait", r)
	}
}

func TestNewerOneBehindSupersedesWithoutACall(t *testing.T) {
	s := newStand(t, migrated(t), "a")
	in := message("P1", 9, "A")
	in.Newer = 12
	r := s.handle(in)
	if d := delivered(t, r); d.Outcome != event.Superseded || d.Other != 12 || r.Answered {
		t.Errorf("in front of 12: %+v", d)
	}
	s.wantSent(0)
	if again := s.handle(message("P1", 9, "A")); !bytes.Equal(again.Out[0].Value, r.Out[0].Value) {
		t.Errorf("published again as %s", again.Out[0].Value)
	}
	// What the newer one comes to changes nothing about it.
	s.refuse(partner.Refused, "x")
	wantPermanent(t, s.handle(message("P1", 12, "B")), worker.PartnerRejected, "x")
	if d := delivered(t, s.handle(message("P1", 9, "A"))); d.Outcome != event.Superseded || d.Other != 12 {
		t.Errorf("after the refusal: %+v", d)
	}
}

func TestInDoubtIsResolvedAlthoughANewerOneIsBehind(t *testing.T) {
	s := newStand(t, migrated(t), "a")
	s.refuse(partner.Unknown, "timeout")
	in := message("P1", 9, "A")
	s.handle(in)
	in.Newer = 12
	s.says = nil
	if d := delivered(t, s.handle(in)); d.Outcome != event.Delivered || d.Attempts != 2 {
		t.Errorf("in doubt: %+v", d)
	}
	s.wantSent(2)

	// An older one in doubt is resolved; then nothing is, and the middle one makes no call.
	s.refuse(partner.Unknown, "timeout")
	s.handle(message("P2", 9, "A"))
	s.says = nil
	middle := message("P2", 10, "B")
	middle.Newer = 12
	if d := delivered(t, s.handle(middle)); d.Outcome != event.Superseded || d.Other != 12 {
		t.Errorf("the middle one: %+v", d)
	}
	s.wantSent(4)
	if last := s.sent[3]; last.Revision != 9 {
		t.Errorf("sent last: %+v", last)
	}
}

func TestSettledWinsOverANewerOneBehind(t *testing.T) {
	s := newStand(t, migrated(t), "a")
	in := message("P1", 9, "A")
	s.handle(in)
	in.Newer = 12
	if d := delivered(t, s.handle(in)); d.Outcome != event.Delivered {
		t.Errorf("settled before: %+v", d)
	}
	s.wantSent(1)
}

func TestReturnWaitsForItsSale(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a").returning()
	back := message("R1", 9, "return of P1, A")
	know(t, url, "P1", "validated", "")
	wantBusy(t, s.handle(back))
	s.wantSent(0)
	if left := pgtest.Texts(t, url, "select order_key from deliveries"); len(left) > 0 {
		t.Errorf("the ledger holds %q", left)
	}
	delivered(t, s.handle(message("P1", 5, "sale")))
	if d := delivered(t, s.handle(back)); d.Outcome != event.Delivered {
		t.Errorf("after its sale: %+v", d)
	}
	if s.sent[1].After != "icbu:P1" {
		t.Errorf("sent %+v", s.sent[1])
	}
}

func TestReturnOfAParkedSale(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a").returning()
	back := message("R1", 9, "return of P1, A")
	know(t, url, "P1", "parked", "open")
	wantPermanent(t, s.handle(back), worker.SaleParked, "")
	s.wantSent(0)
	delivered(t, s.handle(message("P1", 5, "sale")))
	if d := delivered(t, s.handle(back)); d.Outcome != event.Delivered || d.Attempts != 1 {
		t.Errorf("replayed after its sale: %+v", d)
	}
}

// What was decided about a return before stands, whatever became of its sale.
func TestSettledReturnOfAParkedSaleIsPublishedAgain(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a").returning()
	back := message("R1", 9, "return of P1, A")
	delivered(t, s.handle(back))
	know(t, url, "P1", "parked", "open")
	if d := delivered(t, s.handle(back)); d.Outcome != event.Delivered {
		t.Errorf("published again: %+v", d)
	}
	older := message("R1", 8, "return of P1, B")
	if d := delivered(t, s.handle(older)); d.Outcome != event.Superseded {
		t.Errorf("an older one: %+v", d)
	}
	s.wantSent(1)
}

func TestReturnBesideItsSale(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a").returning()
	back, sale := message("R1", 9, "return of P1, A"), message("P1", 5, "sale")
	results := s.Handle(t.Context(), []event.Message{back, sale})
	wantBusy(t, results[0])
	delivered(t, results[1])
	s.wantSent(1)
	delivered(t, s.handle(back))

	// Two that name each other, and one that names itself, wait for nobody.
	know(t, url, "R4", "validated", "")
	results = s.Handle(t.Context(), []event.Message{
		message("R2", 9, "return of R3, A"), message("R3", 9, "return of R2, A"), message("R4", 9, "return of R4, A"),
	})
	for _, r := range results {
		delivered(t, r)
	}
}

func TestMissingSaleIsTriedAgainAndRefusedAtLast(t *testing.T) {
	s := newStand(t, migrated(t), "a").returning()
	s.refuse(partner.Missing, "2103")
	back := message("R1", 9, "return of P1, A")
	for attempt := 1; attempt < s.MaxAttempts; attempt++ {
		r := s.handle(back)
		if r.Err == nil || !r.Answered || is[*worker.PermanentError](r.Err) || errors.Is(r.Err, worker.ErrBusy) {
			t.Fatalf("attempt %d: %+v", attempt, r)
		}
	}
	r := s.handle(back)
	wantPermanent(t, r, worker.PartnerRejected, "2103")
	if !r.Answered {
		t.Error("a refusal is a definite answer")
	}
	s.says = nil
	delivered(t, s.handle(back)) // a replay
	s.wantSent(4)

	s.refuse(partner.Missing, "2103")
	wantPermanent(t, s.handle(message("P2", 9, "a sale")), worker.PartnerRejected, "2103")
	s.handle(message("R2", 9, "return of P3, A"))
	s.says = nil
	if d := delivered(t, s.handle(message("R2", 9, "return of P3, A"))); d.Attempts != 2 {
		t.Errorf("its sale came: %+v", d)
	}
}

func TestUnknownReturnIsResolvedByAMissingSale(t *testing.T) {
	s := newStand(t, migrated(t), "a").returning()
	s.refuse(partner.Unknown, "timeout")
	s.handle(message("R1", 9, "return of P1, A"))
	s.says = func(_ context.Context, p delivery.Parcel) *partner.Error {
		if p.Revision == 9 {
			return &partner.Error{Class: partner.Missing, Code: "2103"}
		}
		return nil
	}
	if d := delivered(t, s.handle(message("R1", 10, "return of P1, B"))); d.Outcome != event.Delivered {
		t.Errorf("the newer: %+v", d)
	}
	s.wantSent(3)
}

func TestSalesOutOfReachAreAnOutage(t *testing.T) {
	server := pgtest.Server(t)
	url := server.URL("postgres")
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s := newStand(t, url, "a").returning()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if r := s.handle(message("R1", 9, "return of P1, A")); !is[*worker.OutageError](r.Err) {
		t.Errorf("result: %+v", r)
	}
}
