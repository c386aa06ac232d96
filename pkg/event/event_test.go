package event_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

func drawMeta(t *rapid.T) event.Meta {
	text := rapid.StringMatching(`[a-z0-9-]{0,20}`)
	return event.Meta{
		OrderKey:          order.NewKey(rapid.SampledFrom(order.Sources).Draw(t, "source"), nil, rapid.StringN(1, 40, -1).Draw(t, "number")),
		Revision:          order.NewRevision(rapid.IntRange(1, 30).Draw(t, "generation"), rapid.Int64Range(0, 1<<47).Draw(t, "offset")),
		Digest:            text.Draw(t, "digest"),
		PushID:            text.Draw(t, "push"),
		ReceivedPartition: rapid.Int32Range(0, 1000).Draw(t, "partition"),
		ReceivedOffset:    rapid.Int64Range(0, 1<<47).Draw(t, "received offset"),
		ReceivedAt:        time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC(),
		TraceParent:       text.Draw(t, "trace"),
		ReplayJob:         text.Draw(t, "job"),
		ReplayLetter:      text.Draw(t, "letter"),
	}
}

func TestMetaComesBackFromItsMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		meta := drawMeta(t)
		m := event.New(event.Validated(order.Mall), "validate", meta, time.Now(), "application/json", nil)
		got, err := m.Meta()
		if err != nil || got != meta {
			t.Fatalf("got %+v (%v)\nwanted %+v", got, err, meta)
		}
	})
}

func TestNewCarriesCloudEventHeaders(t *testing.T) {
	at := time.Date(2026, 11, 22, 8, 0, 0, 5, time.FixedZone("CST", 8*3600))
	meta := event.Meta{OrderKey: "icbu:7", Revision: order.NewRevision(1, 5), ReceivedAt: at}
	m := event.New(event.Validated(order.ICBU), "validate", meta, at, "application/json", []byte("{}"))
	want := map[string]string{
		event.HeaderSpecVersion: "1.0", event.HeaderID: meta.ID(), event.HeaderSource: "/orderflow/validate",
		event.HeaderType: "orderflow.icbu.validated", event.HeaderTime: "2026-11-22T00:00:00.000000005Z",
		event.HeaderSubject: "icbu:7", event.HeaderContentType: "application/json", event.HeaderOrderKey: "icbu:7",
		event.HeaderReceivedAt: "2026-11-22T00:00:00.000000005Z", event.HeaderTraceParent: "",
	}
	for name, value := range want {
		if got := m.Header(name); got != value {
			t.Errorf("%s: %q, wanted %q", name, got, value)
		}
	}
	if m.Key != "icbu:7" || m.Topic != "icbu.validated.v1" || string(m.Value) != "{}" {
		t.Errorf("%+v", m)
	}
	for _, h := range m.Headers {
		if len(h.Value) == 0 {
			t.Errorf("header %s is empty instead of absent", h.Key)
		}
	}
}

func TestReceivedRecordIsItsOwnRevision(t *testing.T) {
	at := time.Now()
	m := event.Message{Topic: event.Received(order.Mall), Partition: 3, Offset: 42, Timestamp: at, Key: "mall:a:b"}
	meta := m.ReceivedMeta(2)
	if meta.OrderKey != "mall:a:b" || meta.Revision != order.NewRevision(2, 42) || meta.ReceivedPartition != 3 || meta.ReceivedOffset != 42 || !meta.ReceivedAt.Equal(at) {
		t.Errorf("%+v", meta)
	}
	if headers := (event.Meta{OrderKey: "mall:a:b", Digest: "d"}).Headers(); len(headers) != 2 {
		t.Errorf("a record that is not written yet has no coordinates: %v", headers)
	}
}

func TestUnreadableMetaNamesTheHeaderAndNotItsValue(t *testing.T) {
	good := event.New("t.v1", "s", event.Meta{OrderKey: "k", Revision: 1, ReceivedAt: time.Now()}, time.Now(), "", nil)
	for _, name := range []string{
		event.HeaderOrderKey, event.HeaderRevision, event.HeaderReceivedPartition, event.HeaderReceivedOffset, event.HeaderReceivedAt,
	} {
		for _, value := range []string{"", "secret value"} {
			m := good
			m.SetHeader(name, value)
			if name == event.HeaderOrderKey && value != "" {
				continue // any text may be a key
			}
			_, err := m.Meta()
			if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s %q: %v", name, value, err)
			}
		}
	}
}

// A message made from another one must never write into it: they share the headers' memory.
func TestSetHeaderLeavesTheOriginalAlone(t *testing.T) {
	first := event.Message{Headers: make([]event.Header, 0, 10)}
	first.SetHeader("a", "1")
	first.SetHeader("b", "2")
	second := first
	second.SetHeader("a", "9")
	second.SetHeader("c", "3")
	third := first
	third.SetHeader("a", "")
	if first.Header("a") != "1" || first.Header("c") != "" || second.Header("a") != "9" || second.Header("c") != "3" || third.Header("a") != "" {
		t.Errorf("%v %v %v", first, second, third)
	}
	twice := event.Message{Headers: []event.Header{{Key: "x", Value: []byte("old")}, {Key: "x", Value: []byte("new")}}}
	if twice.Header("x") != "new" {
		t.Errorf("the last header of a name counts, got %s", twice.Header("x"))
	}
}

func TestTopicNames(t *testing.T) {
	for got, want := range map[string]string{
		event.Received(order.Procurement): "procurement.received.v1", event.Validated(order.Mall): "mall.validated.v1",
		event.DeadLetters("persist"): "persist.dlq.v1", event.Replay("persist"): "persist.replay.v1",
		event.Type("mall.validated.v1"): "orderflow.mall.validated", event.Type("odd"): "orderflow.odd",
	} {
		if got != want {
			t.Errorf("%s, wanted %s", got, want)
		}
	}
}
