package fact_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/fact"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/worker"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

// document and delivery are what persist reads of one order.
func document() event.Message {
	m := event.New(event.Validated(order.ICBU), "validate", meta(), at, "application/json", []byte(`{"amount":"1.50","ali_order_no":"P1"}`))
	m.Timestamp = at.Add(time.Second)
	return m
}

func delivery(t *testing.T) event.Message {
	t.Helper()
	value, err := json.Marshal(event.Delivery{
		Partner: "okki", OrderKey: "icbu:P1", Revision: order.NewRevision(1, 7), Outcome: event.Delivered, Attempts: 1, At: at,
	})
	if err != nil {
		t.Fatal(err)
	}
	return event.New(event.Deliveries, "okkisync", meta(), at, "application/json", value)
}

func meta() event.Meta {
	return event.Meta{OrderKey: "icbu:P1", Revision: order.NewRevision(1, 7), ReceivedOffset: 7, ReceivedAt: at}
}

func TestRead(t *testing.T) {
	home := func(m event.Message) event.Message {
		return deadletter.Home(deadletter.Letter{Origin: m, Stage: "persist"}, "job", "letter")
	}
	for name, m := range map[string]event.Message{"as written": document(), "come home": home(document())} {
		f, err := fact.Read(m)
		if err != nil || f.Validated == nil || f.Service != "validate" || f.Meta.Revision != order.NewRevision(1, 7) {
			t.Fatalf("%s: %+v, %v", name, f, err)
		}
		if o := f.Validated.Order; o.Key != "icbu:P1" || o.Total.Decimal.String() != "1.5" || !f.Validated.At.Equal(at.Add(time.Second)) {
			t.Errorf("%s: %+v", name, f.Validated)
		}
	}
	for name, m := range map[string]event.Message{"as written": delivery(t), "come home": home(delivery(t))} {
		f, err := fact.Read(m)
		if err != nil || f.Delivery == nil || f.Service != "okkisync" || f.Delivery.Outcome != event.Delivered {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	change := func(m event.Message, edit func(m *event.Message)) event.Message {
		edit(&m)
		return m
	}
	for name, c := range map[string]struct {
		in   event.Message
		path string
	}{
		"no headers":       {change(document(), func(m *event.Message) { m.Headers = nil }), ""},
		"long key":         {change(document(), func(m *event.Message) { m.SetHeader(event.HeaderOrderKey, strings.Repeat("k", fact.MaxKey+1)) }), ""},
		"no document":      {change(document(), func(m *event.Message) { m.Value = []byte("[") }), ""},
		"bad amount":       {change(document(), func(m *event.Message) { m.Value = []byte(`{"amount":"secret"}`) }), "/amount"},
		"no delivery":      {change(delivery(t), func(m *event.Message) { m.Value = nil }), ""},
		"another's":        {change(delivery(t), func(m *event.Message) { m.SetHeader(event.HeaderOrderKey, "icbu:secret") }), "/order_key"},
		"unknown outcome":  {change(delivery(t), func(m *event.Message) { m.Value = []byte(strings.Replace(string(m.Value), "delivered", "secret", 1)) }), "/outcome"},
		"stranger's topic": {change(document(), func(m *event.Message) { m.Topic = event.Replay("persist") }), ""},
	} {
		_, err := fact.Read(c.in)
		permanent, ok := errors.AsType[*worker.PermanentError](err)
		if !ok || permanent.Code != worker.Code(source.BadJSON) || permanent.Path != c.path || strings.Contains(permanent.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
