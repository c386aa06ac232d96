package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/boot"
	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

var received = event.Received(order.ICBU)

func newTransactions(broker *bustest.Broker, transform Transform) *Transactions {
	return &Transactions{
		Service: "validate", Topics: []string{received}, Transform: transform, Bus: broker.Settings, Process: process(),
	}
}

func copied(in event.Message) ([]event.Message, error) {
	return []event.Message{{Topic: mainTopic, Key: in.Key, Value: in.Value, Headers: in.Headers}}, nil
}

func runTransactions(t testing.TB, w *Transactions) *running {
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

// onceInOrder checks that every key's values 0, 1, 2... came exactly once and in order.
func onceInOrder(t testing.TB, all []event.Message, keys, each int) {
	t.Helper()
	byKey := map[string]int{}
	for _, m := range all {
		if want := fmt.Sprint(byKey[m.Key]); string(m.Value) != want {
			t.Fatalf("%s: got %s, wanted %s", m.Key, m.Value, want)
		}
		byKey[m.Key]++
	}
	if len(byKey) != keys {
		t.Errorf("%d keys, wanted %d", len(byKey), keys)
	}
	for key, count := range byKey {
		if count != each {
			t.Errorf("%s: %d records, wanted %d", key, count, each)
		}
	}
}

func TestTransactionsCarryOutputsLettersAndOffsetsTogether(t *testing.T) {
	broker := bustest.Start(t)
	broker.Produce(messages(received, 30, 10)...)
	w := newTransactions(broker, func(in event.Message) ([]event.Message, error) {
		switch {
		case in.Key == "icbu:5" && string(in.Value) == "9":
			panic("a value that must not be kept")
		case in.Key == "icbu:6" && string(in.Value) == "9":
			return nil, &PermanentError{Code: "bad_amount", Path: "/amount"}
		}
		return copied(in)
	})
	w.Stamp = func(m event.Message) event.Message {
		m.SetHeader(event.HeaderRevision, fmt.Sprint(m.Offset+1))
		return m
	}
	r := runTransactions(t, w)
	letters := broker.Wait(event.DeadLetters("validate"), 2)
	broker.WaitCommitted("validate", received, 300)
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if got := broker.Read(mainTopic); len(got) != 298 {
		t.Errorf("%d outputs", len(got))
	}
	codes := map[string]string{}
	for _, m := range letters {
		letter, err := deadletter.Parse(m)
		if err != nil {
			t.Fatal(err)
		}
		codes[m.Key] = letter.Code + letter.Path
		if letter.Origin.Header(event.HeaderRevision) != fmt.Sprint(letter.Origin.Offset+1) || letter.Origin.Topic != received {
			t.Errorf("the letter lost its stamp or its origin: %+v", letter)
		}
	}
	if codes["icbu:5"] != "panic" || codes["icbu:6"] != "bad_amount/amount" {
		t.Errorf("letters %v", codes)
	}
}

func TestReplayedRecordIsNotStampedAndKeepsItsOrigin(t *testing.T) {
	broker := bustest.Start(t)
	first := deadletter.Letter{
		Origin: event.Message{Topic: received, Partition: 3, Offset: 77, Key: "icbu:1", Value: []byte("0")}, Stage: "validate",
		Code: "bad_amount", Replays: 1,
	}
	broker.Produce(deadletter.Home(first, "job", "letter"))
	w := newTransactions(broker, func(event.Message) ([]event.Message, error) {
		return nil, &PermanentError{Code: "bad_time"}
	})
	w.Stamp = func(m event.Message) event.Message { panic("a replayed record must not be stamped") }
	runTransactions(t, w)
	again, err := deadletter.Parse(broker.Wait(event.DeadLetters("validate"), 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	if again.Origin.Topic != received || again.Origin.Partition != 3 || again.Origin.Offset != 77 || again.Replays != 2 || again.Code != "bad_time" {
		t.Errorf("letter %+v", again)
	}
}

func TestTransactionsKilledInTheMiddleStayExactlyOnce(t *testing.T) {
	broker := bustest.Start(t)
	const keys, each = 40, 100
	all := messages(received, keys, each)
	for round := range 5 {
		part := len(all) / 5
		broker.Produce(all[round*part : (round+1)*part]...)
		seen := make(chan struct{}, 1)
		w := newTransactions(broker, func(in event.Message) ([]event.Message, error) {
			select {
			case seen <- struct{}{}:
			default:
			}
			return copied(in)
		})
		r := runTransactions(t, w)
		<-seen // a transaction is open
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	runTransactions(t, newTransactions(broker, copied))
	broker.WaitCommitted("validate", received, keys*each)
	onceInOrder(t, broker.Read(mainTopic), keys, each)
}

func TestTransactionsOfTwoWorkersStayExactlyOnce(t *testing.T) {
	broker := bustest.Start(t)
	const keys, each = 40, 50
	all := messages(received, keys, each)
	broker.Produce(all[:len(all)/2]...)
	first := runTransactions(t, newTransactions(broker, copied))
	broker.WaitMembers("validate", 1)
	runTransactions(t, newTransactions(broker, copied))
	broker.Produce(all[len(all)/2:]...)
	broker.WaitMembers("validate", 2)
	if err := first.stop(); err != nil {
		t.Error(err)
	}
	broker.WaitCommitted("validate", received, keys*each)
	onceInOrder(t, broker.Read(mainTopic), keys, each)
}

func TestTransactionsGiveABatchBackWhenTheWorldIsNotReady(t *testing.T) {
	broker := bustest.Start(t)
	broker.Produce(messages(received, 10, 3)...)
	var calls atomic.Int32
	w := newTransactions(broker, func(in event.Message) ([]event.Message, error) {
		if calls.Add(1) <= 3 {
			return nil, errors.New("not ready")
		}
		return copied(in)
	})
	runTransactions(t, w)
	broker.WaitCommitted("validate", received, 30)
	onceInOrder(t, broker.Read(mainTopic), 10, 3)
	if got := broker.Read(event.DeadLetters("validate")); len(got) != 0 {
		t.Errorf("letters %v", got)
	}
}

func TestTransactionsOutliveErrorsOfKafka(t *testing.T) {
	for name, fault := range map[string]kfake.Fault{
		"fenced producer":       {Keys: []kmsg.Key{kmsg.Produce}, Topic: mainTopic, Err: kerr.InvalidProducerEpoch, Count: 2},
		"invalid state":         {Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: kerr.InvalidTxnState, Count: 2},
		"fenced at the end":     {Keys: []kmsg.Key{kmsg.EndTxn}, TopLevel: true, Err: kerr.ProducerFenced, Count: 1},
		"refused offset commit": {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Topic: received, Err: kerr.IllegalGeneration, Count: 1},
		"refused letter":        {Keys: []kmsg.Key{kmsg.Produce}, Topic: event.DeadLetters("validate"), Err: kerr.TopicAuthorizationFailed, Count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			broker := bustest.Start(t)
			broker.Produce(messages(received, 10, 4)...)
			handle := broker.Cluster.Fault(fault)
			runTransactions(t, newTransactions(broker, func(in event.Message) ([]event.Message, error) {
				if in.Key == "icbu:3" {
					return nil, &PermanentError{Code: "bad_time"}
				}
				return copied(in)
			}))
			broker.WaitCommitted("validate", received, 40)
			onceInOrder(t, broker.Read(mainTopic), 9, 4)
			if got := broker.Read(event.DeadLetters("validate")); len(got) != 4 {
				t.Errorf("%d letters, wanted 4", len(got))
			}
			if handle.Hits() == 0 {
				t.Error("the fault never struck")
			}
		})
	}
}

func TestEqualSlotsAreAClearError(t *testing.T) {
	broker := bustest.Start(t)
	start := func() *running {
		w := newTransactions(broker, copied)
		w.Settings.Slot = "0"
		return runTransactions(t, w)
	}
	first := start()
	broker.WaitMembers("validate", 1)
	broker.Produce(messages(received, 5, 1)...)
	broker.WaitCommitted("validate", received, 5)
	second := start()
	// While records flow, the first learns that its producer is fenced before it learns that its slot is taken.
	for !ended(first) && !ended(second) {
		broker.Produce(messages(received, 5, 1)...)
	}
	// Mostly the first one ends. It may also come back to the group before it has heard, and then it is the second's turn.
	loser, winner := first, second
	if ended(second) {
		loser, winner = second, first
	}
	<-loser.done
	if !errors.Is(loser.err, ErrSlotTaken) || !strings.Contains(loser.err.Error(), "WORKER_SLOT") {
		t.Errorf("got %v", loser.err)
	}
	if ended(winner) {
		t.Errorf("the one that has the slot ended, too: %v", winner.err)
	}
	all := int64(len(broker.Read(received)))
	broker.WaitCommitted("validate", received, all)
	if got := int64(len(broker.Read(mainTopic))); got != all {
		t.Errorf("%d outputs of %d records", got, all)
	}
}

func ended(r *running) bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}
