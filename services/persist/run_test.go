package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/pgserver"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// start runs the service until the test ends.
func start(t *testing.T, broker *bustest.Broker, url string) *boot.Process {
	t.Helper()
	process := &boot.Process{Name: service, Log: zap.NewNop(), Health: boot.NewHealth(), Metrics: prometheus.NewRegistry()}
	t.Setenv("DATABASE_URL", url)
	t.Setenv("PSEUDONYM_KEYS", privacySettings.PseudonymKeys)
	t.Setenv("PAYLOAD_KEYS", privacySettings.PayloadKeys)
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
	return process
}

// record writes down which topics the database belongs to, as orderctl topics apply does.
func record(t *testing.T, broker *bustest.Broker, db *store.Store) {
	t.Helper()
	ids, err := bus.Identities(broker.Context(), broker.Client())
	if err != nil {
		t.Fatal(err)
	}
	topics := map[string]store.Topic{}
	for name, id := range ids {
		topics[name] = store.Topic{ID: id, Generation: bus.Generation(name)}
	}
	if err := db.RecordTopics(t.Context(), topics); err != nil {
		t.Fatal(err)
	}
}

func ownServer(t *testing.T) (*pgserver.Server, string) {
	t.Helper()
	server := pgtest.Server(t)
	if err := server.CreateDatabase(t.Context(), "orderflow"); err != nil {
		t.Fatal(err)
	}
	return server, server.URL("orderflow")
}

// Everything that persist reads, over Kafka: documents, outcomes, letters of others, a row that cannot be stored, strange
// letters, and what comes home by a replay.
func TestFromKafkaToRows(t *testing.T) {
	broker := bustest.Start(t)
	b := freshBench(t)
	record(t, broker, b.store)
	start(t, broker, b.url)
	const orders = 40
	body := string(example(t, "icbu/good-seed.json"))
	for n := range int64(orders) {
		text := strings.Replace(body, "Pxxxxx", fmt.Sprint("P", n), 1)
		if n == 17 {
			text = strings.Replace(text, `"product_name":"`, `"product_name":"\u0000`, 1)
		}
		m := validated(t, order.ICBU, []byte(text), n)
		broker.Produce(m)
		if n != 17 {
			broker.Produce(m) // a redelivery
		}
		if n < 30 {
			broker.Produce(delivered(t, "okkisync", m, event.Delivered, "28600.0"))
		} else {
			broker.Produce(failed("okkisync", "partner_rejected", m, 0))
		}
	}
	refusal := failed("validate", "bad_json", pushed(order.Mall, "mall:!x", []byte("{"), 5), 0)
	broker.Produce(refusal, event.Message{Topic: event.DeadLetters(service), Key: "\x00", Value: []byte("strange"), Headers: []event.Header{{Key: "order-key", Value: []byte{0}}}})

	b.eventually(`select state, count(*), count(distinct total) from orders group by state order by state`,
		"delivered 30 1", "parked 11 1")
	b.eventually(`select service, code, state, count(*) from dead_letters group by 1, 2, 3 order by 1, 2`,
		"okkisync partner_rejected open 10", "persist db_data open 1", "persist unreadable_letter open 1", "validate bad_json open 1")
	// The order whose document cannot be stored was delivered all the same: no document, yet no lie about its state.
	b.eventually(`select state, total, end_state from orders join received using (order_key) where order_key = 'icbu:P17'`, "delivered <nil> delivered")
	b.eventually(`select end_state, count(*) from received group by 1 order by 1`, "delivered 30", "parked 11")

	letters := broker.Wait(event.DeadLetters(service), 2)
	for _, m := range letters {
		if letter, err := deadletter.Parse(m); err == nil {
			if letter.Code != string(worker.DBData) || strings.Contains(letter.Message, "OKKI") {
				t.Errorf("letter %+v", letter)
			}
			broker.Produce(deadletter.Home(letter, "job", "1"))
		}
	}
	b.eventually(`select code, state, failed_replays from dead_letters where service = 'persist' and code = 'db_data'`, "db_data failed_again 1")
	if n := len(broker.Read(event.DeadLetters(service))); n != 3 {
		t.Errorf("%d records in our dead-letter topic, wanted 3: the row twice and the strange one", n)
	}
}

// A database that is stopped for a while turns persist red and fills no dead-letter topic.
func TestDatabaseStoppedForAWhile(t *testing.T) {
	broker := bustest.Start(t)
	server, url := ownServer(t)
	b := newBench(t, url)
	record(t, broker, b.store)
	process := start(t, broker, url)
	broker.Produce(validated(t, order.Procurement, example(t, "procurement/good-seed.json"), 1))
	b.eventually(`select state from orders`, "persisted")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	m := validated(t, order.Mall, example(t, "mall/good-seed.json"), 2)
	broker.Produce(m, delivered(t, "mallupload", m, event.Delivered, "450.00"))
	awaitReady(t, process, false)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, process, true)
	again := newBench(t, url)
	again.eventually(`select source, state from orders order by source`, "mall delivered", "procurement persisted")
	again.want(`select count(*) from dead_letters`, "0")
	if n := len(broker.Read(event.DeadLetters(service))); n != 0 {
		t.Errorf("%d letters", n)
	}
}

func awaitReady(t *testing.T, p *boot.Process, want bool) {
	t.Helper()
	deadline := time.Now().Add(bustest.Patience)
	for {
		_, red := p.Health.Ready()["database"]
		if red != want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("ready is not %t: %v", want, p.Health.Ready())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// On a topic that was deleted and made again every new push would look old.
func TestRecreatedTopic(t *testing.T) {
	broker := bustest.Start(t)
	b := freshBench(t)
	record(t, broker, b.store)
	if err := broker.Cluster.DeleteTopic(event.Received(order.Mall)); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Apply(broker.Context(), broker.Client()); err != nil {
		t.Fatal(err)
	}
	process := &boot.Process{Name: service, Log: zap.NewNop(), Health: boot.NewHealth(), Metrics: prometheus.NewRegistry()}
	cfg := settings{Bus: broker.Settings, Store: store.Settings{URL: b.url}, Privacy: privacySettings}
	err := run(broker.Context(), process, cfg)
	if !errors.Is(err, store.ErrTopicChanged) || !strings.Contains(err.Error(), "mall.received.v1") {
		t.Errorf("run: %v", err)
	}
}
