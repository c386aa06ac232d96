package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

func TestMessageGoesThroughKafkaUnchanged(t *testing.T) {
	broker := bustest.Start(t)
	sent := event.Message{
		Topic: event.Deliveries, Key: "mall:1:2", Value: bytes.Repeat([]byte{0, 1, 0xff}, 100),
		Headers: []event.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte{0}}, {Key: "b", Value: []byte{}}},
	}
	broker.Produce(sent)
	got := broker.Wait(event.Deliveries, 1)[0]
	if time.Since(got.Timestamp) > time.Hour {
		t.Errorf("timestamp %s is not now", got.Timestamp)
	}
	got.Partition, got.Offset, got.Timestamp = 0, 0, time.Time{}
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v\nsent %+v", got, sent)
	}
}

func TestProduceTakesFourMiBAndRefusesMore(t *testing.T) {
	broker := bustest.Start(t)
	client := broker.Client()
	large := event.Message{Topic: event.Received(order.Mall), Key: "k", Value: make([]byte, 4<<20-1024)}
	if err := bus.Produce(broker.Context(), client, large); err != nil {
		t.Errorf("just under 4 MiB: %v", err)
	}
	large.Value = make([]byte, 4<<20)
	if err := bus.Produce(broker.Context(), client, large); !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("4 MiB and its headers: %v, wanted %v", err, kerr.MessageTooLarge)
	}
	if got := broker.Read(large.Topic); len(got) != 1 {
		t.Errorf("%d records written, wanted 1", len(got))
	}
}

func TestProduceReportsWhatTheBrokerRefused(t *testing.T) {
	broker := bustest.Start(t)
	broker.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: event.Deliveries, Err: kerr.TopicAuthorizationFailed, Count: -1})
	err := bus.Produce(broker.Context(), broker.Client(),
		event.Message{Topic: event.Quarantine, Key: "k"}, event.Message{Topic: event.Deliveries, Key: "k"})
	if !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("got %v", err)
	}
}

func TestProducerIsBackSoonAfterARestartOfTheBroker(t *testing.T) {
	broker := bustest.Start(t)
	client := broker.Client()
	for i := range 3 {
		if err := bus.Produce(broker.Context(), client, event.Message{Topic: event.Quarantine, Key: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		broker.Stop()
		broker.Restart()
	}
	if got := broker.Read(event.Quarantine); len(got) != 3 {
		t.Errorf("%d records, wanted 3", len(got))
	}
}

// The partition of a key is a contract with every outside client: murmur2 as in Kafka's own.
func TestKeyDecidesThePartitionAsInEveryKafkaClient(t *testing.T) {
	broker := bustest.Start(t)
	client := broker.Client()
	for i := range 50 {
		key := fmt.Sprintf("mall:shop:%d", i)
		broker.Produce(event.Message{Topic: event.Quarantine, Key: key})
		if err := bus.Produce(broker.Context(), client, event.Message{Topic: event.Quarantine, Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range broker.Wait(event.Quarantine, 100) {
		if want := int32(murmur2([]byte(m.Key))&0x7fffffff) % 6; m.Partition != want {
			t.Errorf("%s lies in partition %d, murmur2 says %d", m.Key, m.Partition, want)
		}
	}
}

// murmur2 is Kafka's org.apache.kafka.common.utils.Utils.murmur2, written down independently of the client.
func murmur2(data []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> r
		h = h*m ^ k*m
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(data[0])) * m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

func TestApplyMendsAndCheckReports(t *testing.T) {
	broker := bustest.Start(t)
	client, ctx := broker.Client(), broker.Context()
	if got, err := bus.Check(ctx, client); err != nil || len(got) != 0 {
		t.Fatalf("after apply: %v, %v", got, err)
	}
	admin := kadm.NewClient(client)
	hour := "3600000"
	if _, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &hour}}, event.Deliveries); err != nil {
		t.Fatal(err)
	}
	if err := broker.Cluster.DeleteTopic(event.Quarantine); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.UpdatePartitions(ctx, 9, event.Replay("persist")); err != nil {
		t.Fatal(err)
	}
	changes, err := bus.Apply(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	want := []bus.Change{
		{Topic: event.Quarantine, Setting: "topic", Want: "6"},
		{Topic: event.Deliveries, Setting: "retention.ms", Want: "1209600000", Got: hour},
	}
	if !reflect.DeepEqual(changes, want) {
		t.Errorf("changes %v, wanted %v", changes, want)
	}
	rest, err := bus.Check(ctx, client)
	if wantRest := []bus.Difference{{Topic: event.Replay("persist"), Setting: "partitions", Want: "6", Got: "9"}}; err != nil || !reflect.DeepEqual(rest, wantRest) {
		t.Errorf("left %v (%v), wanted %v", rest, err, wantRest)
	}
}

func TestRecreatedTopicHasAnotherIdentity(t *testing.T) {
	broker := bustest.Start(t)
	client, ctx := broker.Client(), broker.Context()
	before, err := bus.Identities(ctx, client)
	if err != nil || len(before) != len(bus.Topics()) {
		t.Fatalf("%d identities for %d topics: %v", len(before), len(bus.Topics()), err)
	}
	topic := event.Received(order.ICBU)
	if err := broker.Cluster.DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Apply(ctx, client); err != nil {
		t.Fatal(err)
	}
	after, err := bus.Identities(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	for name := range before {
		if same := before[name] == after[name]; same == (name == topic) {
			t.Errorf("%s: identity before %s, after %s", name, before[name], after[name])
		}
	}
}

func TestMetricsAreRegistered(t *testing.T) {
	broker := bustest.Start(t)
	registry := prometheus.NewRegistry()
	for _, id := range []string{"one", "two"} {
		client, err := bus.NewClient(broker.Settings, zap.NewNop(), registry, kgo.ClientID(id))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.Ping(broker.Context()); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "orderflow_kafka_connects_total" && len(family.GetMetric()) >= 2 {
			return
		}
	}
	t.Error("no orderflow_kafka_connects_total for both clients")
}

// Waiting for a broker that is away must end with the caller's context.
func TestProduceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork // nobody listens
		client, err := bus.NewClient(bus.Settings{Brokers: []string{"localhost:1"}}, zap.NewNop(), nil, kgo.Dialer(network.DialContext))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := bus.Produce(ctx, client, event.Message{Topic: event.Quarantine, Key: "k"}); err == nil {
			t.Error("produced without a broker")
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("took %s", took)
		}
	})
}
