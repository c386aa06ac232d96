package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

const partnerService = "okkisync"

var (
	epoch       = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	replayTopic = event.Replay(partnerService)
	quickPace   = pace{batch: usualPace.batch, poll: 10 * time.Millisecond, settle: 10 * time.Millisecond, lease: usualPace.lease, pause: 10 * time.Millisecond}
)

// yard is a console's surroundings: PostgreSQL, Kafka, and a service that is sent letters home.
type yard struct {
	testing.TB
	url    string
	store  *store.Store
	writer *store.Writer
	keys   *privacy.Keys
	broker *bustest.Broker

	mu      sync.Mutex
	answers map[order.Key]event.Outcome // of the service; "" fails again
	arrived map[string]int              // records by job, letter and replay number
	paused  chan struct{}               // the service goes on when it is closed; nil: it goes on
	offset  atomic.Int64                // of letters in the dead-letter topic
}

func newYard(t testing.TB) *yard {
	t.Helper()
	y := &yard{TB: t, url: pgtest.New(t), broker: bustest.Start(t), answers: map[order.Key]event.Outcome{}, arrived: map[string]int{}}
	if err := store.Migrate(t.Context(), y.url); err != nil {
		t.Fatal(err)
	}
	var err error
	if y.store, err = store.Open(t.Context(), y.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(y.store.Close)
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{5}, 32))
	if y.keys, err = privacy.New(privacy.Settings{PseudonymKeys: "p=" + secret, PayloadKeys: "k=" + secret}); err != nil {
		t.Fatal(err)
	}
	y.writer = store.NewWriter(y.store, y.keys)
	return y
}

func (y *yard) open(options ...kgo.Opt) (*kgo.Client, error) {
	return bus.NewClient(y.broker.Settings, zap.NewNop(), nil, options...)
}

func (y *yard) runner() *runner {
	r := newRunner(y.store, y.keys, y.open, nil, zap.NewNop(), Settings{StopRatio: 1})
	r.pace = quickPace
	return r
}

// start has a runner work until the returned function is called or the test ends.
func (y *yard) start(r *runner) (stop func()) {
	ctx, cancel := context.WithCancel(y.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	y.Cleanup(stop)
	return stop
}

func (y *yard) apply(facts ...store.Fact) {
	for i, err := range y.writer.Apply(context.Background(), facts) {
		if err != nil {
			y.Errorf("fact %d: %v", i, err)
		}
	}
}

func meta(key order.Key, n int64) event.Meta {
	return event.Meta{
		OrderKey: key, Revision: order.NewRevision(1, n), Digest: fmt.Sprint("d", n), ReceivedPartition: 3, ReceivedOffset: n,
		ReceivedAt: epoch.Add(time.Duration(n) * time.Millisecond),
	}
}

func pushFact(key order.Key, n int64) store.Fact {
	m := meta(key, n)
	return store.Fact{Meta: m, Service: "validate", Validated: &store.Validated{
		Order: order.Order{Key: key, Source: key.Source()}, Document: []byte("{}"), At: m.ReceivedAt,
	}}
}

func outcomeFact(m event.Meta, outcome event.Outcome) store.Fact {
	return store.Fact{Meta: m, Service: partnerService, Delivery: &event.Delivery{
		Partner: "okki", OrderKey: m.OrderKey, Revision: m.Revision, Digest: m.Digest, Outcome: outcome, Attempts: 1, At: m.ReceivedAt,
	}}
}

// failed is the letter of a record that failed for the first time or again.
func (y *yard) failed(m event.Meta, topic string, partition int32, offset int64, value []byte, replays int) store.Fact {
	origin := event.Message{Topic: topic, Partition: partition, Offset: offset, Key: string(m.OrderKey), Value: value, Timestamp: m.ReceivedAt}
	m.ReplayJob, m.ReplayLetter = "", ""
	origin.Headers = m.Headers()
	at := epoch.Add(time.Duration(offset) * time.Millisecond)
	l := deadletter.Letter{Origin: origin, Stage: partnerService, Code: "partner_rejected", Class: "permanent", Attempts: 1, First: at, Last: at, Replays: replays}
	record := deadletter.Wrap(l)
	record.Offset = y.offset.Add(1)
	return store.Fact{Meta: m, Service: partnerService, Letter: &store.Letter{Letter: l, Record: record}}
}

// park gives orders from..to-1 one letter each. Their numbers are their received offsets.
func (y *yard) park(prefix string, from, to int64) {
	var facts []store.Fact
	for n := from; n < to; n++ {
		key := parkedKey(prefix, n)
		facts = append(facts, pushFact(key, n), y.failed(meta(key, n), event.Validated(order.ICBU), 0, n, []byte("{}"), 0))
	}
	y.apply(facts...)
}

func parkedKey(prefix string, n int64) order.Key {
	return order.Key(fmt.Sprintf("icbu:%s%05d", prefix, n))
}

func (y *yard) answer(key order.Key, outcome event.Outcome) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.answers[key] = outcome
}

// serve is the service and persist in one: it reads the replay topic and writes what became of each record.
func (y *yard) serve() {
	client, err := y.open(kgo.ConsumeTopics(replayTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		y.Fatal(err)
	}
	ctx, cancel := context.WithCancel(y.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			var facts []store.Fact
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) { facts = append(facts, y.outcome(bus.FromRecord(r))) })
			y.apply(facts...)
			y.apply(facts...) // as a worker does that was killed before it committed
			if len(facts) > 0 {
				y.rest(ctx)
			}
		}
	}()
	y.Cleanup(func() {
		cancel()
		<-done
		client.Close()
	})
}

// pause has the service rest after the next letters that it gets, until the returned function is called.
func (y *yard) pause() (release func()) {
	y.mu.Lock()
	defer y.mu.Unlock()
	paused := make(chan struct{})
	y.paused = paused
	return func() {
		y.mu.Lock()
		defer y.mu.Unlock()
		close(paused)
		y.paused = nil
	}
}

func (y *yard) rest(ctx context.Context) {
	y.mu.Lock()
	paused := y.paused
	y.mu.Unlock()
	if paused == nil {
		return
	}
	select {
	case <-paused:
	case <-ctx.Done():
	}
}

func (y *yard) outcome(m event.Message) store.Fact {
	of, err := m.Meta()
	if err != nil {
		y.Errorf("replayed record: %v", err)
	}
	topic, partition, offset, _, replays := deadletter.Origin(m)
	y.mu.Lock()
	defer y.mu.Unlock()
	y.arrived[of.ReplayJob+" "+of.ReplayLetter+" "+strconv.Itoa(replays)]++
	outcome, known := y.answers[of.OrderKey]
	if !known {
		outcome = event.Delivered
	}
	if outcome == "" {
		return y.failed(of, topic, partition, offset, m.Value, replays)
	}
	return outcomeFact(of, outcome)
}

func (y *yard) job(n store.NewReplay) store.ReplayJob {
	y.Helper()
	n.By, n.ApprovalSize, n.MaxTimes = "ann", 100_000, 3
	job, err := y.store.CreateReplay(y.Context(), n)
	if err != nil {
		y.Fatal(err)
	}
	return job
}

// await polls a job until it is as wanted.
func (y *yard) await(id int64, what string, wanted func(store.ReplayJob) bool) store.ReplayJob {
	y.Helper()
	deadline := time.Now().Add(bustest.Patience)
	for {
		job, err := y.store.Replay(context.Background(), id)
		if err != nil {
			y.Fatal(err)
		}
		if !job.Balanced() {
			y.Fatalf("the job does not add up: %+v", job)
		}
		if wanted(job) {
			return job
		}
		if time.Now().After(deadline) {
			y.Fatalf("waited for %s: %+v", what, job)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func finished(j store.ReplayJob) bool { return !j.FinishedAt.IsZero() }

// once checks that no record of the replay topic came twice.
func (y *yard) once() {
	y.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	letters := map[string]bool{}
	for record, count := range y.arrived {
		letter := record[:len(record)-len(strconv.Itoa(lastNumber(record)))]
		if count > 1 || letters[letter] {
			y.Errorf("job, letter, replay %s came %d times, or under two numbers", record, count)
		}
		letters[letter] = true
	}
}

func lastNumber(record string) int {
	var job, letter, replay int
	_, _ = fmt.Sscan(record, &job, &letter, &replay)
	return replay
}
