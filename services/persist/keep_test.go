package main

import (
	"strings"
	"testing"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/source"
	"orderflow/pkg/worker"
)

// The contracts' own examples, with the totals that they state, to the last digit.
func TestSeedExamples(t *testing.T) {
	b := freshBench(t)
	first := validated(t, order.ICBU, example(t, "icbu/good-seed.json"), 1)
	second := validated(t, order.Procurement, example(t, "procurement/good-seed.json"), 2)
	third := validated(t, order.Mall, example(t, "mall/good-seed.json"), 3)
	messages := []event.Message{
		first, second, third,
		delivered(t, "okkisync", first, event.Delivered, "28600.0"), delivered(t, "mallupload", third, event.Delivered, "1"),
	}
	for range 2 { // the second time is a redelivery
		b.keep(messages...)
	}
	for _, m := range messages[:3] {
		b.want(`select count(*) from orders where order_key = '`+m.Key+`' and total is not null and currency <> '' and placed_at is not null
			and state in ('delivered', 'persisted') and order_no = any(numbers)`, "1")
		document, err := b.store.Document(t.Context(), b.keys, order.Key(m.Key))
		if err != nil || string(document) != string(m.Value) {
			t.Errorf("%s: document %v", m.Key, err)
		}
	}
	b.want(`select source, state, total::text from orders order by source`,
		"icbu delivered 28600.0", "mall delivered 450.00", "procurement persisted 296")
	b.want(`select source, partition, "offset", end_state, push_id from received order by "offset"`,
		"icbu 2 1 delivered push-1", "procurement 2 2 persisted push-2", "mall 2 3 delivered push-3")
	b.want(`select count(*) > 0 from order_lines group by order_key`, "true", "true", "true")
	b.want(`select distinct service from order_events where step = 'delivered' order by 1`, "mallupload", "okkisync")
	b.want(`select count(*) from dead_letters`, "0")
}

func TestRefusedPush(t *testing.T) {
	b := freshBench(t)
	push := pushed(order.Mall, "mall:S1:C1", []byte(`{"Code":"C1","ShopCode":"S1","TotalMoney":"12.30","Note":{"a":[1]}}`), 7)
	b.keep(failed("validate", "bad_amount", push, 0))
	b.want(`select state, order_no, shop, total::text, revision from orders`, "parked C1 S1 12.30 281474976710663")
	b.want(`select service, code, path, shop, total::text, origin_topic, origin_partition, origin_offset, state, source from dead_letters`,
		"validate bad_amount /amount S1 12.30 mall.received.v1 2 7 open mall")
	b.want(`select partition, "offset", end_state, push_id from received`, "2 7 parked push-7")
	b.want(`select step, code, detail from order_events order by at`, "received  ", "refused bad_amount /amount")
	payload, headers, err := b.store.LetterRecord(t.Context(), b.keys, 1)
	if err != nil || string(payload) != string(push.Value) || len(headers) < len(push.Headers) {
		t.Errorf("letter's copy: %q %v %v", payload, headers, err)
	}
}

func TestRefusedPushWithItsRevisionInHeaders(t *testing.T) {
	b := freshBench(t)
	push := pushed(order.ICBU, "icbu:P1", []byte(`{"ali_order_no":"P1","amount":"1e9999"}`), 7)
	push.Headers = append(push.Headers, metaOf("icbu:P1", 7, "d").Headers()...)
	b.keep(failed("validate", "bad_amount", push, 0))
	b.want(`select state, order_no, total, revision from orders`, "parked P1 <nil> 281474976710663")
	b.want(`select partition, "offset", end_state from received`, "2 7 parked")
}

func TestReplayOfOurOwnLetter(t *testing.T) {
	b := freshBench(t)
	good := validated(t, order.Procurement, example(t, "procurement/good-seed.json"), 1)
	lost := failed(service, "db_data", good, 0)
	b.keep(lost)
	b.want(`select end_state from received`, "parked")
	letter, err := deadletter.Parse(lost)
	if err != nil {
		t.Fatal(err)
	}
	b.keep(deadletter.Home(letter, "5", "1"))
	b.want(`select end_state from received`, "persisted")
	b.want(`select state from dead_letters`, "fixed")
	b.want(`select step from order_events where dedupe = '5'`, "replayed")
	b.want(`select at from order_events where step = 'validated'`, b.rows(`select received_at + interval '1 second' from received`)...)
}

func TestRowThatCannotBeStored(t *testing.T) {
	b := freshBench(t)
	nul := strings.Replace(string(example(t, "icbu/good-seed.json")), `"product_name":"`, `"product_name":"\u0000`, 1)
	bad := validated(t, order.ICBU, []byte(nul), 1)
	if !strings.Contains(string(bad.Value), `\u0000`) {
		t.Fatal("the example holds no NUL")
	}
	errs := b.errors(
		validated(t, order.Procurement, example(t, "procurement/good-seed.json"), 2), bad,
		validated(t, order.Mall, example(t, "mall/good-seed.json"), 3),
	)
	if errs[0] != nil || errs[2] != nil || !isPermanent(errs[1], worker.DBData) {
		t.Fatalf("%v", errs)
	}
	b.want(`select count(*) from orders`, "2")
	b.keep(failed(service, string(worker.DBData), bad, 0))
	b.want(`select state, order_no <> '' from orders where source = 'icbu'`, "parked true")
	b.want(`select end_state from received where source = 'icbu'`, "parked")
}

// The order number holds the NUL: the letter must find its order all the same, or a received record has no row.
func TestOrderNumberThatCannotBeStored(t *testing.T) {
	b := freshBench(t)
	bad := validated(t, order.ICBU, []byte(`{"ali_order_no":"P\u00001","amount":"3.5"}`), 1)
	if errs := b.errors(bad); !isPermanent(errs[0], worker.DBData) {
		t.Fatalf("%v", errs)
	}
	b.keep(failed(service, string(worker.DBData), bad, 0))
	b.want(`select order_key, state from orders`, "icbu:P%001 parked")
	b.want(`select order_key, end_state from received`, "icbu:P%001 parked")
	b.want(`select order_key, code from dead_letters`, "icbu:P%001 db_data")
}

func TestUnreadableRecords(t *testing.T) {
	b := freshBench(t)
	good := validated(t, order.ICBU, example(t, "icbu/good-seed.json"), 1)
	taken := delivered(t, "okkisync", good, event.Delivered, "1")
	change := func(m event.Message, edit func(m *event.Message)) event.Message {
		edit(&m)
		return m
	}
	for name, m := range map[string]event.Message{
		"no headers":       change(good, func(m *event.Message) { m.Headers = nil }),
		"long key":         change(good, func(m *event.Message) { m.SetHeader(event.HeaderOrderKey, strings.Repeat("k", 2000)) }),
		"no document":      change(good, func(m *event.Message) { m.Value = []byte("[") }),
		"bad amount":       change(good, func(m *event.Message) { m.Value = []byte(`{"amount":"x"}`) }),
		"no delivery":      change(taken, func(m *event.Message) { m.Value = nil }),
		"another's":        change(taken, func(m *event.Message) { m.SetHeader(event.HeaderOrderKey, "icbu:other") }),
		"unknown outcome":  change(taken, func(m *event.Message) { m.Value = []byte(strings.Replace(string(m.Value), "delivered", "odd", 1)) }),
		"stranger's topic": change(good, func(m *event.Message) { m.Topic = event.Replay(service) }),
	} {
		if err := b.errors(m)[0]; !isPermanent(err, worker.Code(source.BadJSON)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.want(`select count(*) from orders`, "0")
}

// A database that is away blames no record, and everything is stored when it is back.
func TestDatabaseAway(t *testing.T) {
	server := pgtest.Server(t)
	if err := server.CreateDatabase(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, server.URL("orders"))
	in := []event.Message{
		validated(t, order.ICBU, example(t, "icbu/good-seed.json"), 1),
		failed("validate", "bad_json", pushed(order.Mall, "mall:!x", []byte(`{`), 2), 0),
		{Topic: event.DeadLetters("validate"), Value: []byte("strange")},
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for i, err := range b.errors(in...) {
		if !isOutage(err) {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for failing := true; failing; { // pooled connections may fail once more
		failing = false
		for _, err := range b.errors(in...) {
			if err != nil && !isOutage(err) {
				t.Fatal(err)
			}
			failing = failing || err != nil
		}
	}
	again := newBench(t, server.URL("orders"))
	again.want(`select source, state from orders order by source`, "icbu validated", "mall parked")
	again.want(`select service, state from dead_letters order by origin_topic`, "validate open", "validate open")
}
