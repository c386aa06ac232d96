package worker

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

var receivedMall = event.Received(order.Mall)

// batches is a bubble of a loop with transactions, whose rules are bad for icbu until they are mended.
type batches struct {
	*bubble
	loop   *Transactions
	mended atomic.Bool
	bad    func(event.Message) bool // refused even by good rules
}

func inBatches(t *testing.T, change func(*Transactions), in []event.Message, test func(b *batches)) {
	synctest.Test(t, func(t *testing.T) {
		broker, options := bustest.StartVirtual(t)
		b := &batches{bubble: &bubble{t: t, broker: broker, client: broker.Client()}}
		b.send(in...)
		b.loop = newTransactions(broker, func(in event.Message) ([]event.Message, error) {
			if in.Topic == received && !b.mended.Load() || b.bad != nil && b.bad(in) {
				return nil, &PermanentError{Code: "bad_type", Err: errors.New("no")}
			}
			out, err := copied(in)
			out[0].Topic = event.Validated(order.Key(in.Key).Source())
			return out, err
		})
		b.loop.options, b.loop.Topics = options, []string{received, receivedMall}
		if change != nil {
			change(b.loop)
		}
		r := runTransactions(t, b.loop)
		b.end = func() {
			if err := r.stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
		}
		test(b)
		b.end()
	})
}

// mallPushes are messages of mall on its received topic.
func mallPushes(keys, each int) []event.Message {
	all := messages(receivedMall, keys, each)
	for i := range all {
		all[i].Key = strings.Replace(all[i].Key, "icbu:", "mall:", 1)
	}
	return all
}

// backlog are 600 records of icbu. Each of the six partitions has more of them than a window holds: the first fetch may bring
// one partition only, and no letter may be written of that one either.
func backlog() []event.Message { return messages(received, 200, 3) }

func (b *batches) check(icbu, mall, letters int) {
	b.t.Helper()
	for topic, want := range map[string]int{mainTopic: icbu, event.Validated(order.Mall): mall, event.DeadLetters("validate"): letters} {
		if got := len(b.broker.Read(topic)); got != want {
			b.t.Errorf("%d records in %s, wanted %d", got, topic, want)
		}
	}
}

func TestBadRulesWithABacklogWriteNoLetter(t *testing.T) {
	inBatches(t, nil, append(messages(received, 300, 5), mallPushes(100, 5)...), func(b *batches) {
		b.sleep(10 * time.Second)
		b.check(0, 500, 0)
		checkHeld(t, b.loop.Process, "icbu")
		b.send(event.Message{Topic: event.Replay("validate"), Key: "icbu:again", Value: []byte("0")})
		b.send(messages(received, 300, 6)[1500:]...)
		b.sleep(5 * time.Minute)
		b.check(1, 500, 0)
		checkHeld(t, b.loop.Process, "icbu")
		b.mended.Store(true)
		b.sleep(70 * time.Second)
		checkHeld(t, b.loop.Process)
		b.check(1+300*6, 500, 0)
		var live []event.Message
		for _, m := range b.broker.Read(mainTopic) {
			if m.Key != "icbu:again" {
				live = append(live, m)
			}
		}
		onceInOrder(t, live, 300, 6)
		b.broker.WaitCommitted("validate", received, 1800)
		b.broker.WaitCommitted("validate", receivedMall, 500)
	})
}

// The hold is this process's own: it outlives sessions, and partitions that come and go.
func TestHoldOutlivesTheSession(t *testing.T) {
	inBatches(t, nil, backlog(), func(b *batches) {
		b.sleep(10 * time.Second)
		for range 3 {
			fault := b.broker.Cluster.Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.Produce}, Topic: event.Validated(order.Mall), Err: kerr.InvalidProducerEpoch, Count: 1,
			})
			b.send(mallPushes(10, 1)...)
			b.sleep(50 * time.Second)
			if fault.Hits() != 1 {
				t.Errorf("the fault struck %d times", fault.Hits())
			}
		}
		b.check(0, 30, 0)
		checkHeld(t, b.loop.Process, "icbu")
		b.mended.Store(true)
		b.sleep(70 * time.Second)
		checkHeld(t, b.loop.Process)
		b.check(600, 30, 0)
	})
}

// Records that pass as a whole may hold a cluster of bad ones; they do not begin the hold again.
func TestAPassedClusterDoesNotBeginTheHoldAgain(t *testing.T) {
	rules := func(w *Transactions) {
		w.Transform = func(in event.Message) ([]event.Message, error) {
			if in.Offset >= 10 && in.Offset < 80 {
				return nil, &PermanentError{Code: "bad_type", Err: errors.New("no")}
			}
			return copied(in)
		}
	}
	// One partition, and one batch: all of it is there before the loop looks.
	inBatches(t, rules, messages(received, 1, 900), func(b *batches) {
		b.sleep(5 * time.Second)
		checkHeld(t, b.loop.Process, "icbu")
		b.check(0, 0, 0)
		b.sleep(70 * time.Second)
		checkHeld(t, b.loop.Process)
		b.check(830, 0, 70)
		b.sleep(5 * time.Minute)
		checkHeld(t, b.loop.Process)
	})
}

// A batch that was not committed comes again: its verdicts count once.
func TestVerdictsOfAnAbortedBatchDoNotCount(t *testing.T) {
	inBatches(t, func(w *Transactions) { w.Settings.DeadLetterMin = 10 }, nil, func(b *batches) {
		fault := b.broker.Cluster.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Topic: received, Err: kerr.IllegalGeneration, Count: 3,
		})
		b.send(messages(received, 1, 9)...)
		b.sleep(30 * time.Second)
		if fault.Hits() != 3 {
			t.Errorf("the fault struck %d times", fault.Hits())
		}
		checkHeld(t, b.loop.Process)
		b.check(0, 0, 9)
		b.send(messages(received, 1, 1)...)
		b.sleep(30 * time.Second)
		checkHeld(t, b.loop.Process, "icbu")
		b.check(0, 0, 9)
	})
}

func TestRatioOneLetsAllRulesThrough(t *testing.T) {
	inBatches(t, func(w *Transactions) { w.Settings.DeadLetterRatio = 1 }, messages(received, 300, 1), func(b *batches) {
		b.sleep(10 * time.Second)
		checkHeld(t, b.loop.Process)
		b.check(0, 0, 300)
	})
}

func TestNothingOfAHoldStaysBehindAStop(t *testing.T) {
	inBatches(t, nil, messages(received, 100, 1), func(b *batches) {
		b.sleep(5 * time.Second)
		checkHeld(t, b.loop.Process, "icbu")
		b.end()
		if red := b.loop.Process.Health.Ready(); red[guardCondition("icbu")] != "" || heldGauge(t, b.loop.Process, "icbu") != 0 {
			t.Errorf("left behind: %v", red)
		}
	})
}
