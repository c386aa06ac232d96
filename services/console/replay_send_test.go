package main

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/store"
)

const bait = "bait"

// slowStore keeps a client from storing what it learned about a topic, as a busy machine does for a moment: franz-go stores
// it after it has partitioned the records that waited for it, and asks here for the partition of the bait, the last one.
type slowStore struct {
	kgo.Partitioner
	stuck, release chan struct{}
}

func (s slowStore) ForTopic(topic string) kgo.TopicPartitioner {
	return slowTopic{s.Partitioner.ForTopic(topic), s}
}

type slowTopic struct {
	kgo.TopicPartitioner
	slowStore
}

func (s slowTopic) Partition(r *kgo.Record, n int) int {
	if string(r.Key) != bait {
		return s.TopicPartitioner.Partition(r, n)
	}
	close(s.stuck)
	<-s.release
	return -1 // it is never sent
}

// waits is a logger of a client that tells when the sender waits for the client to store its topics.
type waits struct{ release func() }

func (waits) Level() kgo.LogLevel { return kgo.LogLevelInfo }

func (w waits) Log(_ kgo.LogLevel, message string, _ ...any) {
	if strings.HasPrefix(message, "producer state set to aborting") {
		w.release()
	}
}

// Letters whose topic the client stores late are committed all the same; without learned they were aborted, and reported as
// committed.
func TestCommitWaitsForTopics(t *testing.T) {
	y := newYard(t)
	y.park("A", 0, 5)
	y.job(store.NewReplay{})
	run := y.claim()
	if _, _, err := run.Mark(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	slow := slowStore{kgo.StickyKeyPartitioner(nil), make(chan struct{}), make(chan struct{})}
	release := sync.OnceFunc(func() { close(slow.release) })
	s := &sender{run: run, keys: y.keys, batch: 250, open: func(options ...kgo.Opt) (*kgo.Client, error) {
		return y.open(append(options, kgo.RecordPartitioner(slow), kgo.WithLogger(waits{release}))...)
	}}
	if err := s.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	letters, err := run.Unproduced(t.Context(), y.keys, 5, maxBatchBytes)
	if err != nil || len(letters) != 5 {
		t.Fatal(len(letters), err)
	}
	asked, baited := make(chan struct{}), make(chan struct{})
	y.broker.Cluster.ControlKey(kmsg.Metadata.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		if len(request.(*kmsg.MetadataRequest).Topics) > 0 {
			y.broker.Cluster.DropControl()
			close(asked)
			y.broker.Cluster.SleepControl(func() { <-baited })
		}
		return nil, nil, false
	})
	var produced []store.Produced
	done := make(chan struct{})
	go func() {
		defer close(done)
		produced, err = s.produce(t.Context(), letters)
	}()
	<-asked
	buffered := time.NewTicker(time.Millisecond)
	defer buffered.Stop()
	for s.client.BufferedProduceRecords() < 5 {
		<-buffered.C
	}
	s.client.Produce(t.Context(), &kgo.Record{Topic: replayTopic, Key: []byte(bait)}, nil)
	close(baited)
	<-slow.stuck
	<-done
	release()
	if err != nil || len(produced) != 5 {
		t.Fatalf("%d produced: %v", len(produced), err)
	}
	if records := y.broker.Read(replayTopic); len(records) != 5 {
		t.Errorf("%d letters were reported as committed, %d are", len(produced), len(records))
	}
}
