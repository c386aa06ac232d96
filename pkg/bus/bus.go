// Package bus is franz-go with the house options: a client that acknowledges only what all in-sync replicas have, the
// translation between event.Message and Kafka records, and the topology of schemas/topics.yaml. It hides nothing: callers
// get a *kgo.Client.
package bus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"

	"orderflow/pkg/event"
)

// batchMaxBytes equals max_bytes of the payload topics: a push of 1 MiB must fit through every hop in one record.
const batchMaxBytes = 4 << 20

// Retry and metadata pace. franz-go's own (up to 5 s each) make a producer pause for seconds after a broker restart.
const (
	retryBase   = 50 * time.Millisecond
	retryMax    = time.Second
	metadataMin = 250 * time.Millisecond
	dialTimeout = 3 * time.Second
)

// NewClient makes a client with the house options: acks from all in-sync replicas, idempotent, no linger, records up to
// 4 MiB, murmur2 by key. Opts come last and may override. The registry may be nil; two clients on one registry need
// different kgo.ClientID options. No broker is asked yet.
func NewClient(s Settings, log *zap.Logger, registry prometheus.Registerer, opts ...kgo.Opt) (*kgo.Client, error) {
	all, err := Options(s, log, registry)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("make kafka client: %w", err)
	}
	return client, nil
}

// Options are the house options of NewClient, for those who build another kind of client from them, such as a
// kgo.GroupTransactSession.
func Options(s Settings, log *zap.Logger, registry prometheus.Registerer) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.Brokers...),
		kgo.ClientID("orderflow"),
		kgo.WithLogger(kzap.New(log, kzap.Level(kgo.LogLevelWarn))),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(batchMaxBytes),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MetadataMinAge(metadataMin),
		kgo.DialTimeout(dialTimeout),
		kgo.RetryBackoffFn(retryBackoff),
	}
	config, err := s.tls()
	if err != nil {
		return nil, err
	}
	if config != nil {
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	mechanism, err := s.mechanism()
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	if registry != nil {
		opts = append(opts, kgo.WithHooks(kprom.NewMetrics("orderflow_kafka", kprom.Registerer(registry), kprom.WithClientLabel())))
	}
	return opts, nil
}

// retryBackoff doubles from retryBase to retryMax, with a fifth of jitter.
func retryBackoff(tries int) time.Duration {
	d := min(retryBase<<min(max(tries-1, 0), 10), retryMax)
	return d - time.Duration(rand.Int64N(int64(d)/5))
}

// Produce writes the messages and returns nil only after all in-sync replicas have every one of them. After an error some
// of them may be written all the same.
func Produce(ctx context.Context, client *kgo.Client, messages ...event.Message) error {
	if len(messages) == 0 {
		return nil
	}
	records := make([]*kgo.Record, len(messages))
	for i := range messages {
		records[i] = ToRecord(messages[i])
	}
	for _, result := range client.ProduceSync(ctx, records...) {
		if result.Err != nil {
			return fmt.Errorf("produce to %s: %w", result.Record.Topic, result.Err)
		}
	}
	return nil
}

// ToRecord makes the record that writes a message. Partition, offset and timestamp are the broker's to give, or the
// client's at the moment of writing, and are left out.
func ToRecord(m event.Message) *kgo.Record {
	r := &kgo.Record{Topic: m.Topic, Value: m.Value}
	if m.Key != "" {
		r.Key = []byte(m.Key)
	}
	if len(m.Headers) > 0 {
		r.Headers = make([]kgo.RecordHeader, len(m.Headers))
		for i, h := range m.Headers {
			r.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
		}
	}
	return r
}

// FromRecord makes the message of a record that was read. They share the value's bytes.
func FromRecord(r *kgo.Record) event.Message {
	m := event.Message{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp,
		Key: string(r.Key), Value: r.Value,
	}
	if len(r.Headers) > 0 {
		m.Headers = make([]event.Header, len(r.Headers))
		for i, h := range r.Headers {
			m.Headers[i] = event.Header{Key: h.Key, Value: h.Value}
		}
	}
	return m
}
