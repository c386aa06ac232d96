package delivery_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"orderflow/pkg/bustest"
	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/partner"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// late freezes a worker in the call of revision 9, lets s take over and deliver the revision 10 and, of equal content, 11;
// then the frozen call comes after all.
func late(t testing.TB, url string, s *stand, number string) {
	t.Helper()
	called, thaw, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	frozen := newStand(t, url, "frozen with "+number)
	frozen.says = func(context.Context, delivery.Parcel) *partner.Error {
		close(called)
		<-thaw
		return nil
	}
	go func() {
		defer close(done)
		frozen.handle(message(number, 9, "A of "+number))
	}()
	<-called
	pgtest.Texts(t, url, "update deliveries set lease_until = now() where lease_until is not null")
	delivered(t, s.handle(message(number, 9, "A of "+number)))
	delivered(t, s.handle(message(number, 10, "B of "+number)))
	if d := delivered(t, s.handle(message(number, 11, "B of "+number))); d.Outcome != event.Duplicate {
		t.Fatalf("revision 11: %+v", d)
	}
	close(thaw)
	<-done
	s.sent = nil
}

// mendUntil runs a mender until the query gives true.
func mendUntil(t testing.TB, url string, s *stand, query string) *observer.ObservedLogs {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	stop := s.StartMending(t.Context(), zap.New(core))
	defer stop()
	deadline := time.After(bustest.Patience)
	for pgtest.Texts(t, url, "select ("+query+")::text")[0] != "true" {
		select {
		case <-deadline:
			t.Fatalf("never: %s", query)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return logs
}

const allMended = "select count(*) = 0 from deliveries where mend_after is not null"

func TestWhatALateCallOverwroteIsSentAgain(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a")
	late(t, url, s, "P1")
	if kept := requests(t, url); len(kept) != 1 || strings.Contains(kept[0], "B of P1") {
		t.Fatalf("kept in the ledger: %q", kept)
	}
	mendUntil(t, url, s, allMended)
	s.wantSent(1)
	if p := s.sent[0]; string(p.Body) != "body of B of P1" || p.Revision != 11 || !p.MaybeTaken || p.HoldsOther {
		t.Errorf("sent again: %+v", p)
	}
	// What was told stays: the records are published as before, and nothing is sent for them.
	if d := delivered(t, s.handle(message("P1", 10, "B of P1"))); d.Outcome != event.Delivered {
		t.Errorf("revision 10: %+v", d)
	}
	if d := delivered(t, s.handle(message("P1", 11, "B of P1"))); d.Outcome != event.Duplicate || d.Other != 10 {
		t.Errorf("revision 11: %+v", d)
	}
	if d := delivered(t, s.handle(message("P1", 12, "B of P1"))); d.Outcome != event.Duplicate || d.Other != 11 {
		t.Errorf("revision 12: %+v", d)
	}
	s.wantSent(1)

	pgtest.Texts(t, url, "update deliveries set keep_until = now() where keep_until is not null")
	mendUntil(t, url, s, "select count(*) = 0 from deliveries where request is not null or keep_until is not null")
}

func TestAnswersToWhatIsSentAgain(t *testing.T) {
	for name, c := range map[string]struct {
		answer *partner.Error
		until  string
		sent   int
		level  string
	}{
		"exists: the partner takes no changes": {&partner.Error{Class: partner.Exists, Code: "2102"}, allMended, 2, "info"},
		"refused: stays dirty, later again": {
			&partner.Error{Class: partner.Refused, Code: "2001"},
			"select count(*) = 2 from deliveries where dirty and mends = 1 and mend_after > now() and outcome = 'duplicate' and state = 'settled'", 2, "warn",
		},
		"away: the round ends": {
			&partner.Error{Class: partner.NotTaken, Code: "http-429", RetryAfter: time.Minute},
			"select count(*) = 1 from deliveries where mends = 1 and mend_after > now() and outcome = 'duplicate'", 1, "warn",
		},
		"unknown: the round ends": {
			&partner.Error{Class: partner.Unknown, Code: "timeout"},
			"select count(*) = 1 from deliveries where mends = 1 and state = 'unknown' and outcome = 'duplicate' and request is not null", 1, "warn",
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := migrated(t)
			s := newStand(t, url, "a")
			late(t, url, s, "P1")
			late(t, url, s, "P2")
			s.says = func(context.Context, delivery.Parcel) *partner.Error { return c.answer }
			logs := mendUntil(t, url, s, c.until)
			s.wantSent(c.sent)
			for _, entry := range logs.All() {
				if entry.Level.String() != c.level {
					t.Errorf("logged: %s %v", entry.Message, entry.ContextMap())
				}
			}
			// Whatever became of it, the record ended before; and a newer one goes its way.
			s.says = nil
			if d := delivered(t, s.handle(message("P2", 11, "B of P2"))); d.Outcome != event.Duplicate {
				t.Errorf("redelivered: %+v", d)
			}
			for _, number := range []string{"P1", "P2"} {
				if d := delivered(t, s.handle(message(number, 12, "C"))); d.Outcome != event.Delivered {
					t.Errorf("the newer one: %+v", d)
				}
			}
			if left := pgtest.Texts(t, url, "select revision::text from deliveries where mend_after is not null"); len(left) > 0 {
				t.Errorf("still to be mended: %v", left)
			}
		})
	}
}

func TestADeliveredOrderThatIsRefusedWhenSentAgainIsNoLetter(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a")
	late(t, url, s, "P1")
	s.refuse(partner.Refused, "2001")
	if d := delivered(t, s.handle(message("P1", 11, "B of P1"))); d.Outcome != event.Duplicate || d.Other != 10 {
		t.Errorf("redelivered: %+v", d)
	}
	s.wantSent(1)
	if dirty, err := s.Ledger.CountDirty(t.Context()); err != nil || dirty != 1 {
		t.Errorf("%d dirty, %v", dirty, err)
	}
}

func TestOneMenderHasAnOrder(t *testing.T) {
	url := migrated(t)
	s, other := newStand(t, url, "a"), newStand(t, url, "b")
	late(t, url, s, "P1")
	s.says = func(context.Context, delivery.Parcel) *partner.Error {
		// Neither another process's mender nor the worker beside this one touches the order meanwhile.
		if mends, err := other.Ledger.Dirty(context.Background(), 10); err != nil || len(mends) > 0 {
			t.Errorf("to be mended by another: %+v, %v", mends, err)
		}
		for _, l := range []*store.Ledger{s.Ledger, other.Ledger, other.Ledger.Mender()} {
			in := message("P1", 12, "C")
			meta, _ := in.Meta()
			grants, err := l.Claim(context.Background(), []store.Intent{{OrderKey: meta.OrderKey, Revision: 12, Digest: meta.Digest}})
			if err != nil || grants[0].Verdict != store.Busy {
				t.Errorf("claimed beside the mender: %+v, %v", grants, err)
			}
		}
		return nil
	}
	mendUntil(t, url, s, allMended)
	s.wantSent(1)
}
