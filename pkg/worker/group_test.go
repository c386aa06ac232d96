package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
)

// A dead letter or an output that Kafka refuses ends the run, with nothing committed past its record.
func TestRefusedWriteEndsTheRunUncommitted(t *testing.T) {
	for name, topic := range map[string]string{"letter": event.DeadLetters(service), "output": event.Deliveries} {
		t.Run(name, func(t *testing.T) {
			broker := bustest.Start(t)
			broker.Produce(messages(mainTopic, 1, 20)...)
			handle := func(_ context.Context, in event.Message) Result {
				switch {
				case string(in.Value) != "7":
					return Result{Answered: true}
				case name == "letter":
					return Result{Err: Permanent(PartnerRejected, errors.New("no"))}
				}
				return Result{Out: []event.Message{{Topic: topic, Key: in.Key}}}
			}
			fault := broker.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: -1})
			r := run(t, newWorker(broker, handle))
			<-r.done
			if !errors.Is(r.err, kerr.TopicAuthorizationFailed) {
				t.Errorf("Run: %v", r.err)
			}
			for partition, offset := range broker.Committed(service, mainTopic) {
				if offset > 7 {
					t.Errorf("partition %d is committed up to %d", partition, offset)
				}
			}
			fault.Remove()
			run(t, newWorker(broker, handle))
			broker.WaitCommitted(service, mainTopic, 20)
			if got := broker.Read(topic); len(got) != 1 {
				t.Errorf("%d records in %s", len(got), topic)
			}
		})
	}
}

func TestShutdownIsNoFailureOfARecord(t *testing.T) {
	broker := bustest.Start(t)
	broker.Produce(messages(mainTopic, 3, 1)...)
	began := make(chan struct{}, 3)
	w := newWorker(broker, func(ctx context.Context, in event.Message) Result {
		began <- struct{}{}
		if in.Key == "icbu:0" {
			return Result{Answered: true}
		}
		<-ctx.Done() // longer than the grace
		return Result{Err: ctx.Err()}
	})
	w.Timeout = time.Hour
	w.Settings.MaxAttempts = 1
	r := run(t, w)
	for range 3 {
		<-began
	}
	at := time.Now()
	if err := r.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(at); took < stopGrace {
		t.Errorf("stopped after %s, before the grace was over", took)
	}
	effects := newJournal()
	run(t, newWorker(broker, func(_ context.Context, in event.Message) Result { return effects.done(in) }))
	broker.WaitCommitted(service, mainTopic, 3)
	if got := broker.Read(event.DeadLetters(service)); len(got) > 0 || len(effects.byKey["icbu:1"]) != 1 || len(effects.byKey["icbu:2"]) != 1 {
		t.Errorf("letters %v, redelivered %v", got, effects.byKey)
	}
}

func TestStopLetsACallFinishAndCommitsIt(t *testing.T) {
	broker := bustest.Start(t)
	broker.Produce(messages(mainTopic, 1, 1)...)
	began, release := make(chan struct{}), make(chan struct{})
	r := run(t, newWorker(broker, func(ctx context.Context, in event.Message) Result {
		close(began)
		<-release
		return Result{Err: ctx.Err(), Out: []event.Message{{Topic: event.Deliveries, Key: in.Key}}}
	}))
	<-began
	go close(release)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	broker.WaitCommitted(service, mainTopic, 1)
	if got := broker.Read(event.Deliveries); len(got) != 1 {
		t.Errorf("%d outputs", len(got))
	}
}

// A replayed record passes the lane of its order, behind what is under way there.
func TestReplayPassesTheLaneOfItsOrder(t *testing.T) {
	broker := bustest.Start(t)
	broker.Produce(event.Message{Topic: mainTopic, Key: "icbu:1", Value: []byte("new")})
	began, release, effects := make(chan struct{}), make(chan struct{}), newJournal()
	run(t, newWorker(broker, func(_ context.Context, in event.Message) Result {
		if string(in.Value) == "new" {
			close(began)
			<-release
			return effects.done(in)
		}
		return Result{Err: Permanent(PartnerConflict, errors.New("again"))}
	}))
	<-began
	home := deadletter.Home(deadletter.Letter{
		Origin: event.Message{Topic: mainTopic, Partition: 2, Offset: 9, Key: "icbu:1", Value: []byte("old")}, Stage: service, Code: "x",
	}, "job", "letter")
	broker.Produce(home, event.Message{Topic: event.Replay(service), Key: "icbu:2"})
	first := broker.Wait(event.DeadLetters(service), 1)[0] // the replay of another order is not held up
	if first.Key != "icbu:2" || effects.count() != 0 {
		t.Fatalf("%s came first", first.Key)
	}
	close(release)
	for _, m := range broker.Wait(event.DeadLetters(service), 2) {
		letter, err := deadletter.Parse(m)
		if err != nil {
			t.Fatal(err)
		}
		if origin := letter.Origin; m.Key == "icbu:1" &&
			(effects.count() != 1 || origin.Topic != mainTopic || origin.Partition != 2 || origin.Offset != 9 || letter.Replays != 1) {
			t.Errorf("the replayed record's letter does not keep its first origin: %+v", letter)
		}
	}
}

func TestGapBeyondABlockedRecordIsBounded(t *testing.T) {
	broker := bustest.Start(t)
	broker.Produce(event.Message{Topic: mainTopic, Key: "icbu:0", Value: []byte("0")})
	blocked := broker.Read(mainTopic)[0].Partition
	broker.Produce(messages(mainTopic, 3000, 1)[1:]...)
	beyond, elsewhere := int64(0), int64(0)
	for _, m := range broker.Read(mainTopic) {
		if m.Partition != blocked {
			elsewhere++
		}
	}
	effects, release := newJournal(), make(chan struct{})
	w := newWorker(broker, func(_ context.Context, in event.Message) Result {
		if in.Key == "icbu:0" {
			<-release
		} else if in.Partition == blocked {
			atomic.AddInt64(&beyond, 1)
		}
		return effects.done(in)
	})
	w.Settings.LaneGap, w.Timeout = 50, time.Hour
	run(t, w)
	broker.WaitCommitted(service, mainTopic, elsewhere) // everybody else goes on to the end
	effects.wait(t, func() bool { return int64(effects.total) >= elsewhere+10 })
	if got := atomic.LoadInt64(&beyond); got > 50 {
		t.Errorf("%d records finished beyond the gap, LANE_GAP is 50", got)
	}
	close(release)
	broker.WaitCommitted(service, mainTopic, 3000)
	if effects.count() != 3000 {
		t.Errorf("%d effects", effects.count())
	}
}

func TestCommitsReachTheEndOfATransactionalTopic(t *testing.T) {
	broker := bustest.Start(t)
	broker.Produce(messages(received, 20, 1)...)
	runTransactions(t, newTransactions(broker, copied))
	run(t, newWorker(broker, func(context.Context, event.Message) Result { return Result{} }))
	broker.WaitCommitted("validate", received, 20)
	var sum int64
	after, err := kadm.NewClient(broker.Client()).ListEndOffsets(broker.Context(), mainTopic)
	if err != nil {
		t.Fatal(err)
	}
	after.Each(func(end kadm.ListedOffset) { sum += end.Offset })
	if sum <= 20 {
		t.Fatalf("%d records: no transaction markers", sum)
	}
	broker.WaitCommitted(service, mainTopic, sum)
}

func TestEqualSlotsOfLanesAreAClearError(t *testing.T) {
	broker := bustest.Start(t)
	start := func() *running {
		w := newWorker(broker, func(context.Context, event.Message) Result { return Result{} })
		w.Settings.Slot = "0"
		return run(t, w)
	}
	first := start()
	broker.Produce(messages(mainTopic, 5, 1)...)
	broker.WaitCommitted(service, mainTopic, 5)
	second := start()
	// Each is fenced once and comes back; the one that is fenced again ends, and the other one goes on.
	loser, winner := first, second
	select {
	case <-first.done:
	case <-second.done:
		loser, winner = second, first
	case <-time.After(bustest.Patience):
		t.Fatal("the two fence each other for ever")
	}
	if !errors.Is(loser.err, ErrSlotTaken) {
		t.Errorf("got %v", loser.err)
	}
	broker.Produce(messages(mainTopic, 5, 1)...)
	broker.WaitCommitted(service, mainTopic, 10)
	if err := winner.stop(); err != nil {
		t.Error(err)
	}
}

func TestSlotKeepsItsPartitionsAcrossARestart(t *testing.T) {
	broker := bustest.Start(t)
	start := func() *running {
		w := newWorker(broker, func(context.Context, event.Message) Result { return Result{} })
		w.Settings.Slot = "0"
		w.options = []kgo.Opt{kgo.SessionTimeout(bustest.Patience)} // a restart on a busy machine takes longer than ours
		return run(t, w)
	}
	first := start()
	broker.Produce(messages(mainTopic, 5, 1)...)
	broker.WaitCommitted(service, mainTopic, 5)
	before := broker.Cluster.GroupInfo(service)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	start()
	broker.Produce(messages(mainTopic, 5, 1)...)
	broker.WaitCommitted(service, mainTopic, 10)
	after := broker.Cluster.GroupInfo(service)
	if len(after.Members) != 1 || after.Epoch != before.Epoch {
		t.Errorf("the restart rebalanced the group: epoch %d, then %d with %d members", before.Epoch, after.Epoch, len(after.Members))
	}
}

// A member whose join was answered into the void is fenced by its next one: that is no second process.
func TestOneFenceIsForgiven(t *testing.T) {
	broker := bustest.Start(t)
	w := newWorker(broker, func(context.Context, event.Message) Result { return Result{} })
	w.Settings.Slot = "0"
	run(t, w)
	broker.Produce(messages(mainTopic, 5, 1)...)
	broker.WaitCommitted(service, mainTopic, 5)
	fault := broker.Cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Heartbeat}, TopLevel: true, Err: kerr.FencedInstanceID, Count: 1,
	})
	for late := time.Now().Add(bustest.Patience); fault.Hits() == 0; {
		if time.Now().After(late) {
			t.Fatal("no heartbeat came")
		}
		broker.Produce(messages(mainTopic, 1, 1)...)
	}
	all := int64(len(broker.Read(mainTopic)))
	broker.WaitCommitted(service, mainTopic, all)
}
