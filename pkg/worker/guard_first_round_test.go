package worker

import (
	"context"
	"strings"
	"sync"
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
