package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

const service = "okkisync"

var mainTopic = event.Validated(order.ICBU)

func process() *boot.Process {
	return &boot.Process{
		Name: service, Version: "test", Log: zap.NewNop(), Health: boot.NewHealth(), Metrics: prometheus.NewRegistry(),
	}
}

func newWorker(broker *bustest.Broker, handle Handler) *Worker {
	return &Worker{
		Service: service, Topics: []string{mainTopic}, Handle: Each(handle), Timeout: 10 * time.Second,
		Bus: broker.Settings, Process: process(),
	}
}

// running is a worker under way; stop ends it as a signal would, and gives what Run returned.
type running struct {
	stop func() error
	done chan struct{}
	err  error
}

func run(t testing.TB, w *Worker) *running {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &running{done: make(chan struct{})}
	go func() {
		r.err = w.Run(ctx)
		close(r.done)
	}()
	r.stop = func() error {
		cancel(boot.ErrStopped)
		<-r.done
		return r.err
	}
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// journal is a handler's memory of what it did, by key and in order.
type journal struct {
	mu    sync.Mutex
	byKey map[string][]string
	total int
	news  chan struct{}
}

func newJournal() *journal {
	return &journal{byKey: map[string][]string{}, news: make(chan struct{}, 1)}
}

func (j *journal) note(m event.Message) {
	j.mu.Lock()
	j.byKey[m.Key] = append(j.byKey[m.Key], string(m.Value))
	j.total++
	j.mu.Unlock()
	select {
	case j.news <- struct{}{}:
	default:
	}
}

func (j *journal) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.total
}

func (j *journal) wait(t testing.TB, enough func() bool) {
	t.Helper()
	late := time.After(bustest.Patience)
	for {
		j.mu.Lock()
		ok := enough()
		j.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-j.news:
		case <-late:
			t.Fatalf("still waiting after %d effects", j.total)
		}
	}
}

func (j *journal) done(m event.Message) Result {
	j.note(m)
	return Result{Answered: true}
}

func messages(topic string, keys, each int) []event.Message {
	var all []event.Message
	for i := range each {
		for k := range keys {
			all = append(all, event.Message{Topic: topic, Key: fmt.Sprintf("icbu:%d", k), Value: fmt.Appendf(nil, "%d", i)})
		}
	}
	return all
}

func TestEveryRecordOnceInOrderOfItsKey(t *testing.T) {
	broker := bustest.Start(t)
	broker.Produce(messages(mainTopic, 50, 20)...)
	effects := newJournal()
	w := newWorker(broker, func(_ context.Context, in event.Message) Result {
		result := effects.done(in)
		result.Out = []event.Message{{Topic: event.Deliveries, Key: in.Key, Value: in.Value}}
		return result
	})
	r := run(t, w)
	broker.WaitCommitted(service, mainTopic, 1000)
	if err := r.stop(); err != nil {
		t.Errorf("Run returned %v", err)
	}
	for key, values := range effects.byKey {
		for i, value := range values {
			if value != fmt.Sprint(i) || len(values) != 20 {
				t.Fatalf("%s: effects %v", key, values)
			}
		}
	}
	if got := len(broker.Read(event.Deliveries)); got != 1000 || len(effects.byKey) != 50 {
		t.Errorf("%d outputs of %d orders", got, len(effects.byKey))
	}
	if got := broker.Read(event.DeadLetters(service)); len(got) != 0 {
		t.Errorf("dead letters %v", got)
	}
}

func TestOneBlockedKeyHoldsUpNobodyElse(t *testing.T) {
	broker := bustest.Start(t)
	broker.Produce(messages(mainTopic, 100, 5)...)
	effects, release := newJournal(), make(chan struct{})
	w := newWorker(broker, func(ctx context.Context, in event.Message) Result {
		if in.Key == "icbu:7" {
			select {
			case <-release:
			case <-ctx.Done():
				return Result{Err: ctx.Err()}
			}
		}
		return effects.done(in)
	})
	w.Timeout = bustest.Patience
	run(t, w)
	effects.wait(t, func() bool { return effects.total == 99*5 })
	var blocked int32
	for _, m := range broker.Read(mainTopic) {
		if m.Key == "icbu:7" {
			blocked = m.Partition
		}
	}
	if offset := broker.Committed(service, mainTopic)[blocked]; offset > 100 {
		t.Errorf("partition %d is committed up to %d, past the blocked record", blocked, offset)
	}
	close(release)
	broker.WaitCommitted(service, mainTopic, 500)
}

func TestFaultyRecordsBecomeLetters(t *testing.T) {
	broker := bustest.Start(t)
	broker.Produce(messages(mainTopic, 20, 1)...)
	effects := newJournal()
	w := newWorker(broker, func(_ context.Context, in event.Message) Result {
		switch in.Key {
		case "icbu:3":
			return Result{Answered: true, Err: &PermanentError{Code: PartnerRejected, Path: "/a", Detail: "isv.x", Err: errors.New("refused")}}
		case "icbu:4":
			panic("a value that must not be kept")
		}
		return effects.done(in)
	})
	r := run(t, w)
	letters := broker.Wait(event.DeadLetters(service), 2)
	broker.WaitCommitted(service, mainTopic, 20)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	for _, m := range letters {
		letter, err := deadletter.Parse(m)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][4]string{
			"icbu:3": {"partner_rejected", "permanent", "/a", "isv.x"},
			"icbu:4": {"panic", "panic", "", ""},
		}[m.Key]
		if got := [4]string{letter.Code, letter.Class, letter.Path, letter.Detail}; got != want {
			t.Errorf("%s: %v, wanted %v", m.Key, got, want)
		}
		if letter.Origin.Topic != mainTopic || letter.Attempts != 1 || letter.Stage != service || letter.Version != "test" || letter.First.IsZero() {
			t.Errorf("letter %+v", letter)
		}
		if m.Key == "icbu:4" && letter.Message != "the handler panicked with a string" {
			t.Errorf("message %q", letter.Message)
		}
	}
	if effects.count() != 18 {
		t.Errorf("%d effects", effects.count())
	}
}
