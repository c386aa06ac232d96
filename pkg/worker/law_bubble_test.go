//go:build synctests

package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
)

// The tag is franz-go's own: its locks then let the clock of a bubble jump while somebody waits for one.
func TestLawsUnderManyRandomFaults(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker, options := bustest.StartVirtual(t)
				w := newWorld(t, broker, seed)
				w.pace = pace{2 * time.Second, 45 * time.Second, 75 * time.Second, 20 * time.Second, 0, 15, 2}
				// kfake ends the session of a member whose JoinGroup waits for the others, and never answers it: such a
				// member works on beside the next owner. Kafka's coordinator keeps it (ClassicGroupMember.hasSatisfiedHeartbeat).
				// So a session outlives every process here, while one that rests may miss its own.
				w.run(30, 20, append(options, kgo.SessionTimeout(time.Minute)), 12*time.Hour)
			})
		})
	}
}

// duo is a broker in a bubble and workers of one group.
type duo struct {
	*journal
	broker *bustest.Broker
	start  func(h Handler) *running
}

func inBubbleOfTwo(t *testing.T, in []event.Message, test func(t *testing.T, d *duo)) {
	synctest.Test(t, func(t *testing.T) {
		var options []kgo.Opt
		d := &duo{journal: newJournal()}
		d.broker, options = bustest.StartVirtual(t)
		d.broker.Produce(in...)
		d.start = func(h Handler) *running {
			w := newWorker(d.broker, h)
			w.options, w.Timeout = options, time.Hour
			return run(t, w)
		}
		test(t, d)
	})
}

// A partition that moves is finished by its first owner before the second one starts on it, and nothing is done twice.
func TestRebalanceHandsPartitionsOverInOrder(t *testing.T) {
	const keys, each = 60, 100
	inBubbleOfTwo(t, messages(mainTopic, keys, each), func(t *testing.T, d *duo) {
		owners := map[string]map[string]bool{}
		worker := func(name string) *running {
			return d.start(func(_ context.Context, in event.Message) Result {
				<-time.After(50 * time.Millisecond) // so that there is work under way whenever the group changes
				d.mu.Lock()
				if owners[in.Key] == nil {
					owners[in.Key] = map[string]bool{}
				}
				owners[in.Key][name] = true
				d.mu.Unlock()
				return d.done(in)
			})
		}
		first := worker("first")
		d.wait(t, func() bool { return d.total > keys })
		second := worker("second")
		d.broker.WaitMembers(service, 2)
		enough := d.count() + 3*keys
		d.wait(t, func() bool { return d.total > enough })
		if err := first.stop(); err != nil {
			t.Error(err)
		}
		d.broker.WaitCommitted(service, mainTopic, keys*each)
		if err := second.stop(); err != nil {
			t.Error(err)
		}
		moved := 0
		for key, values := range d.byKey {
			if len(owners[key]) > 1 {
				moved++
			}
			for i, value := range values {
				if value != fmt.Sprint(i) || len(values) != each {
					t.Fatalf("%s: %v", key, values)
				}
			}
		}
		if moved == 0 {
			t.Error("nothing moved from one worker to the other")
		}
	})
}

// A call that does not end within the grace is cancelled when its partition moves. Its record counts for nothing here, is
// not committed, and is done by the new owner.
func TestCallOfAPartitionThatMovesIsInterrupted(t *testing.T) {
	const keys = 60
	inBubbleOfTwo(t, messages(mainTopic, keys, 1), func(t *testing.T, d *duo) {
		var mu sync.Mutex
		interrupted := map[string]bool{}
		first := d.start(func(ctx context.Context, in event.Message) Result {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			interrupted[in.Key] = errors.Is(context.Cause(ctx), errInterrupted)
			return Result{Err: ctx.Err()}
		})
		d.broker.WaitMembers(service, 1)
		second := d.start(func(_ context.Context, in event.Message) Result { return d.done(in) })
		<-time.After(time.Minute)
		synctest.Wait()
		done := d.count()
		if done == 0 || done == keys {
			t.Errorf("the second worker did %d of %d records", done, keys)
		}
		mu.Lock()
		for key := range d.byKey {
			// A record that the first worker had not begun with when its partition left is no call to interrupt.
			if began, ok := interrupted[key]; ok && !began {
				t.Errorf("the call for %s ended for another reason", key)
			}
		}
		if len(interrupted) == 0 || len(interrupted) > done {
			t.Errorf("%d calls were interrupted, %d records moved", len(interrupted), done)
		}
		mu.Unlock()
		var sum int64
		for _, offset := range d.broker.Committed(service, mainTopic) {
			sum += offset
		}
		if sum != int64(done) {
			t.Errorf("%d records are committed, %d were done", sum, done)
		}
		if letters := d.broker.Read(event.DeadLetters(service)); len(letters) > 0 {
			t.Errorf("%d letters", len(letters))
		}
		for _, r := range []*running{first, second} {
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		}
	})
}
