package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
)

// world is what several workers, restarted at random, do to the orders.
type world struct {
	t       *testing.T
	broker  *bustest.Broker
	mu      sync.Mutex
	random  *rand.Rand
	pace    pace
	running map[string]bool
	next    map[string]int // per key: the value whose effect comes next
	effects int
	tries   int
	calls   map[string]int // per record
}

// draw gives a random number under n; the seed decides all of them, the scheduler their order.
func (w *world) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

func (w *world) upTo(most time.Duration) time.Duration {
	return time.Duration(w.draw(int(most-most/10))) + most/10
}

// wait lets some of that time pass, or the context end.
func (w *world) wait(ctx context.Context, most time.Duration) {
	timer := time.NewTimer(w.upTo(most))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func bad(m event.Message) bool { return m.Key == "icbu:3" && string(m.Value) == "5" }

// handle fails at random, and checks that no order is ever in two hands, and that effects never skip or overtake.
func (w *world) handle(ctx context.Context, in event.Message) Result {
	w.mu.Lock()
	if w.running[in.Key] {
		w.t.Errorf("order %s is in two calls at once", in.Key)
	}
	w.running[in.Key] = true
	w.tries++
	w.calls[in.Key+" "+string(in.Value)]++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.running, in.Key)
		w.mu.Unlock()
	}()
	if w.wait(ctx, w.pace.call); ctx.Err() != nil {
		return Result{Err: ctx.Err()}
	}
	switch dice := w.draw(100); {
	case bad(in):
		w.effect(in)
		return Result{Answered: true, Err: Permanent(PartnerRejected, errors.New("no"))}
	case dice < w.pace.transient:
		return Result{Err: errors.New("500")}
	case dice < w.pace.transient+w.pace.pause:
		return Result{Err: &PauseError{After: time.Second, Err: errors.New("429")}}
	case dice > 97:
		return Result{Err: ErrBusy}
	}
	w.effect(in)
	return Result{Answered: true, Out: []event.Message{{Topic: event.Deliveries, Key: in.Key, Value: in.Value}}}
}

// effect takes repeats, which redelivery allows, but never a value before the one in front of it.
func (w *world) effect(in event.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	value, err := strconv.Atoi(string(in.Value))
	switch {
	case err != nil || value > w.next[in.Key]:
		w.t.Errorf("order %s: effect %s, but %d comes next", in.Key, in.Value, w.next[in.Key])
	case value == w.next[in.Key]:
		w.next[in.Key]++
	}
	w.effects++
}

// pace is how fast things happen in a world: in a bubble as slowly as in life, else in a hurry.
type pace struct {
	call, life, rest, trouble time.Duration // at most
	longer                    time.Duration // the next life of a worker: a busy machine must get on, too
	transient, pause          int           // failures in a hundred calls
}

// TestLawsUnderRandomFaults runs in real time; with the tag synctests many seeds run on a clock that jumps.
func TestLawsUnderRandomFaults(t *testing.T) {
	const keys, each = 30, 12
	w := newWorld(t, bustest.Start(t), 7)
	w.pace = pace{5 * time.Millisecond, 3 * time.Second, 100 * time.Millisecond, time.Second, 200 * time.Millisecond, 5, 0}
	w.run(keys, each, nil, bustest.Patience)
}

func newWorld(t *testing.T, broker *bustest.Broker, seed uint64) *world {
	return &world{
		t: t, broker: broker, random: rand.New(rand.NewPCG(seed, 1)), running: map[string]bool{}, next: map[string]int{}, calls: map[string]int{},
	}
}

// run lets three workers, restarted at random, work on the orders of a broken Kafka until all is committed.
func (w *world) run(keys, each int, options []kgo.Opt, patience time.Duration) {
	w.t.Helper()
	client := w.broker.Client()
	if err := bus.Produce(w.t.Context(), client, messages(mainTopic, keys, each)...); err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	var all sync.WaitGroup
	for slot := range 3 {
		all.Go(func() { w.worker(ctx, slot, options) })
	}
	all.Go(func() { w.trouble(ctx) })
	late, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := w.broker.Cluster.WaitGroupInfo(late, service, func(info *kfake.GroupInfo) bool {
		return committed(info) >= int64(keys*each)
	}); err != nil {
		w.t.Errorf("after %s only %d of %d are committed", patience, committed(w.broker.Cluster.GroupInfo(service)), keys*each)
	}
	stop(boot.ErrStopped)
	all.Wait()
	w.verify(keys, each)
}

// worker is a process that is stopped and started again, at random.
func (w *world) worker(ctx context.Context, slot int, options []kgo.Opt) {
	for lived := time.Duration(0); ctx.Err() == nil; lived++ {
		k := newWorker(w.broker, w.handle)
		k.Settings.LaneGap = 10
		if slot > 0 {
			k.Settings.Slot = strconv.Itoa(slot)
		}
		k.options = options
		life, end := context.WithTimeoutCause(ctx, w.upTo(w.pace.life)+lived*w.pace.longer, boot.ErrStopped)
		if err := k.Run(life); err != nil {
			w.t.Errorf("worker %d: %v", slot, err)
		}
		end()
		w.wait(ctx, w.pace.rest)
	}
}

// trouble makes Kafka fail at random.
func (w *world) trouble(ctx context.Context) {
	faults := []kfake.Fault{
		{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: mainTopic, Err: kerr.RebalanceInProgress, Count: 2},
		{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: mainTopic, Err: kerr.UnknownServerError, Count: 2},
		{Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.UnknownMemberID, Count: 1},
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 3},
		{Keys: []kmsg.Key{kmsg.Fetch}, Topic: mainTopic, Err: kerr.NotLeaderForPartition, Count: 3},
	}
	for ctx.Err() == nil {
		handle := w.broker.Cluster.Fault(faults[w.draw(len(faults))])
		w.wait(ctx, w.pace.trouble)
		handle.Remove()
	}
}

func committed(info *kfake.GroupInfo) (sum int64) {
	if info == nil {
		return 0
	}
	for _, commit := range info.Commits[mainTopic] {
		sum += commit.Offset
	}
	return sum
}

// verify checks that nothing is lost: every record had its effect, and its output or its letter stands in Kafka.
func (w *world) verify(keys, each int) {
	outputs := map[string]bool{}
	for _, m := range w.broker.Read(event.Deliveries) {
		outputs[m.Key+" "+string(m.Value)] = true
	}
	letters := w.broker.Read(event.DeadLetters(service))
	for _, m := range letters {
		if !bad(m) {
			w.t.Errorf("a letter about %s %s, which is not at fault", m.Key, m.Value)
		}
		attempts, err := strconv.Atoi(m.Header("dlq-attempts"))
		if calls := w.calls[m.Key+" "+string(m.Value)]; err != nil || attempts < 1 || attempts > calls {
			w.t.Errorf("a letter counts %d attempts (%v), its record was in %d calls", attempts, err, calls)
		}
	}
	if len(outputs) != keys*each-1 || len(letters) == 0 {
		w.t.Errorf("%d outputs, %d letters", len(outputs), len(letters))
	}
	for key, next := range w.next {
		if next != each {
			w.t.Errorf("order %s: %d effects", key, next)
		}
	}
	w.t.Logf("%d records, %d tries, %d effects", keys*each, w.tries, w.effects)
}
