package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"orderflow/pkg/event"
)

// numbered are records of icbu with one value each, whose keys begin with that name.
func numbered(topic, name string, count int) (all []event.Message) {
	for i := range count {
		all = append(all, event.Message{Topic: topic, Key: fmt.Sprintf("icbu:%s%d", name, i), Value: []byte("0")})
	}
	return all
}

// oneByOne are records like numbered, of one key: they keep their order.
func oneByOne(name string, count int) (all []event.Message) {
	for i := range count {
		all = append(all, event.Message{Topic: received, Key: "icbu:one", Value: fmt.Append(nil, name, i)})
	}
	return all
}

func reallyBad(m event.Message) bool {
	return strings.HasPrefix(m.Key, "icbu:bad") || strings.HasPrefix(string(m.Value), "bad")
}

// onceEach checks that the records are so many, and none of them twice.
func onceEach(t *testing.T, what string, all []event.Message, want int, fits func(event.Message) bool) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range all {
		if at := m.Key + " " + string(m.Value); seen[at] || !fits(m) {
			t.Errorf("%s of %s", what, at)
		} else {
			seen[at] = true
		}
	}
	if len(all) != want {
		t.Errorf("%d of %s, wanted %d", len(all), what, want)
	}
}

func good(m event.Message) bool { return !reallyBad(m) }

// A sender's mistake is over, and good records wait behind it: the source goes on within a round.
func TestGoodRecordsBehindBadOnesEndAHoldOfTransactions(t *testing.T) {
	inBatches(t, nil, nil, func(b *batches) {
		b.bad = reallyBad
		b.mended.Store(true)
		b.send(append(oneByOne("good", 24), oneByOne("bad", 26)...)...)
		b.sleep(5 * time.Second)
		checkHeld(t, b.loop.Process, "icbu")
		before := len(b.broker.Read(event.DeadLetters("validate"))) // some, if the records came in several batches
		b.send(messages(received, 20, 5)...)
		b.sleep(30 * time.Second)
		if got := len(b.broker.Read(event.DeadLetters("validate"))); got != before || got > 25 {
			t.Errorf("%d letters, %d before", got, before)
		}
		b.sleep(35 * time.Second)
		checkHeld(t, b.loop.Process)
		onceEach(t, "outputs", b.broker.Read(mainTopic), 124, good)
		onceEach(t, "letters", b.broker.Read(event.DeadLetters("validate")), 26, reallyBad)
		b.broker.WaitCommitted("validate", received, 150)
		b.sleep(5 * time.Minute)
		checkHeld(t, b.loop.Process)
	})
}

// Nothing that fails as a whole ends a hold, whatever else comes; a few bad records wait for newer good ones.
func TestAHoldOfTransactionsLastsWhileTooManyFail(t *testing.T) {
	inBatches(t, nil, nil, func(b *batches) {
		b.bad = reallyBad
		b.mended.Store(true)
		b.send(oneByOne("bad", 49)...)
		b.sleep(5 * time.Second)
		b.check(0, 0, 49)
		b.send(event.Message{Topic: received, Key: "icbu:one", Value: []byte("bad 50")})
		for i := range 20 {
			b.send(numbered(received, fmt.Sprint("bad ", i, " "), 10)...)
			b.send(mallPushes(10, 1)...)
			b.sleep(50 * time.Second)
			checkHeld(t, b.loop.Process, "icbu")
		}
		b.check(0, 200, 49)
		b.send(numbered(received, "good", 200)...)
		b.sleep(5 * time.Minute)
		checkHeld(t, b.loop.Process, "icbu") // 201 of 401
		b.check(0, 200, 49)
		b.send(numbered(received, "too", 1)...)
		b.sleep(65 * time.Second)
		checkHeld(t, b.loop.Process)
		b.check(201, 200, 250)
	})
}

// While one source is held another one begins its own hold; each goes on when its records pass.
func TestSeveralHoldsOfTransactions(t *testing.T) {
	inBatches(t, nil, backlog(), func(b *batches) {
		b.bad = func(m event.Message) bool { return m.Topic == receivedMall && string(m.Value) == "0" }
		b.sleep(20 * time.Second)
		b.send(mallPushes(100, 1)...)
		b.sleep(20 * time.Second)
		checkHeld(t, b.loop.Process, "icbu", "mall")
		b.mended.Store(true)
		b.sleep(30 * time.Second)
		checkHeld(t, b.loop.Process, "mall")
		if got := len(b.broker.Read(event.DeadLetters("validate"))); got > 49 {
			t.Errorf("%d letters", got)
		}
		b.send(mallPushes(100, 3)[100:]...)
		b.sleep(70 * time.Second)
		checkHeld(t, b.loop.Process)
		b.check(600, 200, 100)
	})
}

// A round in which nothing comes decides nothing, and costs nothing; what comes later is judged by a later one.
func TestARoundWithoutRecordsKeepsTheHold(t *testing.T) {
	inBatches(t, nil, oneByOne("bad", 60), func(b *batches) {
		b.bad = reallyBad
		b.mended.Store(true)
		b.sleep(10 * time.Second)
		checkHeld(t, b.loop.Process, "icbu")
		admin := kadm.NewClient(b.client)
		ends, err := admin.ListEndOffsets(b.t.Context(), received)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := admin.DeleteRecords(b.t.Context(), ends.Offsets()); err != nil {
			t.Fatal(err)
		}
		b.sleep(time.Hour)
		checkHeld(t, b.loop.Process, "icbu")
		b.send(numbered(received, "good", 3)...)
		b.sleep(70 * time.Second)
		checkHeld(t, b.loop.Process)
		b.check(3, 0, 0)
	})
}

// Brokers do not answer all at once: a round's batch is what comes within a short while, not the first answer.
func TestARoundGathersWhatComes(t *testing.T) {
	inBatches(t, func(w *Transactions) { w.Settings.DeadLetterMin = 1 }, nil, func(b *batches) {
		b.bad = reallyBad
		b.mended.Store(true)
		b.sleep(5 * time.Second)
		b.send(oneByOne("bad", 1)...)
		b.sleep(guardRound + roundGather - 100*time.Millisecond)
		checkHeld(t, b.loop.Process, "icbu")
		b.send(numbered(received, "good", 1)...)
		b.sleep(5 * time.Second)
		checkHeld(t, b.loop.Process)
		b.check(1, 0, 1)
	})
}

func TestGoodRecordsBehindBadOnesEndAHoldOfLanes(t *testing.T) {
	for name, bad := range map[string]int{"the last of them held": 26, "many held at once": 100} {
		t.Run(name, func(t *testing.T) {
			d := &deploy{bad: reallyBad}
			d.mended.Store(true)
			inBubble(t, numbered(mainTopic, "first", 24), together(d, bad), func(b *bubble) {
				b.sleep(5 * time.Second)
				b.send(numbered(mainTopic, "bad", bad)...)
				b.sleep(5 * time.Second)
				checkHeld(t, b.worker.Process, "icbu")
				if got := len(b.letters()); got != 25 {
					t.Errorf("%d letters before the hold", got)
				}
				b.send(numbered(mainTopic, "good", 1000)...)
				b.sleep(30 * time.Second)
				if b.count() != 24 {
					t.Errorf("%d effects in the hold", b.count())
				}
				b.sleep(35 * time.Second)
				checkHeld(t, b.worker.Process)
				onceEach(t, "letters", b.broker.Read(event.DeadLetters(service)), bad, reallyBad)
				b.checkNothingLost(1024+bad, 1)
				b.broker.WaitCommitted(service, mainTopic, int64(1024+bad))
			})
		})
	}
}

// together answers no bad record before so many of them were asked about: all of them have failed when the hold begins. One
// that came later would be among those that its first round tries.
func together(d *deploy, bad int) func(b *bubble) Handler {
	return func(b *bubble) Handler {
		handle, all, asked := d.handle(b), make(chan struct{}), atomic.Int64{}
		return func(ctx context.Context, in event.Message) Result {
			if reallyBad(in) {
				if asked.Add(1) == int64(bad) {
					close(all)
				}
				<-all
			}
			return handle(ctx, in)
		}
	}
}

// Bad records that had not failed yet when the hold began take up its first rounds: a part of a window each, the oldest
// first. The good ones behind them have their turn then.
func TestAHoldOfLanesTriesWhatWaitsBitByBit(t *testing.T) {
	d := &deploy{bad: reallyBad}
	d.mended.Store(true)
	inBubble(t, numbered(mainTopic, "first", 24), func(b *bubble) Handler {
		b.change = func(w *Worker) { w.InFlight = 1 }
		return d.handle(b)
	}, func(b *bubble) {
		b.sleep(5 * time.Second)
		b.send(numbered(mainTopic, "bad", 100)...)
		b.sleep(5 * time.Second)
		b.send(numbered(mainTopic, "good", 1000)...)
		b.sleep(30 * time.Second)
		checkHeld(t, b.worker.Process, "icbu")
		b.sleep(5 * time.Minute)
		checkHeld(t, b.worker.Process)
		onceEach(t, "letters", b.broker.Read(event.DeadLetters(service)), 100, reallyBad)
		b.checkNothingLost(1124, 1)
		b.broker.WaitCommitted(service, mainTopic, 1124)
	})
}

// A round asks about no more than a window of records, bad ones and such as wait behind them; and if they fail it goes on
// for ever without a letter.
func TestAHoldOfLanesLastsWhileAllFail(t *testing.T) {
	d := &deploy{}
	inBubble(t, numbered(mainTopic, "", 400), d.handle, func(b *bubble) {
		b.sleep(10 * time.Second)
		letters, calls := len(b.letters()), d.calls.Load()
		for range 30 {
			b.send(mall(5, 1)...)
			b.sleep(time.Minute)
			if asked := d.calls.Load() - calls; asked == 0 || asked > 50 {
				t.Errorf("%d calls in a round", asked)
			}
			calls = d.calls.Load()
			checkHeld(t, b.worker.Process, "icbu")
		}
		if got := len(b.letters()); got != letters || b.count() != 150 {
			t.Errorf("%d letters after %d, %d effects", got, letters, b.count())
		}
		d.mended.Store(true)
		b.sleep(70 * time.Second)
		checkHeld(t, b.worker.Process)
		if got := len(b.letters()); got != letters {
			t.Errorf("%d letters after %d", got, letters)
		}
		b.checkEach(400 - letters)
	})
}

// checkEach checks that so many records of icbu had their effect, once each.
func (b *bubble) checkEach(want int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	got := 0
	for _, key := range slices.Sorted(maps.Keys(b.byKey)) {
		if strings.HasPrefix(key, "icbu:") {
			got++
			if len(b.byKey[key]) != 1 {
				b.t.Errorf("%s: %d effects", key, len(b.byKey[key]))
			}
		}
	}
	if got != want {
		b.t.Errorf("%d records had an effect, wanted %d", got, want)
	}
}
