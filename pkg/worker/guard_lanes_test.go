package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"orderflow/pkg/boot"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
)

// heldGauge reads the guard's gauge of one source.
func heldGauge(t *testing.T, p *boot.Process, source string) float64 {
	t.Helper()
	families, err := p.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if family.GetName() == "orderflow_dead_letter_guard_held" && label.GetName() == "source" && label.GetValue() == source {
					return m.GetGauge().GetValue()
				}
			}
		}
	}
	t.Fatalf("no gauge of %s", source)
	return 0
}

// checkHeld compares readiness and gauges with what should be held.
func checkHeld(t *testing.T, p *boot.Process, want ...string) {
	t.Helper()
	red := p.Health.Ready()
	delete(red, conditionGroup)
	for _, source := range want {
		if !strings.Contains(red[guardCondition(source)], "DEAD_LETTER_RATIO=1") || heldGauge(t, p, source) != 1 {
			t.Errorf("%s does not look held: ready %v", source, red)
		}
		delete(red, guardCondition(source))
	}
	if len(red) > 0 || len(want) == 0 && heldGauge(t, p, "icbu") != 0 {
		t.Errorf("red for no reason: %v", red)
	}
}

func mall(keys, each int) []event.Message {
	all := messages(mainTopic, keys, each)
	for i := range all {
		all[i].Key = strings.Replace(all[i].Key, "icbu:", "mall:", 1)
	}
	return all
}

// deploy is a handler that is bad for the live records of icbu until it is mended.
type deploy struct {
	mended atomic.Bool
	calls  atomic.Int64 // of live records of icbu
	fault  func() Result
	bad    func(event.Message) bool // beside the deploy: records that really are at fault
}

func refuse() Result {
	return Result{Answered: true, Err: Permanent(PartnerRejected, errors.New("no"))}
}

func (d *deploy) handle(b *bubble) Handler {
	if d.fault == nil {
		d.fault = refuse
	}
	return func(_ context.Context, in event.Message) Result {
		if in.Topic == mainTopic && strings.HasPrefix(in.Key, "icbu:") {
			d.calls.Add(1)
			if !d.mended.Load() {
				return d.fault()
			}
		}
		if d.bad != nil && d.bad(in) {
			return refuse()
		}
		return b.done(in)
	}
}

// checkNothingLost checks that every record had one effect or one letter, in the order of its key. A record that was done
// behind a gap is done once more by the next owner of its partition.
func (b *bubble) checkNothingLost(records, owners int) {
	b.t.Helper()
	letters := b.broker.Read(event.DeadLetters(service))
	seen := map[string]int{}
	for _, m := range letters {
		seen[m.Key+" "+string(m.Value)]++
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, values := range b.byKey {
		for i, value := range values {
			seen[key+" "+value]++
			if i > 0 && len(values[i-1]) == len(value) && values[i-1] >= value {
				b.t.Errorf("%s: effects %v", key, values)
			}
		}
	}
	for what, times := range seen {
		if times > owners {
			b.t.Errorf("%s ended %d times", what, times)
		}
	}
	if len(seen) != records {
		b.t.Errorf("%d records ended, wanted %d", len(seen), records)
	}
}

func TestBadDeployIsHeldBeforeItsLetters(t *testing.T) {
	d := &deploy{}
	inBubble(t, append(messages(mainTopic, 300, 2), mall(50, 4)...), d.handle, func(b *bubble) {
		b.sleep(10 * time.Second)
		letters := len(b.letters())
		if letters == 0 || letters > 49 || b.count() != 200 {
			t.Errorf("%d letters, %d effects of the other source", letters, b.count())
		}
		checkHeld(t, b.worker.Process, "icbu")
		before := d.calls.Load()
		b.send(event.Message{Topic: event.Replay(service), Key: "icbu:again", Value: []byte("0")})
		b.send(messages(mainTopic, 350, 1)...)
		b.send(mall(50, 1)...)
		b.sleep(30 * time.Second)
		if d.calls.Load() != before || b.count() != 251 {
			t.Errorf("%d calls while held, %d effects of replays and the other source", d.calls.Load()-before, b.count())
		}
		b.sleep(3 * time.Minute)
		if rounds := d.calls.Load() - before; rounds == 0 || rounds > 3*256 || len(b.letters()) != letters {
			t.Errorf("%d calls in three rounds, %d letters", rounds, len(b.letters()))
		}
		d.mended.Store(true)
		b.sleep(75 * time.Second)
		checkHeld(t, b.worker.Process)
		if len(b.letters()) != letters {
			t.Errorf("%d letters after the hold", len(b.letters()))
		}
		if total := 300*2 + 50*4 + 1 + 350 + 50; b.count()+letters != total {
			t.Errorf("%d effects and %d letters of %d records", b.count(), letters, total)
		}
		b.broker.WaitCommitted(service, mainTopic, 300*2+50*4+350+50)
	})
}

// threeOfTen are bad by their key's last digit.
func threeOfTen(m event.Message) bool { return strings.ContainsAny(m.Key[len(m.Key)-1:], "369") }

// slowToTake is the deploy of a partner that refuses a bad record at once and needs a moment to take any other.
func slowToTake(d *deploy, moment time.Duration) func(b *bubble) Handler {
	return func(b *bubble) Handler {
		handle := d.handle(b)
		return func(ctx context.Context, in event.Message) Result {
			if !d.bad(in) {
				time.Sleep(moment) //nolint:forbidigo // the bubble's clock jumps
			}
			return handle(ctx, in)
		}
	}
}

func TestTheFewThatStillFailGetTheirLettersAfterTheHold(t *testing.T) {
	d := &deploy{bad: threeOfTen}
	inBubble(t, messages(mainTopic, 400, 1), d.handle, func(b *bubble) {
		b.sleep(10 * time.Second)
		letters := len(b.letters())
		b.sleep(10 * time.Minute)
		d.mended.Store(true)
		b.sleep(70 * time.Second)
		checkHeld(t, b.worker.Process)
		if more := len(b.letters()) - letters; more < 85 || more > 120 {
			t.Errorf("%d letters after %d", more, letters)
		}
		for _, m := range b.broker.Read(event.DeadLetters(service)) {
			if letter, err := deadletter.Parse(m); err != nil || letter.Attempts != 1 {
				t.Errorf("%s: %d attempts are counted with those of the rounds, %v", m.Key, letter.Attempts, err)
			}
		}
		b.checkNothingLost(400, 1)
	})
}

// Three of ten are bad, and known to be so at once, while the partner needs a moment for the good ones: the first fifty
// verdicts are all bad. Those under way count, too, so nothing waits for a round, and nobody is alarmed.
func TestBadOnesThatEndFirstAreNoBadDeploy(t *testing.T) {
	d := &deploy{bad: threeOfTen}
	d.mended.Store(true)
	inBubble(t, nil, slowToTake(d, 300*time.Millisecond), func(b *bubble) {
		b.settle()
		b.send(messages(mainTopic, 4000, 1)...)
		for range 50 {
			b.sleep(200 * time.Millisecond)
			checkHeld(t, b.worker.Process)
		}
		if letters := len(b.letters()); letters != 1200 || b.count() != 2800 {
			t.Errorf("%d letters and %d effects after ten seconds", letters, b.count())
		}
		b.checkNothingLost(4000, 1)
	})
}

func TestRatioOneLetsAllThrough(t *testing.T) {
	inBubble(t, messages(mainTopic, 300, 1), func(b *bubble) Handler {
		b.change = func(w *Worker) { w.Settings.DeadLetterRatio = 1 }
		return (&deploy{}).handle(b)
	}, func(b *bubble) {
		b.sleep(10 * time.Second)
		if got := len(b.letters()); got != 300 {
			t.Errorf("%d letters", got)
		}
		checkHeld(t, b.worker.Process)
	})
}

// Panics of batches are pinned on their records, and then held like refusals.
func TestPanicsAreHeld(t *testing.T) {
	d := &deploy{fault: func() Result { panic("nil map") }}
	inBubble(t, messages(mainTopic, 200, 1), func(b *bubble) Handler {
		b.change = func(w *Worker) { w.MaxBatch, w.Linger = 20, 20*time.Millisecond }
		return d.handle(b)
	}, func(b *bubble) {
		b.sleep(3 * time.Minute)
		if got := len(b.letters()); got == 0 || got > 49 {
			t.Errorf("%d letters", got)
		}
		checkHeld(t, b.worker.Process, "icbu")
		d.mended.Store(true)
		b.sleep(time.Minute + 10*time.Second)
		checkHeld(t, b.worker.Process)
		b.checkNothingLost(200, 1)
	})
}

// A record whose handler hangs is not asked again while it hangs, and few that wait behind it: ten lost goroutines end a run.
func TestHangsAreHeld(t *testing.T) {
	var forever chan struct{}
	d := &deploy{fault: func() Result { <-forever; return refuse() }}
	inBubble(t, messages(mainTopic, 60, 1), func(b *bubble) Handler {
		forever = make(chan struct{})
		b.change = func(w *Worker) { w.Settings.DeadLetterMin, w.InFlight = 3, 2 }
		return d.handle(b)
	}, func(b *bubble) {
		b.sleep(time.Hour)
		if got := b.letters(); len(got) != 2 || d.calls.Load() >= maxHung {
			t.Errorf("letters %v after %d calls", got, d.calls.Load())
		}
		checkHeld(t, b.worker.Process, "icbu")
		d.mended.Store(true)
		close(forever)
		b.sleep(2 * time.Minute)
		checkHeld(t, b.worker.Process)
		b.checkNothingLost(60, 1)
	})
}

func TestExhaustedRecordsAreHeld(t *testing.T) {
	d := &deploy{fault: func() Result { return Result{Err: errors.New("500")} }}
	inBubble(t, nil, func(b *bubble) Handler {
		b.change = func(w *Worker) { w.Settings.DeadLetterMin = 2 }
		return d.handle(b)
	}, func(b *bubble) {
		b.send(messages(mainTopic, 4, 1)...)
		for i := range 1200 { // the other source's answers make the failures count
			b.send(event.Message{Topic: mainTopic, Key: fmt.Sprint("mall:", i), Value: []byte("0")})
			b.sleep(time.Second)
		}
		if got := b.letters(); len(got) != 1 || got[0] != string(RetriesExhausted) {
			t.Errorf("letters %v", got)
		}
		checkHeld(t, b.worker.Process, "icbu")
		d.mended.Store(true)
		b.sleep(2 * time.Minute)
		checkHeld(t, b.worker.Process)
		b.checkNothingLost(1204, 1)
	})
}

func TestStopWhileHeldIsQuick(t *testing.T) {
	var stopped time.Time
	d := &deploy{}
	inBubble(t, messages(mainTopic, 300, 2), d.handle, func(b *bubble) {
		b.sleep(10 * time.Second)
		checkHeld(t, b.worker.Process, "icbu")
		stopped = time.Now()
		b.end()
		if took := time.Since(stopped); took >= stopGrace {
			t.Errorf("stopped after %s", took)
		}
		if red := b.worker.Process.Health.Ready(); red[guardCondition("icbu")] != "" {
			t.Errorf("left behind: %v", red)
		}
	})
}
