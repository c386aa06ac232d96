package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"pgregory.net/rapid"

	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/judge"
	"orderflow/pkg/order"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
	"orderflow/schemas"
)

// reader gives an encoder and a decoder over a registry of the test.
func reader(t testing.TB) (*published.Encoder, *published.Decoder) {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	client, err := registry.New(registry.Settings{URL: fake.URL()})
	if err != nil {
		t.Fatal(err)
	}
	id, err := client.Register(t.Context(), published.Subject, schemas.OrderSchema)
	if err != nil {
		t.Fatal(err)
	}
	return published.NewEncoder(id), published.NewDecoder(client)
}

// TestRecordsOfTheExamples holds what analysts read of every good example against golden files.
func TestRecordsOfTheExamples(t *testing.T) {
	transform := newTransform(t)
	encoder, decoder := reader(t)
	transform.encoder = encoder
	texts := map[string]string{}
	for _, e := range goodExamples(t) {
		in := record(e.source, e.key, string(e.body))
		in.Partition, in.Offset, in.Timestamp = 3, 42, receivedAt
		out, err := transform.apply(judge.Stamp(in))
		if err != nil || len(out) != 2 || out[0].Topic != event.Validated(e.source) || out[1].Topic != "orders.v1" || out[1].Key != out[0].Key {
			t.Fatalf("%s: %d messages, %v", e.name, len(out), err)
		}
		r, err := decoder.Decode(t.Context(), out[1].Value)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		texts[e.name] += string(text) + "\n"
	}
	holdGolden(t, filepath.Join("testdata", "published"), texts)
}

// TestHeadersOfARecord: those of the document but for what the value decides.
func TestHeadersOfARecord(t *testing.T) {
	transform := newTransform(t)
	in := record(order.ICBU, "icbu:P1", `{"ali_order_no":"P1"}`)
	in.Partition, in.Offset, in.Timestamp = 3, 42, receivedAt
	in.SetHeader(event.HeaderTraceParent, "00-1-2-01")
	stamped := judge.Stamp(in)
	stamped.SetHeader(event.HeaderReplayJob, "job-1")
	out, err := transform.apply(stamped)
	if err != nil {
		t.Fatal(err)
	}
	document, m := out[0], out[1]
	meta, err := m.Meta()
	want, wantErr := document.Meta()
	meta.Digest, want.Digest = "", ""
	if err != nil || wantErr != nil || meta != want || len(m.Headers) != len(document.Headers) {
		t.Errorf("%+v, %v\nwant %+v, %v", meta, err, want, wantErr)
	}
	for name, want := range map[string]string{
		event.HeaderSpecVersion: "1.0", event.HeaderID: document.Header(event.HeaderID), event.HeaderSource: "/orderflow/validate",
		event.HeaderType: "orderflow.orders", event.HeaderTime: "2026-11-20T02:00:01.123Z", event.HeaderSubject: "icbu:P1",
		event.HeaderContentType: "application/vnd.confluent.avro", event.HeaderReplayJob: "job-1", event.HeaderTraceParent: "00-1-2-01",
	} {
		if got := m.Header(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if document.Header(event.HeaderType) != "orderflow.icbu.validated" || document.Header(event.HeaderContentType) != "application/json" {
		t.Error("the document's own headers changed")
	}
	again, err := transform.apply(stamped)
	if err != nil || again[1].Header(event.HeaderDigest) != m.Header(event.HeaderDigest) || !strings.HasPrefix(m.Header(event.HeaderDigest), "p.") {
		t.Errorf("equal content has the digests %s and %s", again[1].Header(event.HeaderDigest), m.Header(event.HeaderDigest))
	}
}

// TestLawTheSendersOwnFigures: whatever amounts an order has, analysts read the very same, and their sums.
func TestLawTheSendersOwnFigures(t *testing.T) {
	transform := newTransform(t)
	encoder, decoder := reader(t)
	transform.encoder = encoder
	rapid.Check(t, func(t *rapid.T) {
		amounts := rapid.SliceOfN(rapid.StringMatching(`-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,8})?`), 2, 20).Draw(t, "amounts")
		doc := map[string]any{"ali_order_no": "P1", "amount": json.Number(amounts[0])}
		var lines []any
		var sum decimal.Decimal
		for _, text := range amounts[1:] {
			lines = append(lines, map[string]any{"amount": text, "ali_discount": []any{map[string]any{"amount": text}}})
			sum = sum.Add(decimal.RequireFromString(text))
		}
		doc["order_product_list"] = lines
		out, err := transform.apply(judge.Stamp(push(t, order.ICBU, doc, 42)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := decoder.Decode(t.Context(), out[1].Value)
		if err != nil || !r.Total.Valid || !r.Total.Decimal.Equal(decimal.RequireFromString(amounts[0])) || r.Paid.Valid || r.Discount.Valid {
			t.Fatalf("%v: %+v", err, r)
		}
		var got decimal.Decimal
		for i, l := range r.Lines {
			got = got.Add(l.Amount.Decimal)
			if !l.Amount.Decimal.Equal(decimal.RequireFromString(amounts[i+1])) || !l.Discount.Decimal.Equal(l.Amount.Decimal) || l.UnitPrice.Valid {
				t.Errorf("line %d: %+v", i, l)
			}
		}
		if !got.Equal(sum) {
			t.Errorf("the lines sum to %s, sent was %s", got, sum)
		}
	})
}

// An order that could not be made a record would block its partition for ever if it were blamed on the world.
func TestAnAmountWithoutRoomIsTheRecordsFault(t *testing.T) {
	transform := newTransform(t)
	lines := make([]string, 3)
	for i := range lines {
		lines[i] = `{"amount":"999999999999999999.99999999"}`
	}
	body := `{"ali_order_no":"P1","ali_discount":[` + strings.Join(lines, ",") + `]}`
	in := record(order.ICBU, "icbu:P1", body)
	in.Partition, in.Offset, in.Timestamp = 3, 42, receivedAt
	if _, err := transform.apply(judge.Stamp(in)); err != nil {
		t.Errorf("the sum of three of the longest amounts: %v", err)
	}
	if err := unpublishable(published.ErrAmount); err.Code != "bad_amount" || !strings.Contains(err.Error(), "orders.v1") {
		t.Error(err)
	}
}

// What passes stands in orders.v1 once for each revision, in the transaction of its document; what comes home by a replay
// says so.
func TestRecordsStandBesideDocuments(t *testing.T) {
	broker := bustest.Start(t)
	start(t, broker)
	for i, ack := range []int{0, 1, 7, 1} {
		broker.Produce(record(order.ICBU, "icbu:P1", fmt.Sprintf(`{"ali_order_no":"P1","ack":%d,"amount":"%d.10"}`, ack, i)))
	}
	letter, err := deadletter.Parse(broker.Wait(event.DeadLetters(service), 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	broker.Wait(published.Topic, 3)
	letter.Origin.Value = []byte(strings.Replace(string(letter.Origin.Value), `"ack":7`, `"ack":1`, 1))
	broker.Produce(deadletter.Home(letter, "job-2", "letter-1"))
	client, err := registry.New(registry.Settings{URL: os.Getenv("SCHEMA_REGISTRY_URL")})
	if err != nil {
		t.Fatal(err)
	}
	decoder, totals := published.NewDecoder(client), map[order.Revision]string{}
	for _, m := range broker.Wait(published.Topic, 4) {
		r, err := decoder.Decode(t.Context(), m.Value)
		meta, metaErr := m.Meta()
		if err != nil || metaErr != nil || r.Revision != meta.Revision || r.EventID != meta.ID() || totals[r.Revision] != "" ||
			!r.ReceivedAt.Equal(meta.ReceivedAt.Truncate(time.Microsecond)) || r.ReplayJob != meta.ReplayJob {
			t.Errorf("%+v, %v, %v", r, err, metaErr)
		}
		totals[r.Revision] = r.Total.Decimal.String() + " " + r.ReplayJob
	}
	for offset, want := range []string{"0.1 ", "1.1 ", "2.1 job-2", "3.1 "} {
		if got := totals[order.NewRevision(1, int64(offset))]; got != want {
			t.Errorf("revision of offset %d: %q, want %q", offset, got, want)
		}
	}
	if documents := broker.Read(event.Validated(order.ICBU)); len(documents) != 4 {
		t.Errorf("%d documents for 4 records", len(documents))
	}
}

// A registry that is away at the start makes validate wait and blames no record; once the id is known it may go.
func TestRegistryAway(t *testing.T) {
	fake := srfake.New()
	var asked atomic.Int32
	var well atomic.Bool
	waiting := make(chan struct{})
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if asked.Add(1) == 2 {
			close(waiting)
		}
		if well.Load() {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	broker := bustest.Start(t)
	for i := range 2 {
		broker.Produce(record(order.ICBU, "icbu:P1", fmt.Sprintf(`{"ali_order_no":"P1","ack":%d}`, i)))
	}
	startWith(t, broker, fake)
	<-waiting
	if early := broker.Read(event.Validated(order.ICBU)); len(early) != 0 {
		t.Errorf("%d documents without records for analysts", len(early))
	}
	well.Store(true)
	broker.Wait(published.Topic, 2)
	fake.Close()
	broker.Produce(record(order.ICBU, "icbu:P1", `{"ali_order_no":"P1"}`))
	broker.Wait(published.Topic, 3)
	if letters := broker.Read(event.DeadLetters(service)); len(letters) != 0 {
		t.Errorf("%d letters for an outage of the registry", len(letters))
	}
}
