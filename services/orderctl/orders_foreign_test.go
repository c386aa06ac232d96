package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/published"
)

// produce writes records as anybody can: without a transaction.
func (w *analystsWorld) produce(records ...*kgo.Record) {
	w.Helper()
	if err := w.broker.Client().ProduceSync(w.Context(), records...).FirstErr(); err != nil {
		w.Fatal(err)
	}
}

// forge writes what somebody else may: each record is foreign in another way, and most say that they are a newer revision of a
// true order. It gives how many they are.
func (w *analystsWorld) forge() int {
	w.Helper()
	w.balance() // its schema is another one that the registry knows, with the id that follows
	forged := func(change func(r *kgo.Record)) *kgo.Record {
		r := sale(1, noon, "666")
		r.Revision += 1000
		record := w.record(&r)
		change(record)
		return record
	}
	header := func(r *kgo.Record, name, value string) {
		for i := range r.Headers {
			if r.Headers[i].Key == name {
				r.Headers[i].Value = []byte(value)
			}
		}
	}
	other, many := sale(2, noon, "666"), sale(1, noon, "666")
	many.Revision += 1000
	many.Lines = make([]published.Line, 10_001)
	records := []*kgo.Record{
		bus.ToRecord(bad("mall:HQS0001:R0000001")),
		forged(func(r *kgo.Record) { r.Value = nil }),
		forged(func(r *kgo.Record) { r.Value = []byte("secret-value") }),
		forged(func(r *kgo.Record) { r.Value[4] = 99 }),
		forged(func(r *kgo.Record) { r.Value[4]++ }),
		forged(func(r *kgo.Record) { r.Value = append(r.Value, 0) }),
		forged(func(r *kgo.Record) { r.Value = w.record(&other).Value }),
		forged(func(r *kgo.Record) { r.Key = []byte("secret-key") }),
		forged(func(r *kgo.Record) { header(r, event.HeaderRevision, "secret-revision") }),
		forged(func(r *kgo.Record) { header(r, event.HeaderRevision, "9999999999999999") }),
		forged(func(r *kgo.Record) { header(r, event.HeaderReceivedAt, noon.Add(time.Second).Format(time.RFC3339Nano)) }),
		forged(func(r *kgo.Record) {
			header(r, event.HeaderOrderKey, "secret-source:1")
			r.Key = []byte("secret-source:1")
		}),
		w.record(&many),
	}
	w.produce(records...)
	return len(records)
}

// What somebody else wrote is counted and named, whatever it says, and takes nothing from the file.
func TestExportPassesWhatIsForeign(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	w.publish(kgo.TryCommit, sale(1, noon, "1"), sale(2, noon, "2"))
	count := w.forge()
	say := w.balance()
	for _, source := range order.Sources {
		published := int64(0)
		if source == order.Mall {
			published = 2
		}
		say(completeness{Source: source, Hour: noon, Revision: 1, Complete: true, Published: published})
	}
	w.broker.Produce(event.Message{Topic: event.Completeness, Key: "mall/2026-01-02T12:00:00Z", Value: []byte("secret-word")})
	say(completeness{Source: "secret-source", Hour: noon, Revision: 1})
	say(completeness{Source: order.Mall, Hour: noon.Add(time.Minute), Revision: 9})
	for _, flags := range [][]string{nil, {"--incomplete"}} {
		wanted := count
		if flags == nil {
			wanted += 3
		}
		out, rows, _, err := exportNoon(t, flags...)
		if !errors.Is(err, errForeign) || len(rows) != 2 || amountIn(rows[0].Total) != "1" || amountIn(rows[1].Total) != "2" {
			t.Fatalf("%v: %d rows, %v\n%s", flags, len(rows), err, out)
		}
		contains(t, out, fmt.Sprintf("%d records are not what their topic promises", wanted), "2 orders received", published.Topic+"/",
			"no Confluent header", "has no value", "headers tell", "names no source", "registry does not know its schema", "more lines", "The exit status is 3")
		if flags == nil {
			contains(t, out, event.Completeness+"/", "tells of no hour")
		}
		if strings.Contains(out, "secret") || strings.Contains(out, "not-avro") {
			t.Errorf("a record is quoted:\n%s", out)
		}
	}
}

// A topic full of garbage is named by its first records.
func TestForeignRecordsAreNamedUpToABound(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	for range 3 {
		w.forge()
	}
	out, rows, _, err := exportNoon(t, "--incomplete")
	if !errors.Is(err, errForeign) || len(rows) != 0 || strings.Count(out, published.Topic+"/") != maxForeign {
		t.Errorf("%d rows, %v\n%s", len(rows), err, out)
	}
	contains(t, out, "39 records are", "and 19 more", "SCHEMA_REGISTRY_URL may name")
}

// Where records are foreign and others are lacking, the error says both.
func TestExportSaysThatForeignRecordsMayBeThoseThatAreLacking(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	w.publish(kgo.TryCommit, sale(1, noon, "1"))
	lost := sale(2, noon, "2")
	record := w.record(&lost)
	record.Value[4] = 99 // a registry that lost a schema
	w.produce(record)
	say := w.balance()
	for _, source := range order.Sources {
		say(completeness{Source: source, Hour: noon, Revision: 1, Complete: true, Published: map[order.Source]int64{order.Mall: 2}[source]})
	}
	_, _, _, err := exportNoon(t)
	for _, want := range []string{"1 records of this hour that can be read, 2 were counted", "some of these may be they", "registry does not know its schema", "SCHEMA_REGISTRY_URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A transaction that nobody ends holds back what comes after it, and its neighbours that were given up are no silence.
func TestExportEndsBeforeAnOpenTransaction(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	w.publish(kgo.TryCommit, sale(1, noon, "1"))
	begin := func(id string) (*kgo.Client, func(kgo.TransactionEndTry)) {
		client := w.broker.Client(kgo.TransactionalID(id))
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r := sale(1, noon, "666")
		if err := client.ProduceSync(t.Context(), w.record(&r)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return client, func(end kgo.TransactionEndTry) {
			if err := client.EndTransaction(context.Background(), end); err != nil {
				t.Error(err)
			}
		}
	}
	_, endFirst := begin("given-up")
	_, endSecond := begin("never-ended")
	endFirst(kgo.TryAbort)
	later := sale(1, noon, "9")
	later.Revision++
	w.publish(kgo.TryCommit, later)

	began := time.Now()
	out, rows, _, err := exportNoon(t, "--incomplete")
	if err != nil || len(rows) != 1 || amountIn(rows[0].Total) != "1" {
		t.Errorf("%d rows, %v\n%s", len(rows), err, out)
	}
	contains(t, out, "not committed yet")
	if took := time.Since(began); took > silence {
		t.Errorf("it took %v", took)
	}
	endSecond(kgo.TryAbort)
	if out, rows, _, err := exportNoon(t, "--incomplete"); err != nil || len(rows) != 1 || amountIn(rows[0].Total) != "9" || strings.Contains(out, "not committed") {
		t.Errorf("after its end: %d rows, %v\n%s", len(rows), err, out)
	}
}

// A span ends where it was said to, also when what comes behind is all that a client shows.
func TestReadSpanEndsAmongRecordsThatWereGivenUp(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	w.publish(kgo.TryAbort, sale(1, noon, "1"))
	w.publish(kgo.TryCommit, sale(1, noon, "2"))
	var cfg ordersSettings
	if err := load(&cfg); err != nil {
		t.Fatal(err)
	}
	client, _, err := openOrders(t.Context(), cfg, kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	spans, err := spansSince(t.Context(), client, published.Topic, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans {
		if s.end == 0 {
			continue
		}
		var seen, offsets int64
		s.end = 1 // between the record and the marker
		err := readSpan(t.Context(), client, published.Topic, s, func(n int64) { offsets += n }, func(*kgo.Record) error { seen++; return nil })
		if err != nil || seen != 0 || offsets != 1 {
			t.Errorf("%d records, %d offsets, %v", seen, offsets, err)
		}
	}
}
