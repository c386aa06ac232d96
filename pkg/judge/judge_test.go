package judge_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/judge"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/worker"
	"orderflow/schemas"
)

// receivedAt is when every push of these tests arrives.
var receivedAt = time.Date(2026, 11, 20, 10, 0, 0, 123_000_000, source.Zone)

// pushed is a record as ingest writes it, read back from the broker.
func pushed(from order.Source, key order.Key, body []byte) event.Message {
	meta := event.Meta{OrderKey: key, PushID: "push-1", Digest: order.Digest(body), TraceParent: "00-1-2-01"}
	m := event.New(event.Received(from), "ingest", meta, receivedAt, "application/json", body)
	m.Partition, m.Offset, m.Timestamp = 3, 42, receivedAt
	return m
}

func TestStamp(t *testing.T) {
	in := pushed(order.ICBU, "icbu:P1", []byte(`{"ali_order_no":"P1"}`))
	forged := in
	for _, name := range []string{event.HeaderRevision, event.HeaderReceivedOffset, event.HeaderReplayJob, event.HeaderReplayLetter} {
		forged.SetHeader(name, "7")
	}
	forged.SetHeader(event.HeaderReceivedAt, "2001-01-01T00:00:00Z")
	for name, m := range map[string]event.Message{"as written": in, "forged": forged} {
		before := len(m.Headers)
		stamped := judge.Stamp(m)
		meta, err := stamped.Meta()
		if err != nil {
			t.Fatal(err)
		}
		want := event.Meta{
			OrderKey: "icbu:P1", Revision: order.NewRevision(1, 42), Digest: order.Digest(in.Value), PushID: "push-1",
			ReceivedPartition: 3, ReceivedOffset: 42, ReceivedAt: receivedAt.UTC(), TraceParent: "00-1-2-01",
		}
		if meta != want {
			t.Errorf("%s: %+v", name, meta)
		}
		if len(m.Headers) != before || m.Header(event.HeaderID) != stamped.Header(event.HeaderID) {
			t.Errorf("%s: the record that was read changed, or lost a header", name)
		}
	}
}

func TestJudgeKeepsMeta(t *testing.T) {
	in := judge.Stamp(pushed(order.ICBU, "icbu:P1", []byte(` {"x": 1, "amount": 1.50, "ali_order_no":"P1"} `)))
	in.SetHeader(event.HeaderReplayJob, "job-1")
	in.SetHeader(event.HeaderReplayLetter, "letter-1")
	for _, topic := range []string{in.Topic, event.Replay("validate")} {
		in.Topic, in.Offset = topic, 99 // a replay has other coordinates of its own
		passed, err := judge.Judge(in)
		if err != nil || passed.Order.OrderNo != "P1" {
			t.Fatalf("%+v, %v", passed.Order, err)
		}
		m := passed.Document
		const doc = `{"amount":"1.50","ali_order_no":"P1","x":1}`
		if string(m.Value) != doc || m.Topic != "icbu.validated.v1" || m.Key != "icbu:P1" {
			t.Errorf("%s %s %s", m.Topic, m.Key, m.Value)
		}
		meta, err := m.Meta()
		want := event.Meta{
			OrderKey: "icbu:P1", Revision: order.NewRevision(1, 42), Digest: order.Digest([]byte(doc)), PushID: "push-1",
			ReceivedPartition: 3, ReceivedOffset: 42, ReceivedAt: receivedAt.UTC(), TraceParent: "00-1-2-01",
			ReplayJob: "job-1", ReplayLetter: "letter-1",
		}
		if err != nil || meta != want || !passed.Meta.ReceivedAt.Equal(want.ReceivedAt) {
			t.Errorf("%+v, %v", meta, err)
		}
		for name, want := range map[string]string{
			event.HeaderContentType: "application/json", event.HeaderSource: "/orderflow/validate",
			event.HeaderType: "orderflow.icbu.validated", event.HeaderSubject: "icbu:P1", event.HeaderTraceParent: "00-1-2-01",
			event.HeaderTime: "2026-11-20T02:00:00.123Z",
		} {
			if got := m.Header(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}

// Equal content, however it is written, has one digest; so a re-push is known as one.
func TestEqualContentHasOneDigest(t *testing.T) {
	digests := map[string]bool{}
	for _, body := range []string{
		`{"ali_order_no":"77","ack":1,"amount":"1.50","x":{"a":1}}`,
		` { "x" : {"a": 1}, "amount":1.50, "ack":"1", "ali_order_no":77 } `,
	} {
		passed, err := judge.Judge(judge.Stamp(pushed(order.ICBU, "icbu:77", []byte(body))))
		if err != nil {
			t.Fatal(err)
		}
		digests[passed.Document.Header(event.HeaderDigest)] = true
	}
	if len(digests) != 1 {
		t.Errorf("%d digests", len(digests))
	}
}

func TestJudgeRefuses(t *testing.T) {
	good := judge.Stamp(pushed(order.ICBU, "icbu:P1", []byte(`{"ali_order_no":"P1"}`)))
	change := func(f func(*event.Message)) event.Message {
		m := good
		f(&m)
		return m
	}
	for name, c := range map[string]struct {
		in   event.Message
		code source.Code
		path string
	}{
		"a broken rule":     {change(func(m *event.Message) { m.Value = []byte(`{"ali_order_no":"P1","ack":7}`) }), source.BadEnum, "/ack"},
		"no JSON":           {change(func(m *event.Message) { m.Value = []byte(`secret`) }), source.BadJSON, ""},
		"no value":          {change(func(m *event.Message) { m.Value = nil }), source.BadJSON, ""},
		"another order":     {change(func(m *event.Message) { m.Value = []byte(`{"ali_order_no":"secret"}`) }), source.BadType, ""},
		"another Kafka key": {change(func(m *event.Message) { m.Key = "icbu:secret" }), source.BadType, ""},
		"no revision":       {change(func(m *event.Message) { m.SetHeader(event.HeaderRevision, "") }), source.MissingField, ""},
		"unknown source": {change(func(m *event.Message) {
			m.Topic = event.Replay("validate")
			m.SetHeader(event.HeaderOrderKey, "secret:P1")
		}), source.BadEnum, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := judge.Judge(c.in)
			permanent, ok := errors.AsType[*worker.PermanentError](err)
			if !ok || permanent.Code != worker.Code(c.code) || permanent.Path != c.path {
				t.Fatal(err)
			}
			if text := permanent.Error(); strings.Contains(text, "secret") || strings.Count(text, string(permanent.Code)) != 1 {
				t.Errorf("the letter says %q", text)
			}
		})
	}
}

// An order of a received topic is judged by the topic's contract, whatever its key says.
func TestTopicDecidesTheContract(t *testing.T) {
	in := judge.Stamp(pushed(order.Procurement, "icbu:P1", []byte(`{"ali_order_no":"P1"}`)))
	_, err := judge.Judge(in)
	permanent, ok := errors.AsType[*worker.PermanentError](err)
	if !ok || permanent.Code != worker.Code(source.MissingField) || permanent.Path != "/order_info/order_id" {
		t.Error(err)
	}
}

// The age of an order counts from its receipt, so a replay years later is judged alike.
func TestReplayIsJudgedByTheTimeOfReceipt(t *testing.T) {
	batch, err := schemas.Examples.ReadFile("examples/mall/good-seed.json")
	if err != nil {
		t.Fatal(err)
	}
	batch, errShift := mall.ShiftDates(batch, receivedAt)
	items, errSplit := mall.Split(batch)
	if err := errors.Join(errShift, errSplit); err != nil {
		t.Fatal(err)
	}
	in := judge.Stamp(pushed(order.Mall, mall.Key(items[0]), items[0].Raw))
	in.Topic, in.Timestamp = event.Replay("validate"), receivedAt.AddDate(5, 0, 0)
	if _, err := judge.Judge(in); err != nil {
		t.Error(err)
	}
	in.SetHeader(event.HeaderReceivedAt, receivedAt.AddDate(5, 0, 0).Format(time.RFC3339Nano))
	if _, err := judge.Judge(in); err == nil || !strings.Contains(err.Error(), "too_old at /OrderTime") {
		t.Errorf("received five years later: %v", err)
	}
}
