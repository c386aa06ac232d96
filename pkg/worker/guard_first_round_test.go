package worker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"orderflow/pkg/event"
)

// A partner that takes longer to refuse a record once more: three of ten are bad, each is asked about twice at most, and
// none is counted by two holds that follow each other.
func TestARecordIsCountedByOneHold(t *testing.T) {
	var mu sync.Mutex
	tries := map[string]int{}
	inBubble(t, nil, func(b *bubble) Handler {
		return func(_ context.Context, in event.Message) Result {
			if !strings.ContainsAny(in.Key[len(in.Key)-1:], "369") {
				time.Sleep(300 * time.Millisecond) //nolint:forbidigo // the bubble's clock jumps
				return b.done(in)
			}
			mu.Lock()
			tries[in.Key]++
			again := tries[in.Key] > 1
			mu.Unlock()
			if again {
				time.Sleep(30 * time.Millisecond) //nolint:forbidigo // the bubble's clock jumps
			}
			return refuse()
		}
	}, func(b *bubble) {
		b.settle()
		b.send(messages(mainTopic, 4000, 1)...)
		for range 50 {
			b.sleep(200 * time.Millisecond)
			checkHeld(t, b.worker.Process)
		}
		for key, times := range tries {
			if times > 2 {
				t.Errorf("%s was asked about %d times", key, times)
			}
		}
		b.checkNothingLost(4000, 1)
	})
}

// Calls that take minutes do not keep it a secret for as long that a source is held. Their verdicts count when they come.
func TestAFirstRoundIsNoSecretForLong(t *testing.T) {
	d := &deploy{bad: func(in event.Message) bool { return strings.ContainsAny(in.Key[len(in.Key)-1:], "369") }}
	d.mended.Store(true)
	inBubble(t, nil, func(b *bubble) Handler {
		b.change = func(w *Worker) { w.Timeout = 4 * time.Minute }
		handle := d.handle(b)
		return func(ctx context.Context, in event.Message) Result {
			if !d.bad(in) {
				time.Sleep(3 * time.Minute) //nolint:forbidigo // the bubble's clock jumps
			}
			return handle(ctx, in)
		}
	}, func(b *bubble) {
		b.settle()
		b.send(messages(mainTopic, 400, 1)...)
		b.sleep(guardRound - time.Second)
		checkHeld(t, b.worker.Process)
		b.sleep(2 * time.Second)
		checkHeld(t, b.worker.Process, "icbu")
		if got := len(b.letters()); got != 49 {
			t.Errorf("%d letters", got)
		}
		b.sleep(15 * time.Minute)
		checkHeld(t, b.worker.Process)
		b.checkNothingLost(400, 1)
	})
}

// A handler that never comes back is a failure of every round, and decides none where others pass.
func TestOneHangDoesNotHoldASourceForEver(t *testing.T) {
	var forever chan struct{}
	hangs := func(in event.Message) bool { return strings.HasPrefix(in.Key, "icbu:hang") }
	d := &deploy{bad: reallyBad}
	d.mended.Store(true)
	inBubble(t, numbered(mainTopic, "first", 24), func(b *bubble) Handler {
		forever = make(chan struct{})
		handle := d.handle(b)
		return func(ctx context.Context, in event.Message) Result {
			if hangs(in) {
				<-forever
				return Result{Err: errors.New("late")}
			}
			return handle(ctx, in)
		}
	}, func(b *bubble) {
		b.sleep(5 * time.Second)
		b.send(numbered(mainTopic, "hang", 1)...)
		b.send(numbered(mainTopic, "bad", 25)...)
		b.sleep(time.Minute) // the last one of 50 that fails is the one that hangs
		checkHeld(t, b.worker.Process, "icbu")
		b.send(numbered(mainTopic, "good", 1000)...)
		b.sleep(3 * time.Minute)
		checkHeld(t, b.worker.Process)
		b.checkNothingLost(1050, 1)
		close(forever)
	})
}

// A hold that ends while handlers hang gives their records up. Asked again, five would hang twice, and end the run.
func TestWhatHangsIsNotAskedAgainAfterAHold(t *testing.T) {
	var forever chan struct{}
	var hung atomic.Int64
	d := &deploy{bad: reallyBad}
	d.mended.Store(true)
	inBubble(t, numbered(mainTopic, "first", 24), func(b *bubble) Handler {
		forever = make(chan struct{})
		handle := d.handle(b)
		return func(ctx context.Context, in event.Message) Result {
			if strings.HasPrefix(in.Key, "icbu:hang") {
				hung.Add(1)
				<-forever
				return Result{Err: errors.New("late")}
			}
			return handle(ctx, in)
		}
	}, func(b *bubble) {
		b.sleep(5 * time.Second)
		b.send(numbered(mainTopic, "hang", 5)...)
		b.sleep(time.Second)
		b.send(numbered(mainTopic, "bad", 26)...)
		b.sleep(5 * time.Second)
		b.send(numbered(mainTopic, "good", 1000)...)
		b.sleep(5 * time.Minute)
		checkHeld(t, b.worker.Process)
		if hung.Load() != 5 {
			t.Errorf("%d handlers hang", hung.Load())
		}
		b.checkNothingLost(1055, 1)
		close(forever)
	})
}
