package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/shopspring/decimal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/crypto/bcrypt"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/privacy"
	"orderflow/pkg/receipt"
	"orderflow/pkg/store"
)

const receiptKey = "2026=bmV3LW5ldy1uZXctbmV3LW5ldy1uZXc="

var (
	at      = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	secret  = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))
	private = privacy.Settings{PseudonymKeys: "p=" + secret, PayloadKeys: "k=" + secret}
)

// entry is a user of CONSOLE_USERS whose password is their name, spelt twice.
func entry(t testing.TB, name, role string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(name+name), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + role + ":" + string(hash)
}

// desk is the console as it runs, beside a Kafka and a PostgreSQL of its own.
type desk struct {
	t       testing.TB
	broker  *bustest.Broker
	url     string
	base    string
	store   *store.Store
	keys    *privacy.Keys
	writer  *store.Writer
	health  *boot.Health
	metrics *prometheus.Registry
	logs    *observer.ObservedLogs
}

// start runs the console with the settings as changed, and waits until it is ready.
func start(t testing.TB, changes ...func(*settings)) *desk {
	t.Helper()
	d := &desk{t: t, broker: bustest.Start(t), url: pgtest.New(t)}
	if err := store.Migrate(t.Context(), d.url); err != nil {
		t.Fatal(err)
	}
	d.open()
	cfg := deskSettings(t, d)
	for _, change := range changes {
		change(&cfg)
	}
	d.run(cfg)
	d.await("ready", func() bool { return d.ask("", "GET", "/readyz", "").status == http.StatusOK })
	return d
}

// deskSettings are those of a console with one person of each role.
func deskSettings(t testing.TB, d *desk) settings {
	t.Helper()
	return settings{
		Bus: d.broker.Settings, Store: store.Settings{URL: d.url}, Privacy: private, Receipt: receipt.Settings{Keys: receiptKey},
		Console: Settings{
			Users:        entry(t, "vera", "viewer") + "," + entry(t, "olga", "operator") + "," + entry(t, "anna", "approver"),
			ApprovalSize: 1000, ReplayMaxTimes: 3, StopRatio: 0.5,
		},
	}
}

func (d *desk) open() {
	var err error
	if d.keys, err = privacy.New(private); err != nil {
		d.t.Fatal(err)
	}
	if d.store, err = store.Open(d.t.Context(), d.url); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(d.store.Close)
	d.writer = store.NewWriter(d.store, d.keys)
}

func (d *desk) run(cfg settings) {
	core, logs := observer.New(zapcore.DebugLevel)
	d.logs, d.metrics, d.health = logs, prometheus.NewRegistry(), boot.NewHealth()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	d.base = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	p := &boot.Process{Name: service, Log: zap.New(core), Health: d.health, Metrics: d.metrics}
	go func() { ended <- serveConsole(ctx, p, cfg, listener) }()
	d.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Errorf("the console ended with %v", err)
		}
	})
}

func (d *desk) await(what string, holds func() bool) {
	d.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(bustest.Patience); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Fatalf("still not %s after %s", what, bustest.Patience)
		}
	}
}

// said is an answer of the console.
type said struct {
	status int
	header http.Header
	body   string
}

// ask sends a request as a person: the password is the name, spelt twice; "" is nobody. Headers are name: value.
func (d *desk) ask(who, method, path, body string, headers ...string) said {
	d.t.Helper()
	request, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if who != "" {
		request.SetBasicAuth(who, who+who)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultTransport.RoundTrip(request) // no redirects
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return said{response.StatusCode, response.Header, string(text)}
}

// code is the code of an error.
func (s said) code() string {
	var body struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal([]byte(s.body), &body) != nil || body.Error.Message == "" {
		return "no error: " + s.body
	}
	return body.Error.Code
}

// into reads a good answer.
func into[T any](t testing.TB, s said) T {
	t.Helper()
	var body T
	if err := json.Unmarshal([]byte(s.body), &body); err != nil || s.status != http.StatusOK {
		t.Fatalf("answered %d %s (%v)", s.status, s.body, err)
	}
	return body
}

func (d *desk) apply(facts ...store.Fact) {
	d.t.Helper()
	for i, err := range d.writer.Apply(d.t.Context(), facts) {
		if err != nil {
			d.t.Fatalf("fact %d: %v", i, err)
		}
	}
}

func metaOf(key order.Key, offset int64) event.Meta {
	return event.Meta{
		OrderKey: key, Revision: order.NewRevision(1, offset), Digest: fmt.Sprint("d", offset), PushID: "push",
		ReceivedPartition: 2, ReceivedOffset: offset, ReceivedAt: at,
	}
}

// validatedFact is the fact that an order passed validation.
func validatedFact(key order.Key, offset int64, numbers ...string) store.Fact {
	return store.Fact{Meta: metaOf(key, offset), Service: "validate", Validated: &store.Validated{
		At: at.Add(time.Millisecond), Document: []byte(`{}`),
		Order: order.Order{
			Key: key, Source: key.Source(), OrderNo: numbers[0], Numbers: numbers, Kind: order.Sale, Currency: "CNY",
			Total: decimal.NewNullDecimal(decimal.RequireFromString("1204.50")), PlacedAt: at.Add(-time.Hour),
		},
	}}
}

func deliveredFact(key order.Key, offset int64) store.Fact {
	m := metaOf(key, offset)
	return store.Fact{Meta: m, Service: "okkisync", Delivery: &event.Delivery{
		Partner: "okki", OrderKey: key, Revision: m.Revision, Digest: m.Digest, Outcome: event.Delivered, Total: "1204.50", Attempts: 1,
		At: at.Add(2 * time.Millisecond),
	}}
}

// push writes records as ingest does, one an order key, and gives the receipt.
func (d *desk) push(source order.Source, keys ...order.Key) (string, []receipt.Record) {
	d.t.Helper()
	id := receipt.NewPushID(time.Now())
	client := d.broker.Client()
	defer client.Close()
	r := receipt.Receipt{PushID: id, Source: source, ReceivedAt: time.Now()}
	for _, key := range keys {
		m := event.New(event.Received(source), "ingest", event.Meta{OrderKey: key, PushID: id.String()}, time.Now(), "application/json", []byte(`{}`))
		produced, err := client.ProduceSync(d.t.Context(), bus.ToRecord(m)).First()
		if err != nil {
			d.t.Fatal(err)
		}
		r.Records = append(r.Records, receipt.Record{Partition: produced.Partition, Offset: produced.Offset})
	}
	return receipt.Mint(receiptKeys(d.t), r), r.Records
}

func receiptKeys(t testing.TB) receipt.Keys {
	t.Helper()
	keys, err := receipt.ParseKeys(receiptKey)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
