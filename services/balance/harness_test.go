package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kadm"
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
	"orderflow/pkg/pgtest"
	"orderflow/pkg/privacy"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
	"orderflow/pkg/store"
	"orderflow/schemas"
)

// noon is where the tests' clock starts: the records of an hour before it can be written at once.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// house is a broker and a database with the other services played by the test, and a balance with the test's clock.
type house struct {
	testing.TB
	broker      *bustest.Broker
	url         string
	db          *store.Store
	writer      *store.Writer
	conn        *pgx.Conn
	client      *kgo.Client // in transactions
	admin       *kadm.Client
	asked       *registry.Client
	registryURL string
	encoder     *published.Encoder
	names       *privacy.Pseudonyms
	now         time.Time
	logs        *observer.ObservedLogs
	log         *zap.Logger
	cfg         settings

	balance *balance
	metrics *prometheus.Registry
}

func openHouse(t testing.TB) *house {
	t.Helper()
	h := &house{TB: t, broker: bustest.Start(t), url: pgtest.New(t), now: noon}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(store.Migrate(t.Context(), h.url))
	var err error
	h.db, err = store.Open(t.Context(), h.url)
	must(err)
	t.Cleanup(h.db.Close)
	h.conn, err = pgx.Connect(t.Context(), h.url)
	must(err)
	t.Cleanup(func() { _ = h.conn.Close(context.Background()) })
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{5}, 32))
	keys, err := privacy.New(privacy.Settings{PseudonymKeys: "p=" + secret, PayloadKeys: "k=" + secret})
	must(err)
	h.writer = store.NewWriter(h.db, keys)
	h.names, err = privacy.NewPseudonyms(privacy.PseudonymSettings{PseudonymKeys: "p=" + secret})
	must(err)

	fake := srfake.New()
	t.Cleanup(fake.Close)
	h.registryURL = fake.URL()
	h.asked, err = registry.New(registry.Settings{URL: h.registryURL})
	must(err)
	id, err := h.asked.Register(t.Context(), published.Subject, schemas.OrderSchema)
	must(err)
	h.encoder = published.NewEncoder(id)
	h.client = h.broker.Client(kgo.TransactionalID("validate"))
	h.admin = kadm.NewClient(h.broker.Client())
	core, logs := observer.New(zapcore.DebugLevel)
	h.log, h.logs = zap.New(core), logs
	h.cfg = settings{Bus: h.broker.Settings, Balance: Settings{Every: 30 * time.Second, Grace: 2 * time.Minute, Deadline: time.Hour, Recent: 24 * time.Hour}}
	h.restart()
	return h
}

// restart replaces the balance by a new process that knows nothing.
func (h *house) restart() {
	h.Helper()
	if h.balance != nil {
		h.balance.reader.close()
	}
	id, err := h.asked.Register(h.Context(), subject, schemas.CompletenessSchema)
	if err != nil {
		h.Fatal(err)
	}
	h.metrics = prometheus.NewRegistry()
	p := &boot.Process{Name: service, Log: h.log, Health: boot.NewHealth(), Metrics: h.metrics}
	h.balance = newBalance(p, h.cfg, h.db, h.broker.Client(), h.newReader(), id)
	h.balance.now = func() time.Time { return h.now }
	h.Cleanup(h.balance.reader.close)
}

func (h *house) newReader() reader {
	return reader{
		db: h.db, admin: kadm.NewClient(h.broker.Client()), settings: h.cfg.Bus, log: h.log, decode: published.NewDecoder(h.asked).Decode,
	}
}

// check is one round of the balance.
func (h *house) check() {
	h.Helper()
	if err := h.balance.check(h.Context()); err != nil {
		h.Fatal(err)
	}
}

// push receives orders of a source at a time, and gives their records.
func (h *house) push(source order.Source, at time.Time, numbers ...string) []event.Message {
	h.Helper()
	var pushed []event.Message
	for _, number := range numbers {
		key := order.NewKey(source, nil, number)
		if source == order.Mall {
			key = order.NewKey(source, nil, "S", number)
		}
		record := bus.ToRecord(event.New(event.Received(source), "ingest", event.Meta{OrderKey: key, PushID: "push"}, at, "application/json", []byte("{}")))
		record.Timestamp = at
		if err := h.broker.Client().ProduceSync(h.broker.Context(), record).FirstErr(); err != nil {
			h.Fatal(err)
		}
		m := bus.FromRecord(record)
		m.Timestamp = at
		pushed = append(pushed, m)
	}
	return pushed
}

func metaOf(m event.Message) event.Meta {
	meta := m.ReceivedMeta(1)
	meta.Digest = order.Digest([]byte(m.Key + fmt.Sprint(m.Offset)))
	return meta
}

// total of every order, so that a sum tells how many there are.
const total = "10.05"

func orderOf(meta event.Meta) order.Order {
	return order.Order{
		Key: meta.OrderKey, Source: meta.OrderKey.Source(), OrderNo: "N", Kind: order.Sale, Currency: "CNY",
		Total: decimal.NewNullDecimal(decimal.RequireFromString(total)), Paid: decimal.NewNullDecimal(decimal.RequireFromString("1e1")),
		Lines: []order.Line{
			{No: 1, ID: "1", Quantity: decimal.NewNullDecimal(decimal.NewFromInt(2)), Amount: decimal.NewNullDecimal(decimal.RequireFromString("8.050"))},
			{No: 2, ID: "2", Amount: decimal.NewNullDecimal(decimal.NewFromInt(2))},
		},
	}
}

// part is what the played services leave out.
type part int

const (
	whole       part = iota
	noRecord         // orders.v1 is not written
	recordTwice      // and once more
	noDocument       // persist passes over the validated document
	noPersist        // persist passes over all
	noEnd            // persist passes over the outcome of the delivery
	refusal          // validate refuses
)

// run takes received records through the house: validated, delivered and stored, less what is left out; every service has
// committed in the end.
func (h *house) run(how part, received ...event.Message) {
	h.Helper()
	for _, m := range received {
		h.transact(true, h.made(how, m)...)
		h.deliver(how, m)
		h.store(how, m)
	}
	h.commitAll()
}

// made is what validate makes of a record.
func (h *house) made(how part, m event.Message) []event.Message {
	h.Helper()
	if how == refusal {
		letter := deadletter.Wrap(deadletter.Letter{Origin: m, Stage: "validate", Code: "bad_amount", Class: "permanent", Message: "x", Attempts: 1, First: m.Timestamp, Last: m.Timestamp})
		return []event.Message{letter}
	}
	out := []event.Message{document(m)}
	if how != noRecord {
		out = append(out, h.record(m))
	}
	if how == recordTwice {
		out = append(out, h.record(m))
	}
	return out
}

func document(m event.Message) event.Message {
	meta := metaOf(m)
	return event.New(event.Validated(meta.OrderKey.Source()), "validate", meta, m.Timestamp, "application/json", []byte("{}"))
}

// record is the record of orders.v1 of a received one.
func (h *house) record(m event.Message) event.Message {
	h.Helper()
	meta := metaOf(m)
	o := orderOf(meta)
	r := published.New(&o, meta, h.names, m.Timestamp)
	from := document(m)
	encoded, err := h.encoder.Message(&r, &from, h.names)
	if err != nil {
		h.Fatal(err)
	}
	return encoded
}

// transact writes messages in one transaction.
func (h *house) transact(commit bool, messages ...event.Message) {
	h.Helper()
	if err := h.client.BeginTransaction(); err != nil {
		h.Fatal(err)
	}
	if err := bus.Produce(h.broker.Context(), h.client, messages...); err != nil {
		h.Fatal(err)
	}
	if err := h.client.EndTransaction(h.broker.Context(), kgo.TransactionEndTry(commit)); err != nil {
		h.Fatal(err)
	}
}

func delivered(m event.Message) store.Fact {
	meta := metaOf(m)
	return store.Fact{Meta: meta, Service: partner(meta.OrderKey.Source()), Delivery: &event.Delivery{
		OrderKey: meta.OrderKey, Revision: meta.Revision, Outcome: event.Delivered, Total: total, At: m.Timestamp,
	}}
}

func (h *house) deliver(how part, m event.Message) {
	h.Helper()
	if worker := partner(metaOf(m).OrderKey.Source()); worker != "" && how != refusal {
		h.broker.Produce(event.New(event.Deliveries, worker, metaOf(m), m.Timestamp, "application/json", []byte("{}")))
	}
}

// store is what persist writes about a record.
func (h *house) store(how part, m event.Message) {
	h.Helper()
	meta := metaOf(m)
	var facts []store.Fact
	switch how {
	case refusal:
		facts = append(facts, store.Fact{Meta: meta, Service: "validate", Letter: &store.Letter{
			Letter: deadletter.Letter{Origin: m, Stage: "validate", Code: "bad_amount", First: m.Timestamp, Last: m.Timestamp},
			Record: event.Message{Topic: event.DeadLetters("validate"), Partition: m.Partition, Offset: m.Offset},
		}})
	case noPersist:
	default:
		if how != noDocument {
			facts = append(facts, store.Fact{Meta: meta, Service: "validate", Validated: &store.Validated{Order: orderOf(meta), Document: []byte("{}"), At: m.Timestamp}})
		}
		if partner(meta.OrderKey.Source()) != "" && how != noEnd {
			facts = append(facts, delivered(m))
		}
	}
	for _, err := range h.writer.Apply(h.Context(), facts) {
		if err != nil {
			h.Fatal(err)
		}
	}
}

// commitAll lets every service have committed all that its topics hold.
func (h *house) commitAll() {
	h.Helper()
	for _, service := range []string{"validate", "okkisync", "mallupload", "persist"} {
		h.commit(service)
	}
}

// commit lets one service have committed all that there is for it: up to the last record, as the clients do, and not up to
// the marker behind it.
func (h *house) commit(service string) {
	h.Helper()
	done := kadm.Offsets{}
	for _, t := range bus.Topics() {
		if !slices.Contains(t.Consumers, service) {
			continue
		}
		if t.Generation > 0 { // never transactional, and a test may have deleted its records
			ends, err := h.admin.ListEndOffsets(h.broker.Context(), t.Name)
			if err != nil {
				h.Fatal(err)
			}
			ends.Each(func(o kadm.ListedOffset) {
				done.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.Offset, LeaderEpoch: -1})
			})
			continue
		}
		for _, m := range h.broker.Read(t.Name) {
			done.Add(kadm.Offset{Topic: t.Name, Partition: m.Partition, At: m.Offset + 1, LeaderEpoch: -1})
		}
	}
	if err := h.admin.CommitAllOffsets(h.broker.Context(), service, done); err != nil {
		h.Fatal(err)
	}
}

func (h *house) exec(sql string, args ...any) {
	h.Helper()
	if _, err := h.conn.Exec(h.Context(), sql, args...); err != nil {
		h.Fatal(err)
	}
}

// hour gives one hour as PostgreSQL has it.
func (h *house) hour(source order.Source, at time.Time) store.BalanceHour {
	h.Helper()
	hours, err := h.db.BalanceHours(h.Context(), source, hourOf(at))
	if err != nil {
		h.Fatal(err)
	}
	for _, each := range hours {
		if each.Hour.Equal(hourOf(at)) {
			return each
		}
	}
	h.Fatalf("%s has no hour %s", source, hourOf(at))
	return store.BalanceHour{}
}

// want holds an hour against a line: state, received, ended, open, missing and faults.
func (h *house) want(source order.Source, at time.Time, want string) {
	h.Helper()
	t := h.hour(source, at).Tally
	ended := t.Delivered + t.Persisted + t.Duplicate + t.Superseded + t.Parked + t.Discarded
	got := fmt.Sprintf("%s received %d ended %d open %d missing %d faults %d", h.hour(source, at).State, t.Received, ended, t.Open, t.Missing, t.Faults)
	if got != want {
		h.Errorf("%s %s:\n got %s\nwant %s (%+v)", source, hourOf(at).Format("15h"), got, want, t)
	}
}

// named wants exactly these offsets to be named, as FAULT PARTITION/OFFSET KEY.
func (h *house) named(want ...string) {
	h.Helper()
	got := pgtest.Rows(h, h.url, `select fault || ' ' || partition || '/' || "offset" || ' ' || order_key from balance_faults order by 1`)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		h.Errorf("named %q\nwanted %q", got, want)
	}
}

func place(fault store.Fault, m event.Message) string {
	return fmt.Sprintf("%s %d/%d %s", fault, m.Partition, m.Offset, m.Key)
}

// told gives the completeness records of an hour, oldest first.
func (h *house) told(source order.Source, at time.Time) []completeness {
	h.Helper()
	decoder := registry.NewDecoder(h.asked, schema)
	var all []completeness
	for _, m := range h.broker.Read(event.Completeness) {
		var c completeness
		if err := decoder.Decode(h.Context(), m.Value, &c); err != nil {
			h.Fatal(err)
		}
		if c.Source == source && c.Hour.Equal(hourOf(at)) {
			all = append(all, c)
		}
	}
	return all
}
