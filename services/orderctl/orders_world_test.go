package main

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
	"orderflow/schemas"
)

// analystsWorld is a broker with a schema registry, and what writes orders.v1 there as validate does.
type analystsWorld struct {
	testing.TB
	broker  *bustest.Broker
	env     map[string]string
	encoder *published.Encoder
	client  *kgo.Client
}

func newAnalystsWorld(t testing.TB) *analystsWorld {
	t.Helper()
	broker := bustest.Start(t)
	server := httptest.NewServer(srfake.NewRegistry().Handler())
	t.Cleanup(server.Close)
	asked, err := registry.New(registry.Settings{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	id, err := asked.Register(t.Context(), published.Subject, schemas.OrderSchema)
	if err != nil {
		t.Fatal(err)
	}
	return &analystsWorld{
		TB: t, broker: broker, encoder: published.NewEncoder(id), client: broker.Client(kgo.TransactionalID("validate")),
		env: map[string]string{"KAFKA_BROKERS": broker.Brokers[0], "SCHEMA_REGISTRY_URL": server.URL},
	}
}

// publish writes records in one transaction.
func (w *analystsWorld) publish(commit kgo.TransactionEndTry, records ...published.Record) {
	w.Helper()
	if err := w.client.BeginTransaction(); err != nil {
		w.Fatal(err)
	}
	batch := make([]*kgo.Record, len(records))
	for i := range records {
		batch[i] = w.record(&records[i])
	}
	if err := w.client.ProduceSync(w.Context(), batch...).FirstErr(); err != nil {
		w.Fatal(err)
	}
	if err := w.client.EndTransaction(w.Context(), commit); err != nil {
		w.Fatal(err)
	}
}

func (w *analystsWorld) record(r *published.Record) *kgo.Record {
	meta := event.Meta{OrderKey: r.OrderKey, Revision: r.Revision, ReceivedAt: r.ReceivedAt, ReceivedOffset: r.Revision.Offset()}
	value, err := w.encoder.Encode(r)
	if err != nil {
		w.Fatal(err)
	}
	return bus.ToRecord(event.New(published.Topic, "validate", meta, r.PublishedAt, published.ContentType, value))
}

// noon is when the tests' orders are received.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func amountOf(text string) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.RequireFromString(text))
}

// sale is a plausible mall order with two lines.
func sale(number int, at time.Time, total string) published.Record {
	key := order.Key(fmt.Sprintf("mall:HQS%04d:R%07d", number%40, number))
	revision := order.NewRevision(1, int64(number))
	return published.Record{
		OrderKey: key, Source: order.Mall, Revision: revision, EventID: fmt.Sprintf("%s@%d", key, revision), Kind: order.Sale,
		OrderNo: fmt.Sprintf("R%07d", number), Shop: fmt.Sprintf("HQS%04d", number%40), Channel: "taobao", Status: "completed", Currency: "CNY",
		Total: amountOf(total), Paid: amountOf(total), Discount: amountOf("0.5"),
		Lines: []published.Line{
			{LineNo: 1, Product: "6901234567892", Quantity: amountOf("2"), UnitPrice: amountOf("199.00"), Amount: amountOf("398.00")},
			{LineNo: 2, Product: "6901234567893", Quantity: amountOf("1"), UnitPrice: amountOf("52.0001"), Amount: amountOf("52.0001")},
		},
		BuyerPseudonym: "k1.abcdefghijklmnopqrstuvwx", PhonePseudonym: "k1.xwvutsrqponmlkjihgfedcba", Province: "浙江省", City: "杭州市",
		PlacedAt: at.Add(-time.Hour), PaidAt: at.Add(-59 * time.Minute), ReceivedAt: at, PublishedAt: at.Add(time.Second),
	}
}

// settings makes the world what orderctl finds in its environment.
func (w *analystsWorld) settings(t *testing.T) {
	t.Helper()
	settings(t, w.env)
	for name, value := range w.env {
		t.Setenv(name, value)
	}
}

// bad is a record that was not written by validate.
func bad(key string) event.Message {
	return event.Message{Topic: published.Topic, Key: key, Value: []byte("not-avro")}
}
