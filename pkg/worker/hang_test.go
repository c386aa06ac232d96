package worker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
)

func TestHangIsToldFromASlowWorld(t *testing.T) {
	var forever chan struct{} // of the bubble
	slow := 0
	inBubble(t, messages(mainTopic, 5, 2), func(b *bubble) Handler {
		forever = make(chan struct{})
		return func(ctx context.Context, in event.Message) Result {
			switch {
			case in.Key == "icbu:1" && string(in.Value) == "0":
				<-forever // deaf to the end of its time
			case in.Key == "icbu:2" && slow < 20:
				slow++
				<-ctx.Done()
				return Result{Err: ctx.Err()}
			}
			return b.done(in)
		}
	}, func(b *bubble) {
		b.sleep(time.Hour)
		if codes := b.letters(); len(codes) != 1 || codes[0] != string(DeadlineCode) {
			t.Errorf("letters %v", codes)
		}
		if b.count() != 9 || slow != 20 {
			t.Errorf("%d effects, %d timeouts", b.count(), slow)
		}
		if got := testutil.ToFloat64(newMetrics(b.worker.Process.Metrics, service).letters.WithLabelValues(service, string(DeadlineCode))); got != 1 {
			t.Errorf("counted %v letters", got)
		}
		close(forever)
	})
}

func TestManyHangingHandlersEndTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, options := bustest.StartVirtual(t)
		if err := bus.Produce(t.Context(), broker.Client(), messages(mainTopic, 50, 1)...); err != nil {
			t.Fatal(err)
		}
		forever := make(chan struct{})
		w := newWorker(broker, func(context.Context, event.Message) Result {
			<-forever
			return Result{}
		})
		w.options, w.InFlight = options, 4
		err := w.Run(t.Context())
		if err == nil || err.Error() != fmt.Sprintf("%d handlers hang", maxHung) {
			t.Errorf("Run: %v", err)
		}
		close(forever)
	})
}

// A panic or a hang in a batch is pinned on its culprit; the others pass.
func TestBatchFindsItsCulprits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever, largest := make(chan struct{}), 0
		broker, options := bustest.StartVirtual(t)
		b := &bubble{t: t, broker: broker, client: broker.Client(), journal: newJournal()}
		w := newWorker(broker, nil)
		w.options, w.MaxBatch, w.InFlight, w.Linger = options, 50, 2, 20*time.Millisecond
		w.Handle = func(_ context.Context, in []event.Message) []Result {
			b.mu.Lock()
			largest = max(largest, len(in))
			b.mu.Unlock()
			for _, m := range in {
				if m.Key == "icbu:13" {
					panic("culprit")
				}
				if m.Key == "icbu:77" {
					<-forever
				}
			}
			results := make([]Result, len(in))
			for i, m := range in {
				results[i] = b.done(m)
			}
			return results
		}
		ctx, stop := context.WithCancelCause(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		b.settle()
		b.send(messages(mainTopic, 100, 1)...)
		b.sleep(10 * time.Minute)
		codes := map[string]int{}
		for _, code := range b.letters() {
			codes[code]++
		}
		if len(codes) != 2 || codes["panic"] != 1 || codes["deadline"] != 1 {
			t.Errorf("letters %v", codes)
		}
		if b.count() != 98 || largest != 50 {
			t.Errorf("%d effects, largest batch %d", b.count(), largest)
		}
		stop(boot.ErrStopped)
		close(forever)
		wg.Wait()
	})
}
