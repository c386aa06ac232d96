package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"orderflow/pkg/boot"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// Whatever lies in a dead-letter topic is stored and never becomes a letter again.
func TestAnyLetterIsKept(t *testing.T) {
	b := freshBench(t)
	push := pushed(order.ICBU, "icbu:P1", []byte(`{"ali_order_no":"P1"}`), 7)
	good := failed("validate", "bad_amount", push, 0)
	texts := rapid.OneOf(
		rapid.String(), rapid.SampledFrom([]string{
			"", "\x00", "a\x00b", "\xff\xfe", "-1", "99999999999999999999", "9223372036854775807", "2147483648",
			"0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "icbu.received.v1", "deliveries.v1", "persist", strings.Repeat("x", 3000),
		}),
	)
	offset := int64(0)
	rapid.Check(t, func(t *rapid.T) {
		m := event.Message{
			Topic: rapid.SampledFrom(letterTopics).Draw(t, "topic"), Partition: 1, Offset: offset, Timestamp: receivedAt, Key: texts.Draw(t, "key"),
			Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"), Headers: slices.Clone(good.Headers),
		}
		offset++
		for range rapid.IntRange(0, 6).Draw(t, "edits") {
			i := rapid.IntRange(0, len(m.Headers)-1).Draw(t, "header")
			m.Headers[i] = event.Header{Key: m.Headers[i].Key, Value: []byte(texts.Draw(t, "text"))}
		}
		if rapid.IntRange(0, 9).Draw(t, "stranger") == 0 {
			m.Headers = nil
		}
		for _, r := range b.handle(context.Background(), []event.Message{m}) {
			if r.Err != nil || len(r.Out) > 0 {
				t.Fatalf("letter %+v: %+v", m, r)
			}
		}
		if b.logs.FilterMessage("letter cannot be indexed").Len() > 0 {
			t.Fatalf("letter %+v was not stored", m)
		}
	})
}

func TestLetterFromNobody(t *testing.T) {
	b := freshBench(t)
	b.keep(event.Message{
		Topic: event.DeadLetters("okkisync"), Partition: 2, Offset: 9, Timestamp: receivedAt, Key: "\x00", Value: []byte("x"),
		Headers: []event.Header{{Key: "dlq-code", Value: []byte("a\x00")}, {Key: "\x00\xff", Value: []byte{0}}},
	})
	b.want(`select service, code, origin_topic, origin_partition, origin_offset, order_key, state, failed_at = first_failed_at from dead_letters`,
		"okkisync a\uFFFD okkisync.dlq.v1 2 9  open true")
	b.want(`select count(*) from orders`, "0")
	payload, _, err := b.store.LetterRecord(t.Context(), b.keys, 1)
	if err != nil || string(payload) != "x" {
		t.Errorf("copy %q %v", payload, err)
	}
}

// Coordinates of another order's record, in a letter that somebody made up, do not keep the letter from being seen.
func TestLetterThatClashes(t *testing.T) {
	b := freshBench(t)
	b.keep(failed("validate", "bad_json", pushed(order.Mall, "mall:S:1", nil, 7), 0))
	clash := failed("validate", "bad_json", pushed(order.Mall, "mall:S:2", nil, 7), 0)
	clash.SetHeader("dlq-origin-topic", "icbu.received.v1")
	b.keep(clash)
	b.want(`select order_key, state from dead_letters order by id`, "mall:S:1 open", " open")
}

// brokenWriter fails or panics as it is told.
type brokenWriter struct{ apply, add func() error }

func (w brokenWriter) Apply(_ context.Context, facts []store.Fact) []error {
	return slices.Repeat([]error{w.apply()}, len(facts))
}

func (w brokenWriter) AddLetter(context.Context, *store.Letter) error { return w.add() }

// Neither a bug nor data that no form of the row can hold makes a letter of a letter; only an outage is tried again.
func TestLetterWhoseWritingFails(t *testing.T) {
	refusal := freshBench(t).writer.Apply(t.Context(), []store.Fact{{Meta: metaOf("icbu:\x00", 1, ""), Delivery: &event.Delivery{}}})[0]
	if refusal == nil {
		t.Fatal("the database took a NUL")
	}
	data := func() error { return refusal }
	outage := func() error { return errors.New("connection refused") }
	bug := func() error { panic("bug") }
	good := failed("validate", "bad_json", pushed(order.Mall, "mall:S:1", nil, 7), 0)
	for _, c := range []struct {
		name    string
		w       brokenWriter
		again   bool
		skipped int
	}{
		{"outage", brokenWriter{outage, bug}, true, 0},
		{"data, then outage", brokenWriter{data, outage}, true, 0},
		{"data twice", brokenWriter{data, data}, false, 1},
		{"bug, then fine", brokenWriter{bug, func() error { return nil }}, false, 0},
		{"bug twice", brokenWriter{bug, bug}, false, 1},
	} {
		p := &boot.Process{Log: zap.NewNop(), Metrics: prometheus.NewRegistry()}
		k := newKeeper(c.w, p)
		err := k.handle(t.Context(), []event.Message{good})[0].Err
		if c.again != isOutage(err) || !c.again && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if n := count(t, p, "orderflow_persist_letters_unindexed_total"); n != c.skipped {
			t.Errorf("%s: %d skipped", c.name, n)
		}
	}
}

func count(t *testing.T, p *boot.Process, name string) int {
	t.Helper()
	families, err := p.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// A shutdown is never a letter's failure either.
func TestStoppedWhileWriting(t *testing.T) {
	b := freshBench(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	in := []event.Message{failed("validate", "bad_json", pushed(order.Mall, "mall:S:1", nil, 7), 0), validated(t, order.ICBU, example(t, "icbu/good-seed.json"), 1)}
	for i, r := range b.handle(ctx, in) {
		if !errors.Is(r.Err, context.Canceled) {
			t.Errorf("message %d: %v", i, r.Err)
		}
	}
}

func FuzzLetterFact(f *testing.F) {
	good := failed("validate", "bad_amount", pushed(order.ICBU, "icbu:P1", []byte(`{"ali_order_no":"P1","amount":"1.20"}`), 7), 0)
	f.Add("dlq-code", []byte("x\x00"), good.Value)
	f.Add("order-key", []byte("mall:\xff:1"), []byte(`{"Code":"\u0000","TotalMoney":1e3}`))
	f.Add("received-at", []byte("0001-01-01T00:00:00Z"), []byte(`{"order_info":{"order_id":1},"price_info":{"total_price":"9"}}`))
	f.Fuzz(func(t *testing.T, name string, text, body []byte) {
		m := good
		m.Value = body
		m.SetHeader(name, string(text))
		fact := letterFact(m)
		for _, text := range []string{fact.Letter.Stage, fact.Letter.Code, fact.Letter.Origin.Topic, string(fact.Meta.OrderKey), fact.Meta.PushID, fact.Letter.Excerpt.OrderNo} {
			if text != storable(text) || len(text) > 4*maxText {
				t.Fatalf("a text cannot be stored: %q", text)
			}
		}
		if l := fact.Letter; l.Last.Year() < firstYear || l.First.Year() > lastYear || l.Attempts > maxCount || l.Replays < 0 {
			t.Fatalf("out of bounds: %+v", l)
		}
	})
}

// What a refused record says about its order's numbers is read as far as it can be read.
func TestNumbersOfARefusedRecord(t *testing.T) {
	long := strings.Repeat("9", order.MaxKeyPart+1)
	for _, c := range []struct {
		of   order.Source
		body string
		want []string
	}{
		{order.ICBU, `{"trade_no":"T1","amount":"x","okki_order_no":7,"ali_order_no":"P1"}`, []string{"P1", "7", "T1"}},
		{order.ICBU, `{"ali_order_no":{"a":1},"okki_order_no":["x"],"trade_no":null}`, nil},
		{order.ICBU, `{"ali_order_no":"P1","okki_order_no":"` + long + `","trade_no":"a\u0000b"}`, []string{"P1"}},
		{order.ICBU, `{"okki_order_no":"O1","trade_no":"T1"`, []string{"O1", "T1"}},
		{order.ICBU, `[1]`, nil},
		{order.Procurement, `{"order_info":{"supplier_order_id":"S1","order_id":12},"supplier_order_id":"other"}`, []string{"12", "S1"}},
		{order.Procurement, `{"order_info":"S1"}`, nil},
		{order.Mall, `{"ShopCode":"S","Code":"0012","TotalMoney":"1"}`, []string{"0012"}},
		{order.Mall, ``, nil},
	} {
		if got := excerpt(c.of, []byte(c.body)).Numbers; !slices.Equal(got, c.want) {
			t.Errorf("%s %s: %q, want %q", c.of, c.body, got, c.want)
		}
	}
}
