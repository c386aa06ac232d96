// Package registryserver is a schema registry in the house: it speaks the part of Confluent's REST API that readers and
// writers of Avro need (franz-go's sr, confluent-kafka, kcat, Flink, ClickHouse), and keeps its state in a compacted topic
// of the broker whose records carry its ids, so that ids and records live and die together.
//
// The log of that topic is the registry; a process only folds it (see state). A registration is a claim of a subject's
// next version and of an id: it is written, read back, and holds only if it stands in the log before every claim that
// contradicts it. So several processes on one log never hand out an id twice, and none is the leader.
//
// It differs from Confluent's in three things. Avro only. The level of compatibility is BACKWARD_TRANSITIVE until somebody
// sets another, because a topic holds records of all released versions at once. Nothing is ever deleted, because a
// record may carry any id that was handed out. Its check (twmb/avro) is stricter on decimals: another precision or scale
// is incompatible.
package registryserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
)

// partition of the log: it has one, so that the broker is the only sequencer.
const partition = 0

// Registry is a process's view of the log. It answers while Kafka is away what can never change again (a schema by its
// id, a registration that stands), and says so for all else.
type Registry struct {
	client  *kgo.Client
	log     *zap.Logger
	writing chan struct{} // holds a token while a claim of this process is under way
	ended   chan struct{} // closed when the log is read no more

	mu    sync.Mutex
	state *state
	next  int64         // offset of the first record that is not folded
	moved chan struct{} // closed, and replaced, whenever next moves
}

// Open begins to read the log; Kafka and the topic may come later. Close it.
func Open(kafka bus.Settings, log *zap.Logger) (*Registry, error) {
	client, err := bus.NewClient(kafka, log, nil, kgo.ClientID("registry"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumePartitions(fromStart()))
	if err != nil {
		return nil, err
	}
	g := &Registry{
		client: client, log: log, writing: make(chan struct{}, 1), ended: make(chan struct{}),
		state: newState(), moved: make(chan struct{}),
	}
	go g.follow()
	return g, nil
}

func fromStart() map[string]map[int32]kgo.Offset {
	return map[string]map[int32]kgo.Offset{event.Registry: {partition: kgo.NewOffset().AtStart()}}
}

// Close ends the reading of the log; requests that wait for it fail.
func (g *Registry) Close() {
	g.client.Close()
	<-g.ended
}

// follow folds the log as it grows.
func (g *Registry) follow() {
	defer close(g.ended)
	for {
		fetches := g.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		gone := false
		fetches.EachError(func(topic string, partition int32, err error) {
			g.log.Warn("the registry's log cannot be read", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(err))
			gone = gone || errors.Is(err, kerr.UnknownTopicID)
		})
		if records := fetches.Records(); len(records) > 0 {
			g.fold(records)
		}
		if gone {
			g.startOver()
		}
	}
}

// startOver forgets everything and reads the topic of that name from its start: the one that was read is no more. The
// client holds on to a topic's id until it is told to let go.
func (g *Registry) startOver() {
	g.mu.Lock()
	g.state, g.next = newState(), 0
	g.mu.Unlock()
	g.client.PurgeTopicsFromClient(event.Registry)
	g.client.AddConsumePartitions(fromStart())
}

func (g *Registry) fold(records []*kgo.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range records {
		if err := g.state.apply(string(r.Key), r.Value); err != nil {
			g.log.Warn("a record of the registry's log was left out", zap.String("topic", r.Topic), zap.Int64("offset", r.Offset), zap.Error(err))
		}
		g.next = r.Offset + 1
	}
	close(g.moved)
	g.moved = make(chan struct{})
}

// look reads the state as far as it is known; the function must keep nothing that changes.
func (g *Registry) look(at func(s *state)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at(g.state)
}

// catchUp returns when everything is folded that Kafka had when it was called.
func (g *Registry) catchUp(ctx context.Context) error {
	g.mu.Lock()
	before := g.next
	g.mu.Unlock()
	ends, err := kadm.NewClient(g.client).ListEndOffsets(ctx, event.Registry)
	if err != nil {
		return fmt.Errorf("find the end of the registry's log: %w", err)
	}
	end, ok := ends.Lookup(event.Registry, partition)
	if !ok || end.Err != nil {
		return fmt.Errorf("find the end of %s (orderctl topics apply creates it): %w", event.Registry, errors.Join(ends.Error(), end.Err))
	}
	if end.Offset < before {
		return fmt.Errorf("the registry's log ends at %d and was read to %d: %s was recreated", end.Offset, before, event.Registry)
	}
	return g.await(ctx, end.Offset)
}

// await returns when everything before an offset is folded.
func (g *Registry) await(ctx context.Context, offset int64) error {
	for {
		g.mu.Lock()
		next, moved := g.next, g.moved
		g.mu.Unlock()
		if next >= offset {
			return nil
		}
		select {
		case <-moved:
		case <-g.ended:
			return errors.New("read the registry's log: the registry is closed")
		case <-ctx.Done():
			return fmt.Errorf("read the registry's log to %d, stood at %d: %w", offset, next, ctx.Err())
		}
	}
}

// write returns when Kafka has acknowledged the record and it is folded. After an error it may be in the log all the same.
func (g *Registry) write(ctx context.Context, key string, value []byte) error {
	record := &kgo.Record{Topic: event.Registry, Partition: partition, Key: []byte(key), Value: value, Timestamp: time.Now()}
	if err := g.client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return fmt.Errorf("write to the registry's log: %w", err)
	}
	return g.await(ctx, record.Offset+1)
}

// turn waits until no other claim of this process is under way, and returns what ends the turn.
func (g *Registry) turn(ctx context.Context) (func(), error) {
	select {
	case g.writing <- struct{}{}:
		return func() { <-g.writing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another registration: %w", ctx.Err())
	}
}
