package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// secret is a key's value.
const secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// start runs the service on the broker until the test ends, and gives what it logs.
func start(t *testing.T, broker *bustest.Broker) *observer.ObservedLogs {
	t.Helper()
	return startWith(t, broker, srfake.New())
}

// startWith runs the service with a schema registry of the test.
func startWith(t *testing.T, broker *bustest.Broker, registry *srfake.Registry) *observer.ObservedLogs {
	t.Helper()
	t.Cleanup(registry.Close)
	t.Setenv("SCHEMA_REGISTRY_URL", registry.URL())
	t.Setenv("PSEUDONYM_KEYS", "p="+secret)
	core, logs := observer.New(zapcore.DebugLevel)
	process := &boot.Process{Name: service, Log: zap.New(core), Health: boot.NewHealth(), Metrics: prometheus.NewRegistry()}
	var cfg settings
	if err := boot.Load(&cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Bus = broker.Settings
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, process, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return logs
}

// record is what ingest writes.
func record(from order.Source, key order.Key, body string) event.Message {
	meta := event.Meta{OrderKey: key, PushID: "push", Digest: order.Digest([]byte(body))}
	return event.New(event.Received(from), "ingest", meta, receivedAt, "application/json", []byte(body))
}

// receive writes records with the time of receipt of these tests, which a real broker gives them by its clock: an order is too
// old by that time, whatever day it is.
func receive(t testing.TB, broker *bustest.Broker, messages ...event.Message) {
	t.Helper()
	client := broker.Client()
	defer client.Close()
	records := make([]*kgo.Record, len(messages))
	for i, m := range messages {
		records[i] = bus.ToRecord(m)
		records[i].Timestamp = receivedAt
	}
	if err := client.ProduceSync(broker.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// One bad order among a hundred: 99 go on, one is parked with code and path, and comes home by a replay with its revision.
func TestOneBadOrderAmongAHundred(t *testing.T) {
	broker := bustest.Start(t)
	logs := start(t, broker)
	const orders, bad = 100, 37
	for i := range orders {
		ack := i % 2
		if i == bad {
			ack = 7
		}
		no := fmt.Sprintf("P%03d", i)
		broker.Produce(record(order.ICBU, order.Key("icbu:"+no), fmt.Sprintf(`{"ali_order_no":"%s","ack":%d,"refer":"confidential"}`, no, ack)))
	}
	received := map[string]order.Revision{}
	for _, m := range broker.Read(event.Received(order.ICBU)) {
		received[m.Key] = order.NewRevision(1, m.Offset)
	}
	for _, m := range broker.Wait(event.Validated(order.ICBU), orders-1) {
		meta, err := m.Meta()
		if err != nil || meta.Revision != received[m.Key] || meta.Digest != order.Digest(m.Value) || meta.PushID != "push" {
			t.Errorf("%s: %+v, %v", m.Key, meta, err)
		}
	}
	letters := broker.Wait(event.DeadLetters(service), 1)
	letter, err := deadletter.Parse(letters[0])
	if err != nil || letter.Code != string(source.BadEnum) || letter.Path != "/ack" || letter.Origin.Key != "icbu:P037" {
		t.Fatalf("%+v, %v", letter, err)
	}

	// Nobody mended the order, so it comes back as the same letter; a mended one goes on under its old revision.
	broker.Produce(deadletter.Home(letter, "job-1", "letter-1"))
	again, err := deadletter.Parse(broker.Wait(event.DeadLetters(service), 2)[1])
	if err != nil || again.Replays != 1 || again.Origin.Offset != letter.Origin.Offset || again.Origin.Topic != letter.Origin.Topic {
		t.Errorf("%+v, %v", again, err)
	}
	letter.Origin.Value = []byte(strings.Replace(string(letter.Origin.Value), `"ack":7`, `"ack":1`, 1))
	broker.Produce(deadletter.Home(letter, "job-2", "letter-1"))
	for _, m := range broker.Wait(event.Validated(order.ICBU), orders) {
		if m.Key != "icbu:P037" {
			continue
		}
		meta, err := m.Meta()
		if err != nil || meta.Revision != received[m.Key] || meta.ReplayJob != "job-2" || meta.ReplayLetter != "letter-1" {
			t.Errorf("%+v, %v", meta, err)
		}
	}
	for _, entry := range logs.All() {
		if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "confidential") {
			t.Errorf("logged: %s", text)
		}
	}
}

// Every source's examples pass through the same process, each to its own topic.
func TestAllSourcesThroughOneProcess(t *testing.T) {
	broker := bustest.Start(t)
	start(t, broker)
	good, bad := map[order.Source]int{}, 0
	for _, e := range examples(t) {
		receive(t, broker, record(e.source, e.key, string(e.body)))
		if strings.Contains(e.name, "/bad-") {
			bad++
		} else {
			good[e.source]++
		}
	}
	for from, count := range good {
		for _, m := range broker.Wait(event.Validated(from), count) {
			if order.Key(m.Key).Source() != from || !order.Key(m.Key).Named() {
				t.Errorf("%s in the topic of %s", m.Key, from)
			}
		}
	}
	if letters := broker.Wait(event.DeadLetters(service), bad); len(letters) != bad {
		t.Errorf("%d letters for %d bad examples", len(letters), bad)
	}
}
