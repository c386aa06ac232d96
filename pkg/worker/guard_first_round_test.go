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
			if !threeOfTen(in) {
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
	d := &deploy{bad: threeOfTen}
	d.mended.Store(true)
	inBubble(t, nil, func(b *bubble) Handler {
		b.change = func(w *Worker) { w.Timeout = 4 * time.Minute }
		return slowToTake(d, 3*time.Minute)(b)
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

// hanging is a deploy that refuses the really bad records, and never comes back from those whose key begins with "hang".
type hanging struct {
	forever chan struct{}
	calls   atomic.Int64 // that hang
}

func (h *hanging) handle(b *bubble) Handler {
	h.forever = make(chan struct{}) // of the bubble
	d := &deploy{bad: reallyBad}
	d.mended.Store(true)
	handle := d.handle(b)
	return func(ctx context.Context, in event.Message) Result {
		if strings.HasPrefix(in.Key, "icbu:hang") {
			h.calls.Add(1)
			<-h.forever
			return Result{Err: errors.New("late")}
		}
		return handle(ctx, in)
	}
}

// A handler that never comes back is a failure of every round, and decides none where others pass.
func TestOneHangDoesNotHoldASourceForEver(t *testing.T) {
	h := &hanging{}
	inBubble(t, numbered(mainTopic, "first", 24), h.handle, func(b *bubble) {
		b.sleep(5 * time.Second)
		b.send(numbered(mainTopic, "hang", 1)...)
		b.send(numbered(mainTopic, "bad", 25)...)
		b.sleep(time.Minute) // the last one of 50 that fails is the one that hangs
		checkHeld(t, b.worker.Process, "icbu")
		b.send(numbered(mainTopic, "good", 1000)...)
		b.sleep(3 * time.Minute)
		checkHeld(t, b.worker.Process)
		b.checkNothingLost(1050, 1)
		close(h.forever)
	})
}

// A hold that ends while handlers hang gives their records up. Asked again, five would hang twice, and end the run.
func TestWhatHangsIsNotAskedAgainAfterAHold(t *testing.T) {
	h := &hanging{}
	inBubble(t, numbered(mainTopic, "first", 24), h.handle, func(b *bubble) {
		b.sleep(5 * time.Second)
		b.send(numbered(mainTopic, "hang", 5)...)
		b.sleep(time.Second)
		b.send(numbered(mainTopic, "bad", 26)...)
		b.sleep(5 * time.Second)
		b.send(numbered(mainTopic, "good", 1000)...)
		b.sleep(5 * time.Minute)
		checkHeld(t, b.worker.Process)
		if hung := h.calls.Load(); hung != 5 {
			t.Errorf("%d handlers hang", hung)
		}
		b.checkNothingLost(1055, 1)
		close(h.forever)
	})
}
