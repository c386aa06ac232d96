package bustest_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

func TestReadSeesOnlyCommittedTransactionsAndTheWholeTopic(t *testing.T) {
	broker := bustest.Start(t)
	client := broker.Client(kgo.TransactionalID("one"))
	topic := event.Validated(order.Mall)
	for _, step := range []struct {
		value  string
		commit bool
	}{{"a", true}, {"b", false}, {"c", true}, {"d", false}} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(broker.Context(), &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(step.value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(broker.Context(), kgo.TransactionEndTry(step.commit)); err != nil {
			t.Fatal(err)
		}
	}
	for name, got := range map[string][]event.Message{"Read": broker.Read(topic), "Wait": broker.Wait(topic, 2)} {
		if len(got) != 2 || string(got[0].Value) != "a" || string(got[1].Value) != "c" {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := broker.Read(event.Quarantine); len(got) != 0 {
		t.Errorf("an empty topic holds %v", got)
	}
}

// kfake keeps the topic's message.timestamp.type but does not act on it: records carry the producer's time. A journey
// that is about the broker's clock needs a real Kafka. This test tells when kfake learns it.
func TestFakeBrokerDoesNotStampRecords(t *testing.T) {
	broker := bustest.Start(t)
	past := time.UnixMilli(1_000_000_000_000)
	topic := event.Received(order.Mall)
	if err := broker.Client().ProduceSync(broker.Context(), &kgo.Record{Topic: topic, Timestamp: past}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := broker.Wait(topic, 1)[0].Timestamp; !got.Equal(past) {
		t.Errorf("stamped %s: the fake broker honours LogAppendTime now, say so in the package comment", got)
	}
}

func TestRestartKeepsPortAndData(t *testing.T) {
	broker := bustest.Start(t)
	address := broker.Brokers[0]
	broker.Produce(event.Message{Topic: event.Quarantine, Key: "k"})
	broker.Stop()
	broker.Restart()
	if broker.Cluster.ListenAddrs()[0] != address {
		t.Errorf("moved from %s to %s", address, broker.Cluster.ListenAddrs()[0])
	}
	if got := broker.Read(event.Quarantine); len(got) != 1 {
		t.Errorf("%d records after the restart", len(got))
	}
}
