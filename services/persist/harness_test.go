package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"orderflow/pkg/boot"
	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/privacy"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/source/procurement"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
	"orderflow/schemas"
)

var receivedAt = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

var secret = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))

var privacySettings = privacy.Settings{PseudonymKeys: "p=" + secret, PayloadKeys: "k=" + secret}

// bench is a keeper on a fresh database, with a connection to look at what it wrote.
type bench struct {
	testing.TB
	*keeper
	process *boot.Process
	logs    *observer.ObservedLogs
	store   *store.Store
	keys    *privacy.Keys
	url     string
}

func newBench(t testing.TB, url string) *bench {
	t.Helper()
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	keys, err := privacy.New(privacySettings)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	process := &boot.Process{Name: service, Log: zap.New(core), Health: boot.NewHealth(), Metrics: prometheus.NewRegistry()}
	return &bench{t, newKeeper(store.NewWriter(db, keys), process), process, logs, db, keys, url}
}

func freshBench(t testing.TB) *bench { return newBench(t, pgtest.New(t)) }

// keep hands messages over and wants every one stored.
func (b *bench) keep(in ...event.Message) {
	b.Helper()
	for i, err := range b.errors(in...) {
		if err != nil {
			b.Fatalf("message %d: %v", i, err)
		}
	}
}

func (b *bench) errors(in ...event.Message) []error {
	b.Helper()
	results := b.handle(b.Context(), in)
	errs := make([]error, len(results))
	for i, r := range results {
		errs[i] = r.Err
		if len(r.Out) > 0 || r.Answered {
			b.Errorf("message %d: result %+v", i, r)
		}
	}
	return errs
}

func (b *bench) rows(sql string) []string {
	b.Helper()
	return pgtest.Rows(b, b.url, sql)
}

func (b *bench) want(sql string, want ...string) {
	b.Helper()
	if got := b.rows(sql); !slices.Equal(got, want) {
		b.Errorf("%s:\n got %q\nwant %q", sql, got, want)
	}
}

// eventually waits until a query gives the wanted rows.
func (b *bench) eventually(sql string, want ...string) {
	b.Helper()
	deadline := time.Now().Add(bustest.Patience)
	for !slices.Equal(b.rows(sql), want) {
		if time.Now().After(deadline) {
			b.Fatalf("%s:\n got %q\nwant %q", sql, b.rows(sql), want)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func example(t testing.TB, path string) []byte {
	t.Helper()
	body, err := schemas.Examples.ReadFile("examples/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

var judges = map[order.Source]func([]byte, time.Time) ([]byte, order.Order, error){
	order.ICBU: icbu.Judge, order.Procurement: procurement.Judge, order.Mall: mall.Judge,
}

// validated is the message that validate writes for a push.
func validated(t testing.TB, from order.Source, body []byte, offset int64) event.Message {
	t.Helper()
	if from == order.Mall { // examples are batches, of dates long past
		shifted, err := mall.ShiftDates(body, receivedAt)
		if err != nil {
			t.Fatal(err)
		}
		items, err := mall.Split(shifted)
		if err != nil {
			t.Fatal(err)
		}
		body = items[0].Raw
	}
	doc, o, err := judges[from](body, receivedAt)
	if err != nil {
		t.Fatal(err)
	}
	m := event.New(event.Validated(from), "validate", metaOf(o.Key, offset, order.Digest(doc)), receivedAt, "application/json", doc)
	m.Partition, m.Offset, m.Timestamp = 1, offset, receivedAt.Add(time.Second)
	return m
}

func metaOf(key order.Key, offset int64, digest string) event.Meta {
	return event.Meta{
		OrderKey: key, Revision: order.NewRevision(1, offset), Digest: digest, PushID: fmt.Sprint("push-", offset),
		ReceivedPartition: 2, ReceivedOffset: offset, ReceivedAt: receivedAt,
	}
}

// delivered is the message that a partner worker writes for a validated one.
func delivered(t testing.TB, by string, of event.Message, outcome event.Outcome, total string) event.Message {
	t.Helper()
	meta, err := of.Meta()
	if err != nil {
		t.Fatal(err)
	}
	at := receivedAt.Add(2 * time.Second)
	value, err := json.Marshal(event.Delivery{
		Partner: "p", OrderKey: meta.OrderKey, Revision: meta.Revision, Digest: meta.Digest, Outcome: outcome, Total: total, Attempts: 1, At: at,
	})
	if err != nil {
		t.Fatal(err)
	}
	return event.New(event.Deliveries, by, meta, at, "application/json", value)
}

// failed is the letter that a worker writes for a record.
func failed(stage, code string, of event.Message, replays int) event.Message {
	at := receivedAt.Add(time.Minute)
	m := deadletter.Wrap(deadletter.Letter{
		Origin: of, Stage: stage, Code: code, Path: "/amount", Class: "permanent", Message: "a rule", Attempts: 1, First: at, Last: at, Replays: replays,
	})
	m.Partition, m.Offset, m.Timestamp = 4, of.Offset+int64(1000*replays), at
	return m
}

// pushed is a record of a received topic, as validate reads it.
func pushed(from order.Source, key order.Key, body []byte, offset int64) event.Message {
	m := event.New(event.Received(from), "ingest", event.Meta{OrderKey: key, PushID: fmt.Sprint("push-", offset)}, receivedAt, "application/json", body)
	m.Partition, m.Offset, m.Timestamp = 2, offset, receivedAt
	return m
}

func isPermanent(err error, code worker.Code) bool {
	p, ok := err.(*worker.PermanentError) //nolint:errorlint // the loop gets it unwrapped
	return ok && p.Code == code
}

func isOutage(err error) bool {
	_, ok := err.(*worker.OutageError) //nolint:errorlint // the loop gets it unwrapped
	return ok
}
