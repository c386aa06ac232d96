package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/fact"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

// Rows that somebody took away or changed are made again from Kafka, by name; where Kafka has too little, nothing happens.
func TestBalanceRestore(t *testing.T) {
	broker, url := bustest.Start(t), pgtest.New(t)
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	settings(t, map[string]string{"KAFKA_BROKERS": broker.Brokers[0], "DATABASE_URL": url})
	t.Setenv("PAYLOAD_KEYS", "k1="+fill(1))
	t.Setenv("PSEUDONYM_KEYS", "p1="+fill(1))
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	keys, err := privacy.New(privacy.Settings{PayloadKeys: "k1=" + fill(1), PseudonymKeys: "p1=" + fill(1)})
	if err != nil {
		t.Fatal(err)
	}
	writer := store.NewWriter(db, keys)
	at := time.Now().Add(-time.Hour)
	client := broker.Client(kgo.TransactionalID("validate"))
	inTransaction := func(m event.Message) {
		t.Helper()
		err := client.BeginTransaction()
		if err == nil {
			err = bus.Produce(t.Context(), client, m)
		}
		if err == nil {
			err = client.EndTransaction(t.Context(), kgo.TryCommit)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for n, number := range []string{"P1", "P2", "P1"} {
		key := order.NewKey(order.ICBU, nil, number)
		pushed := bus.ToRecord(event.New(event.Received(order.ICBU), "ingest", event.Meta{OrderKey: key, PushID: "push"}, at, "application/json", []byte("{}")))
		pushed.Timestamp = at
		if err := broker.Client().ProduceSync(t.Context(), pushed).FirstErr(); err != nil {
			t.Fatal(err)
		}
		m := bus.FromRecord(pushed)
		meta := m.ReceivedMeta(1)
		meta.Digest = fmt.Sprint("d", n)
		value, err := json.Marshal(event.Delivery{Partner: "okki", OrderKey: key, Revision: meta.Revision, Digest: meta.Digest, Outcome: event.Delivered, Total: "1.50", Attempts: 1, At: at})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []event.Message{
			event.New(event.Validated(order.ICBU), "validate", meta, at, "application/json", []byte(fmt.Sprintf(`{"amount":"%d.50","ali_order_no":"%s"}`, n, number))),
			event.New(event.Deliveries, "okkisync", meta, at, "application/json", value),
		} {
			inTransaction(m)
			m.Timestamp = at
			f, err := fact.Read(m)
			if err == nil {
				err = writer.Apply(t.Context(), []store.Fact{f})[0]
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	const rows = `select o.order_key, o.revision, o.state, o.total, r."offset", r.end_state from orders o join received r using (order_key) order by 1, 5`
	want := pgtest.Rows(t, url, rows)
	if len(want) != 3 {
		t.Fatalf("%q", want)
	}
	restore := func(key string) (string, error) {
		return orderctl(t, "balance", "restore", key, "--by", "vera", "--reason", "OPS-1")
	}
	for _, harm := range []string{
		`delete from orders where order_key = 'icbu:P1'`, `delete from received where order_key = 'icbu:P1'`, `update orders set total = 7 where order_key = 'icbu:P1'`,
	} {
		pgtest.Rows(t, url, harm+` returning 1`)
		out, err := restore("icbu:P1")
		if err != nil || !strings.Contains(out, "order icbu:P1 is made again from 6 records") {
			t.Errorf("%s: %v\n%s", harm, err, out)
		}
		if got := pgtest.Rows(t, url, rows); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %q, wanted %q", harm, got, want)
		}
	}
	if got := pgtest.Rows(t, url, `select who, action, object, reason from audit limit 1`); len(got) != 1 || !strings.Contains(got[0], "OPS-1") {
		t.Errorf("the audit: %q", got)
	}
	pgtest.Rows(t, url, `update received set revision = revision + 100, "offset" = "offset" + 100 where order_key = 'icbu:P2' returning 1`)
	for key, why := range map[string]string{"icbu:P2": "no longer has the newest revision", "icbu:P3": "no record of this order is left", "P1": "KEY: give the order's key", "x:1": "KEY: give the order's key"} {
		if _, err := restore(key); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := orderctl(t, "balance", "restore", "icbu:P1"); err == nil || !strings.Contains(err.Error(), "--by NAME --reason TEXT") {
		t.Errorf("without a name: %v", err)
	}
}
