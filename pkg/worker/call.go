package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
)

// call is a batch in the handler's hands, and then its outputs and letters on their way to Kafka.
type call struct {
	records     []*record
	cancel      context.CancelFunc
	started     time.Time
	deadline    time.Time // when the handler should be back
	giveUp      time.Time // when it is taken for hung; zero before the deadline was seen to pass
	probe       bool
	interrupted bool // cancelled by us, for its partition is lost
	settling    bool // the handler is back
	forsaken    bool // taken for hung; whatever comes of it is too late
}

// errInterrupted is the cause of a call's end when its partitions went to another worker.
var errInterrupted = errors.New("partition taken away")

func (l *loop) start(records []*record, probe bool, now time.Time) {
	if slices.ContainsFunc(records, func(r *record) bool { return r.hanging }) { // asked again after a hold, it would hang twice
		c := &call{records: records, settling: true}
		l.calls[c] = struct{}{}
		l.blame(c, hung(l.Timeout), now)
		return
	}
	ctx, cancel := context.WithCancelCause(l.work)
	timed, cancelTimed := context.WithTimeout(ctx, l.Timeout)
	c := &call{
		records: records, probe: probe, started: now, deadline: now.Add(l.Timeout),
		cancel: func() { cancel(errInterrupted); cancelTimed() },
	}
	l.calls[c] = struct{}{}
	l.policy.gate.probing = l.policy.gate.probing || probe
	if l.overdue.IsZero() {
		l.overdue = c.deadline
	}
	messages := make([]event.Message, len(records))
	for i, r := range records {
		messages[i] = r.message
		if r.tries == 0 {
			r.seen = l.policy.evidence.count
		}
	}
	go func() {
		results, crash := l.invoke(timed, messages)
		l.do(func() { l.called(c, results, crash, time.Now()) })
	}()
}

// invoke runs the handler. A panic becomes a fault; its stack goes to the log, its value nowhere.
func (l *loop) invoke(ctx context.Context, in []event.Message) (results []Result, crash *fault) {
	defer func() {
		if value := recover(); value != nil {
			crash = panicked(value)
			l.log.Error("handler panicked", zap.String("code", string(PanicCode)), zap.ByteString("stack", debug.Stack()))
		}
	}()
	results = l.Handle(ctx, in)
	if len(results) != len(in) {
		err := fmt.Errorf("handler gave %d results for %d messages", len(results), len(in))
		results = make([]Result, len(in))
		for i := range results {
			results[i].Err = err
		}
	}
	return results, nil
}

// called takes a handler's results: done, dead letter or another try, record by record.
func (l *loop) called(c *call, results []Result, crash *fault, now time.Time) {
	if c.forsaken {
		l.hung--
		c.records[0].hanging = false
		return
	}
	c.settling = true
	c.cancel()
	l.metrics.attempt.Observe(now.Sub(c.started).Seconds())
	if crash != nil {
		l.endProbe(c, now)
		l.blame(c, crash, now)
		return
	}
	l.tell(c, results, now)
	l.endProbe(c, now)
	if c.probe && !slices.ContainsFunc(results, func(r Result) bool { return !r.NoCall }) {
		l.policy.gate.nextProbe = now // it asked nothing: on to the next order
	}
	settled := settlement{}
	var again []retry
	spread, shared := jitter(time.Second).Seconds(), sharedFailure(results)
	for i, r := range c.records {
		err := results[i].Err
		if r.part.gone || err != nil && l.interrupted(c) {
			l.lanes.retry(r, now, now) // no verdict: another worker, or this one, tries again
			continue
		}
		before := r.history
		switch d := l.policy.judge(r, err, shared, spread, now); {
		case l.withhold(r, d, now):
			r.tries, r.counted = before.tries, before.counted
			l.metrics.record(r.message.Topic, outcomeRetry)
		case d.again:
			l.metrics.record(r.message.Topic, outcomeRetry)
			again = append(again, retry{r, d.due})
		case d.fault != nil:
			settled.add(l, r, d.fault, results[i].Out)
		default:
			settled.add(l, r, nil, results[i].Out)
		}
	}
	l.retryAll(again, shared, now)
	l.settle(c, settled, now)
}

// interrupted tells whether a call was cut short by us: its errors then say nothing.
func (l *loop) interrupted(c *call) bool { return c.interrupted || l.work.Err() != nil }

// tell lets the results work on the gate, and logs what changed.
func (l *loop) tell(c *call, results []Result, now time.Time) {
	if l.interrupted(c) {
		return
	}
	news := l.policy.observe(c.records, results, now)
	for i, result := range results {
		if result.Err != nil && c.records[i].part != nil {
			level := zap.WarnLevel
			if errors.Is(result.Err, ErrBusy) {
				level = zap.DebugLevel // another worker is at it: nothing failed
			}
			l.log.Log(level, "attempt failed", append(where(c.records[i]), zap.Int("attempt", c.records[i].tries+1),
				zap.Int("records", len(results)), zap.Duration("took", now.Sub(c.started)), zap.Error(result.Err))...)
			break // one line a call: the others failed beside it
		}
	}
	if !news.pausedUntil.IsZero() {
		l.log.Warn("partner asks to wait", zap.Time("until", news.pausedUntil))
	}
	if news.misconfigured != nil {
		l.Process.Health.Set(conditionConfig, news.misconfigured)
	}
	if news.opened {
		l.log.Warn("breaker opened: several orders failed in a row")
	}
	if news.freed {
		l.log.Info("answers again: breaker closed, configuration good")
		l.Process.Health.Set(conditionConfig, nil)
		l.lanes.hasten(now)
	}
}

func (l *loop) endProbe(c *call, now time.Time) {
	if !c.probe {
		return
	}
	l.policy.gate.probing = false
	if !l.policy.gate.free() {
		l.policy.gate.probed(now)
	}
}

// blame finds the culprit of a panic or a hang: a record that ran by itself is it; the members of a batch run again, each
// by itself.
func (l *loop) blame(c *call, f *fault, now time.Time) {
	settled := settlement{}
	for _, r := range c.records {
		switch {
		case r.part.gone:
			l.lanes.retry(r, now, now)
		case len(c.records) > 1:
			l.lanes.cohorts++
			r.cohort = l.lanes.cohorts
			l.lanes.retry(r, now, now)
		case l.withhold(r, decision{fault: f}, now):
			l.metrics.record(r.message.Topic, outcomeRetry)
		default:
			r.tries++
			r.last = now
			if r.first.IsZero() {
				r.first = now
			}
			settled.add(l, r, f, nil)
		}
	}
	l.settle(c, settled, now)
}

// checkOverdue looks for handlers that ignore the end of their time. A process that was frozen wakes up with every timer
// due at once, so a handler gets its grace from when the loop saw the deadline pass, and again if the loop itself was late.
func (l *loop) checkOverdue(now time.Time) {
	if l.overdue.IsZero() || now.Before(l.overdue) {
		return
	}
	l.overdue = time.Time{}
	for c := range l.calls {
		if c.settling {
			continue
		}
		switch {
		case c.giveUp.IsZero() && now.Before(c.deadline):
			l.overdue = earlier(l.overdue, c.deadline)
			continue
		case c.giveUp.IsZero() || now.Sub(c.giveUp) > time.Second:
			c.giveUp = now.Add(hangGrace)
		case !now.Before(c.giveUp):
			l.forsake(c, now)
			continue
		}
		l.overdue = earlier(l.overdue, c.giveUp)
	}
}

// forsake gives up on a handler that does not come back. Its goroutine is lost; too many of them end the run.
func (l *loop) forsake(c *call, now time.Time) {
	c.forsaken = true
	c.settling = true
	l.log.Error("handler hangs", append(where(c.records[0]), zap.Int("records", len(c.records)), zap.String("code", string(DeadlineCode)))...)
	if l.hung++; l.hung >= maxHung {
		l.stop(fmt.Errorf("%d handlers hang", l.hung))
	}
	l.endProbe(c, now)
	c.records[0].hanging = len(c.records) == 1
	l.blame(c, hung(l.Timeout), now)
}

// settlement is what a call's finished records leave to be written.
type settlement struct {
	records []*record
	faults  []*fault // nil beside a record that is simply done
	out     []event.Message
}

// add takes a finished record with its outputs and, if it has a fault, its letter.
func (s *settlement) add(l *loop, r *record, f *fault, out []event.Message) {
	s.records = append(s.records, r)
	s.faults = append(s.faults, f)
	s.out = append(s.out, out...)
	if f != nil {
		s.out = append(s.out, letter(l.Service, l.Process.Version, r.message, f, r.tries, r.first, r.last))
	}
}

// settle writes outputs and letters, and lets their records finish only when Kafka has acknowledged all of them.
func (l *loop) settle(c *call, s settlement, now time.Time) {
	if len(s.out) == 0 {
		l.settled(c, s, now)
		return
	}
	if commitBeforeAck {
		l.settled(c, s, now)
		go func() { _ = bus.Produce(l.work, l.client, s.out...) }()
		return
	}
	go func() {
		err := bus.Produce(l.work, l.client, s.out...)
		l.do(func() {
			if err != nil {
				l.unsettled(c, s, err)
				return
			}
			l.settled(c, s, time.Now())
		})
	}()
}

func (l *loop) settled(c *call, s settlement, now time.Time) {
	for i, r := range s.records {
		topic := r.message.Topic
		if f := s.faults[i]; f != nil {
			l.log.Warn("dead letter", append(where(r), zap.Int("attempt", r.tries), zap.String("code", string(f.code)))...)
			l.metrics.letter(f.code)
			l.metrics.record(topic, outcomeDeadLetter)
		} else {
			l.metrics.record(topic, outcomeDone)
		}
		l.lanes.finish(r, now)
	}
	delete(l.calls, c)
}

// unsettled ends the run: the records stay unfinished and come again, to this or another worker.
func (l *loop) unsettled(c *call, s settlement, err error) {
	delete(l.calls, c)
	for _, r := range s.records {
		r.part.running--
	}
	if l.work.Err() == nil {
		l.stop(fmt.Errorf("write results: %w", err))
	}
}

func where(r *record) []zap.Field {
	return []zap.Field{
		zap.String("order_key", r.message.Key), zap.String("topic", r.message.Topic),
		zap.Int32("partition", r.message.Partition), zap.Int64("offset", r.message.Offset),
	}
}
