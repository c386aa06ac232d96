package delivery_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/privacy"
	"orderflow/pkg/source"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// stand is a desk whose partner says what the test wants.
type stand struct {
	*delivery.Desk
	t    testing.TB
	sent []delivery.Parcel
	says func(ctx context.Context, p delivery.Parcel) *partner.Error // nil: takes everything
}

func migrated(t testing.TB) string {
	t.Helper()
	url := pgtest.New(t)
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

func newStand(t testing.TB, url, owner string) *stand {
	t.Helper()
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	key := "k=" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	keys, err := privacy.New(privacy.Settings{PseudonymKeys: key, PayloadKeys: key})
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t}
	s.Desk = &delivery.Desk{
		Service: "okkisync", Ledger: db.Ledger("okki", "okkisync", owner), Keys: keys,
		Metrics: delivery.NewMetrics(prometheus.NewRegistry(), "okki"),
		Prepare: prepare,
		Send: func(ctx context.Context, parcels []delivery.Parcel) []delivery.Answer {
			s.sent = append(s.sent, parcels...)
			answers := make([]delivery.Answer, len(parcels))
			for i, p := range parcels {
				answers[i] = delivery.Answer{Code: "0", Took: 5 * time.Millisecond}
				if s.says != nil {
					answers[i].Err = s.says(ctx, p)
				}
			}
			return answers
		},
	}
	return s
}

func prepare(document []byte) (delivery.Prepared, error) {
	if bytes.HasPrefix(document, []byte("bad")) {
		return delivery.Prepared{}, &source.Fault{Code: source.BadAmount, Path: "/amount", Rule: "a number"}
	}
	return delivery.Prepared{Body: append([]byte("body of "), document...), Total: "12.50"}, nil
}

func (s *stand) refuse(class partner.Class, code string) {
	s.says = func(context.Context, delivery.Parcel) *partner.Error { return &partner.Error{Class: class, Code: code} }
}

// handle delivers one message and gives its result.
func (s *stand) handle(m event.Message) worker.Result {
	s.t.Helper()
	return s.Handle(s.t.Context(), []event.Message{m})[0]
}

func (s *stand) wantSent(n int) {
	s.t.Helper()
	if len(s.sent) != n {
		s.t.Errorf("%d orders were sent, wanted %d", len(s.sent), n)
	}
}

func message(number string, revision order.Revision, content string) event.Message {
	meta := event.Meta{
		OrderKey: order.Key("icbu:" + number), Revision: revision, Digest: order.Digest([]byte(content)), PushID: "push",
		ReceivedPartition: 3, ReceivedOffset: revision.Offset(), ReceivedAt: time.Unix(1700000000, 0),
	}
	return event.New(event.Validated(order.ICBU), "validate", meta, time.Unix(1700000001, 0), "application/json", []byte(content))
}

func delivered(t testing.TB, r worker.Result) event.Delivery {
	t.Helper()
	if r.Err != nil || len(r.Out) != 1 || r.Out[0].Topic != event.Deliveries {
		t.Fatalf("result: %+v", r)
	}
	var d event.Delivery
	if err := json.Unmarshal(r.Out[0].Value, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func wantPermanent(t testing.TB, r worker.Result, code worker.Code, detail string) {
	t.Helper()
	permanent, ok := errors.AsType[*worker.PermanentError](r.Err)
	if !ok || permanent.Code != code || permanent.Detail != detail {
		t.Fatalf("error %v, wanted %s (%s)", r.Err, code, detail)
	}
}

func TestDeliveredIsPublishedAndPublishedAgain(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a")
	in := message("P1", 9, "A")
	first := s.handle(in)
	d := delivered(t, first)
	if d.Outcome != event.Delivered || d.OrderKey != "icbu:P1" || d.Revision != 9 || d.Total != "12.50" || d.Attempts != 1 || d.Code != "0" || d.Partner != "okki" || d.TookMS != 5 {
		t.Errorf("delivery: %+v", d)
	}
	if !first.Answered {
		t.Error("the partner answered")
	}
	meta, err := first.Out[0].Meta()
	if err != nil || meta.ReceivedPartition != 3 || meta.ReceivedOffset != 9 || first.Out[0].Key != "icbu:P1" {
		t.Errorf("meta: %+v, %v", meta, err)
	}
	again := newStand(t, url, "b").handle(in)
	if again.Answered || !bytes.Equal(again.Out[0].Value, first.Out[0].Value) {
		t.Errorf("published again as %s", again.Out[0].Value)
	}
	s.wantSent(1)
}

func TestDuplicateAndSupersededMakeNoCall(t *testing.T) {
	s := newStand(t, migrated(t), "a")
	s.handle(message("P1", 9, "A"))
	if d := delivered(t, s.handle(message("P1", 10, "A"))); d.Outcome != event.Duplicate || d.Other != 9 {
		t.Errorf("equal content: %+v", d)
	}
	if d := delivered(t, s.handle(message("P1", 8, "B"))); d.Outcome != event.Superseded || d.Other != 10 {
		t.Errorf("older: %+v", d)
	}
	s.wantSent(1)
}

// The ledger and what is published hold digests under a key; rows of a release that had none are the same content still.
func TestDigestsStandUnderAKey(t *testing.T) {
	url := migrated(t)
	s := newStand(t, url, "a")
	first := delivered(t, s.handle(message("P1", 9, "A")))
	if digest := pgtest.Rows(t, url, `select digest from deliveries`); !strings.HasPrefix(first.Digest, privacy.KeyedPrefix) || !slices.Equal(digest, []string{first.Digest}) {
		t.Errorf("published %q, the ledger holds %q", first.Digest, digest)
	}
	pgtest.Rows(t, url, `update deliveries set digest = $1`, order.Digest([]byte("A")))
	if d := delivered(t, newStand(t, url, "b").handle(message("P1", 10, "A"))); d.Outcome != event.Duplicate || d.Other != 9 || d.Digest != first.Digest {
		t.Errorf("equal content: %+v", d)
	}
	s.wantSent(1)
	if digests := pgtest.Rows(t, url, `select distinct digest from deliveries`); !slices.Equal(digests, []string{first.Digest}) {
		t.Errorf("the ledger holds %q", digests)
	}
}

func TestRefusedIsTheRecordsFaultAndMayBeReplayed(t *testing.T) {
	s := newStand(t, migrated(t), "a")
	s.refuse(partner.Refused, "isv.invalid-parameter")
	r := s.handle(message("P1", 9, "A"))
	wantPermanent(t, r, worker.PartnerRejected, "isv.invalid-parameter")
	if !r.Answered {
		t.Error("a refusal is a definite answer")
	}
	s.says = nil
	if d := delivered(t, s.handle(message("P1", 9, "A"))); d.Outcome != event.Delivered || d.Attempts != 2 {
		t.Errorf("replay: %+v", d)
	}
}

func TestExistsIsSuccessOnlyAfterAnUnknownCallWithTheSameContent(t *testing.T) {
	s := newStand(t, migrated(t), "a")
	s.refuse(partner.Exists, "2102")
	wantPermanent(t, s.handle(message("P1", 9, "A")), worker.PartnerConflict, "2102")

	s.refuse(partner.Unknown, "timeout")
	if r := s.handle(message("P2", 9, "A")); r.Err == nil || r.Answered {
		t.Fatalf("unknown: %+v", r)
	}
	s.refuse(partner.Exists, "2102")
	if d := delivered(t, s.handle(message("P2", 9, "A"))); d.Outcome != event.Delivered || d.Code != "2102" {
		t.Errorf("after unknown: %+v", d)
	}
	wantPermanent(t, s.handle(message("P2", 10, "B")), worker.PartnerConflict, "2102")
}

// A partner that took the order once and takes no changes says "exists" to every change: an unknown call in between does
// not make it mean the change.
func TestExistsMeansTheContentThatWasTakenBefore(t *testing.T) {
	s := newStand(t, migrated(t), "a")
	delivered(t, s.handle(message("P1", 9, "A")))
	s.refuse(partner.Unknown, "timeout")
	if r := s.handle(message("P1", 10, "B")); r.Err == nil || r.Answered {
		t.Fatalf("unknown: %+v", r)
	}
	s.refuse(partner.Exists, "2102")
	wantPermanent(t, s.handle(message("P1", 10, "B")), worker.PartnerConflict, "2102")

	s.says = nil
	delivered(t, s.handle(message("P2", 9, "A")))
	s.refuse(partner.Unknown, "timeout")
	s.handle(message("P2", 10, "B"))
	s.refuse(partner.Exists, "2102")
	wantPermanent(t, s.handle(message("P2", 11, "C")), worker.PartnerConflict, "2102") // resolves B on its way
	wantPermanent(t, s.handle(message("P2", 12, "B")), worker.PartnerConflict, "2102")
}

func TestTransientFailures(t *testing.T) {
	for name, c := range map[string]struct {
		failed *partner.Error
		check  func(err error) bool
	}{
		"not taken":     {&partner.Error{Class: partner.NotTaken, Code: "isp.call-limited"}, func(err error) bool { return true }},
		"unknown":       {&partner.Error{Class: partner.Unknown, Code: "http-500"}, func(err error) bool { return true }},
		"configuration": {&partner.Error{Class: partner.Configuration, Code: "25"}, is[*worker.ConfigurationError]},
		"pause": {&partner.Error{Class: partner.NotTaken, Code: "http-429", RetryAfter: 3 * time.Second}, func(err error) bool {
			pause, ok := errors.AsType[*worker.PauseError](err)
			return ok && pause.After == 3*time.Second
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, migrated(t), "a")
			s.says = func(context.Context, delivery.Parcel) *partner.Error { return c.failed }
			r := s.handle(message("P1", 9, "A"))
			if r.Err == nil || r.Answered || len(r.Out) > 0 || is[*worker.PermanentError](r.Err) || !c.check(r.Err) {
				t.Fatalf("result: %+v", r)
			}
			s.says = nil
			if d := delivered(t, s.handle(message("P1", 9, "A"))); d.Attempts != 2 {
				t.Errorf("second try: %+v", d)
			}
		})
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
