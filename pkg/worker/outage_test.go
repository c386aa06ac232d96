package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
)

// bubble is a broker, a worker and a clock that jumps.
type bubble struct {
	t      *testing.T
	broker *bustest.Broker
	client *kgo.Client
	began  time.Time
	worker *Worker
	end    func() // stops the worker
	change func(*Worker)
	*journal
}

// inBubble runs a test of a worker whose partner is handle, or whose Handle that sets when it gives nil; the clock starts
// when all messages are written.
func inBubble(t *testing.T, in []event.Message, handle func(b *bubble) Handler, test func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		broker, options := bustest.StartVirtual(t)
		b := &bubble{t: t, broker: broker, client: broker.Client(), journal: newJournal()}
		b.send(in...)
		b.worker = newWorker(broker, nil)
		if h := handle(b); h != nil {
			b.worker.Handle = Each(h)
		}
		b.worker.options = options
		if b.change != nil {
			b.change(b.worker)
		}
		b.began = time.Now()
		ctx, stop := context.WithCancelCause(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := b.worker.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		b.end = func() {
			stop(boot.ErrStopped)
			wg.Wait()
		}
		test(b)
		b.end()
	})
}

func (b *bubble) send(in ...event.Message) {
	b.t.Helper()
	if err := bus.Produce(b.t.Context(), b.client, in...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) since() time.Duration { return time.Since(b.began) }

func (b *bubble) sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's clock jumps
	synctest.Wait()
}

// settle lets the worker join and ask for all of its partitions. What is sent after that comes at once; of what lay there
// before, the first fetch may bring some partitions only, and the next one the rest half a second later.
func (b *bubble) settle() { b.sleep(5 * time.Second) }

func (b *bubble) letters() (codes []string) {
	for _, m := range b.broker.Read(event.DeadLetters(service)) {
		letter, err := deadletter.Parse(m)
		if err != nil {
			b.t.Fatal(err)
		}
		codes = append(codes, letter.Code)
	}
	return codes
}

func (b *bubble) gauge(name string) float64 {
	b.t.Helper()
	families, err := b.worker.Process.Metrics.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	b.t.Fatalf("no metric %s", name)
	return 0
}

func TestThreeFailuresThenDeliveredAtTheFourth(t *testing.T) {
	tries := 0
	inBubble(t, nil, func(b *bubble) Handler {
		return func(_ context.Context, in event.Message) Result {
			if tries++; tries <= 3 {
				return Result{Err: errors.New("500")}
			}
			return b.done(in)
		}
	}, func(b *bubble) {
		b.settle()
		b.send(messages(mainTopic, 1, 1)...)
		b.sleep(5 * time.Second) // 0.5 + 1 + 2 s, and a fifth of jitter
		if tries != 4 || b.count() != 1 {
			t.Errorf("%d tries, %d effects after %s", tries, b.count(), b.since())
		}
	})
}

func TestLoneOrderInAnOutageIsNeverBlamed(t *testing.T) {
	var up atomic.Bool
	inBubble(t, messages(mainTopic, 1, 3), func(b *bubble) Handler {
		return func(_ context.Context, in event.Message) Result {
			if !up.Load() {
				return Result{Err: errors.New("503")}
			}
			return b.done(in)
		}
	}, func(b *bubble) {
		b.sleep(3 * time.Hour)
		if codes := b.letters(); len(codes) > 0 {
			t.Errorf("letters %v", codes)
		}
		up.Store(true)
		b.sleep(2 * time.Minute)
		if b.count() != 3 {
			t.Errorf("%d effects", b.count())
		}
	})
}

func TestPoisonAmongHealthyOrdersIsExhausted(t *testing.T) {
	tries := 0
	inBubble(t, nil, func(b *bubble) Handler {
		return func(_ context.Context, in event.Message) Result {
			if in.Key == "icbu:poison" {
				tries++
				return Result{Err: errors.New("500")}
			}
			return b.done(in)
		}
	}, func(b *bubble) {
		b.settle()
		b.send(event.Message{Topic: mainTopic, Key: "icbu:poison"})
		for i := range 600 {
			b.send(event.Message{Topic: mainTopic, Key: fmt.Sprint("icbu:", i)})
			b.sleep(time.Second)
		}
		codes := b.letters()
		if len(codes) != 1 || codes[0] != string(RetriesExhausted) || tries < 10 || tries > 11 {
			t.Errorf("letters %v after %d tries", codes, tries)
		}
		if b.count() != 600 {
			t.Errorf("%d effects", b.count())
		}
	})
}

func TestOutageOpensTheBreakerAndLeavesNoLetter(t *testing.T) {
	var mu sync.Mutex
	up, calls, most, now := true, 0, 0, 0
	inBubble(t, nil, func(b *bubble) Handler {
		return func(ctx context.Context, in event.Message) Result {
			mu.Lock()
			now++
			calls++
			most = max(most, now)
			fine := up
			mu.Unlock()
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the bubble's clock jumps
			mu.Lock()
			now--
			mu.Unlock()
			if !fine {
				return Result{Err: errors.New("503")}
			}
			return b.done(in)
		}
	}, func(b *bubble) {
		b.settle()
		b.send(messages(mainTopic, 300, 2)...)
		b.sleep(time.Minute)
		if b.count() != 600 || most != 256 {
			t.Errorf("before the outage: %d effects, %d at once", b.count(), most)
		}
		mu.Lock()
		up, calls = false, 0
		mu.Unlock()
		b.send(messages(mainTopic, 2000, 2)...)
		b.sleep(10 * time.Second)
		mu.Lock()
		most, calls = 0, 0
		mu.Unlock()
		b.sleep(10 * time.Minute)
		mu.Lock()
		if calls < 50 || calls > 100 || most != 1 {
			t.Errorf("%d calls in 10 minutes of outage, %d at once: wanted single probes", calls, most)
		}
		up = true
		mu.Unlock()
		if b.gauge("orderflow_worker_breaker_open") != 1 {
			t.Error("the breaker's gauge does not show it")
		}
		b.sleep(15 * time.Second)
		if got := b.count(); got != 4600 {
			t.Errorf("15 s after the outage %d of 4600 are done", got)
		}
		if codes := b.letters(); len(codes) > 0 || b.gauge("orderflow_worker_breaker_open") != 0 {
			t.Errorf("letters %v", codes)
		}
	})
}

func TestPauseStopsAllLanes(t *testing.T) {
	asked, early := time.Time{}, 0
	var mu sync.Mutex
	inBubble(t, messages(mainTopic, 50, 4), func(b *bubble) Handler {
		return func(_ context.Context, in event.Message) Result {
			mu.Lock()
			defer mu.Unlock()
			if asked.IsZero() && in.Key == "icbu:7" {
				asked = time.Now()
				return Result{Err: &PauseError{After: 30 * time.Second, Err: errors.New("429")}}
			}
			if since := time.Since(asked); !asked.IsZero() && since > time.Millisecond && since < 30*time.Second {
				early++
			}
			return b.done(in)
		}
	}, func(b *bubble) {
		b.sleep(29 * time.Second)
		b.send(messages(mainTopic, 50, 1)...)
		b.sleep(30 * time.Second)
		if early != 0 || b.count() != 250 {
			t.Errorf("%d calls during the pause, %d effects after it", early, b.count())
		}
	})
}

func TestConfigurationErrorTurnsReadinessRed(t *testing.T) {
	var mu sync.Mutex
	wrong, calls := true, 0
	inBubble(t, messages(mainTopic, 100, 1), func(b *bubble) Handler {
		return func(_ context.Context, in event.Message) Result {
			mu.Lock()
			defer mu.Unlock()
			calls++
			if wrong {
				return Result{Err: &ConfigurationError{errors.New("bad token")}}
			}
			return b.done(in)
		}
	}, func(b *bubble) {
		b.sleep(10 * time.Second)
		first := calls
		b.sleep(10 * time.Minute)
		if more := calls - first; more < 8 || more > 13 {
			t.Errorf("%d calls in 10 minutes", more)
		}
		if red := b.worker.Process.Health.Ready(); red[conditionConfig] == "" {
			t.Errorf("ready: %v", red)
		}
		mu.Lock()
		wrong = false
		mu.Unlock()
		b.sleep(2 * time.Minute)
		if red := b.worker.Process.Health.Ready(); len(red) > 0 || b.count() != 100 {
			t.Errorf("still red: %v, %d effects", red, b.count())
		}
		if codes := b.letters(); len(codes) > 0 {
			t.Errorf("letters %v", codes)
		}
	})
}
