package worker

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/event"
)

// Figures of a round of a loop with transactions.
const (
	roundLength = 5 * time.Second // how long a held source's topics are fetched for a record to judge
	roundGather = 2 * fetchWait   // how long a round's batch may grow
)

// heldTopics are fetched in rounds only. The records of a held source are not kept: a round reads again what waits by then.
type heldTopics struct {
	topics map[string]bool
	until  time.Time // end of the round under way; zero: none
}

// passage is where the records lay that ended a hold. They are judged no more: a cluster of bad ones among them would begin
// the same hold again.
type passage struct {
	source string
	place
}

// weigh ends the holds that the batch lets pass, and tries its verdicts on a copy of the guard, which counts once the batch
// is committed. It gives the sources whose records must wait: those that are held, and those that the batch trips. Nothing
// of the batch is written yet, so a bad deploy that finds a backlog writes no letter.
func (t *transactions) weigh(client *kgo.Client, results []transformed, now time.Time) (after guard, stopped map[string]bool) {
	t.judgeHeld(client, results, now)
	after, stopped = t.guard.clone(), map[string]bool{}
	for _, result := range results {
		source := guardedSource(t.Service, result.in)
		if source == "" || t.passed(source, result.in) && !after.held(source) {
			continue
		}
		if !after.held(source) && after.fold(source, result.fault != nil) {
			failed, total := after.count(source)
			showHold(t.Process, t.metrics, after.heldError(source, failed, total))
			after.hold(source, now)
		}
		if after.held(source) {
			stopped[source] = true
		}
	}
	return after, stopped
}

func (t *transactions) passed(source string, m event.Message) bool {
	last, known := t.passages[passage{source, place{m.Topic, m.Partition}}]
	return known && m.Offset <= last
}

// judgeHeld takes what a batch holds of a held source as its round: as a whole, before anything of it is written. A batch
// without a record of the source decides nothing.
func (t *transactions) judgeHeld(client *kgo.Client, results []transformed, now time.Time) {
	for source, h := range t.held {
		failed, total, reached := 0, 0, map[passage]int64{}
		for _, result := range results {
			if guardedSource(t.Service, result.in) != source {
				continue
			}
			total++
			if result.fault != nil {
				failed++
			}
			at := passage{source, place{result.in.Topic, result.in.Partition}}
			reached[at] = max(reached[at], result.in.Offset)
		}
		switch {
		case total == 0:
		case t.guard.passes(failed, total):
			t.guard.release(source)
			maps.Copy(t.passages, reached)
			delete(t.held, source)
			t.fetchUnheld(client)
			showGoOn(t.Process, t.metrics, source, failed, total)
		default:
			t.guard.hold(source, now) // the next round is a minute from now
			h.until = time.Time{}
		}
	}
}

// giveBack returns a batch that holds records of stopped sources, and stops fetching their topics. The other records come
// again at once.
func (t *transactions) giveBack(ctx context.Context, session *kgo.GroupTransactSession, results []transformed, after guard, stopped map[string]bool) error {
	for source := range stopped {
		if t.held[source] == nil {
			t.held[source] = &heldTopics{topics: map[string]bool{}}
			t.guard.holds[source], t.guard.windows[source] = after.holds[source], after.windows[source]
		}
	}
	for _, result := range results {
		if source := guardedSource(t.Service, result.in); stopped[source] {
			t.held[source].topics[result.in.Topic] = true
		}
	}
	t.fetchUnheld(session.Client())
	t.log.Info("batch given back, for it holds records of a held source", zap.Int("records", len(results)))
	if _, err := session.End(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("abort transaction: %w", err)
	}
	return nil
}

// fetchUnheld pauses the topics of the holds, except in a round, and fetches all others.
func (t *transactions) fetchUnheld(client *kgo.Client) {
	judged, paused := map[string]bool{}, map[string]bool{}
	for _, h := range t.held {
		if !h.until.IsZero() {
			maps.Copy(judged, h.topics)
		} else {
			maps.Copy(paused, h.topics)
		}
	}
	for _, topic := range t.Topics {
		if paused[topic] && !judged[topic] {
			client.PauseFetchTopics(topic)
		} else {
			client.ResumeFetchTopics(topic)
		}
	}
}

// poll reads a batch, but not beyond the next round of a held source, or the end of one.
func (t *transactions) poll(ctx context.Context, session *kgo.GroupTransactSession) kgo.Fetches {
	wake, judging := t.rounds(session.Client(), time.Now())
	if wake.IsZero() {
		return session.PollRecords(ctx, transactionRecords)
	}
	until, cancel := context.WithDeadline(ctx, wake)
	defer cancel()
	fetches := session.PollRecords(until, transactionRecords)
	if judging && fetches.NumRecords() > 0 {
		return gather(ctx, session, fetches)
	}
	return fetches
}

// gather reads on for a short while, so that the first broker's answer does not decide alone.
func gather(ctx context.Context, session *kgo.GroupTransactSession, fetches kgo.Fetches) kgo.Fetches {
	ctx, cancel := context.WithTimeout(ctx, roundGather)
	defer cancel()
	for ctx.Err() == nil && fetches.NumRecords() < transactionRecords {
		fetches = append(fetches, session.PollRecords(ctx, transactionRecords-fetches.NumRecords())...)
	}
	return fetches
}

// rounds begins the rounds that are due and ends those in which nothing came, and tells when to look again and whether a
// round is under way.
func (t *transactions) rounds(client *kgo.Client, now time.Time) (wake time.Time, judging bool) {
	changed := false
	for source, h := range t.held {
		switch {
		case t.guard.due(source, now):
			h.until = now.Add(roundLength)
		case h.until.IsZero() || now.Before(h.until):
			continue
		case owns(client, h.topics):
			h.until = time.Time{}
		default: // another worker holds the source, or sees that it passes
			t.guard.lift(source)
			delete(t.held, source)
			showGoOn(t.Process, t.metrics, source, 0, 0)
		}
		changed = true
	}
	if changed {
		t.fetchUnheld(client)
	}
	for _, h := range t.held {
		wake, judging = earlier(wake, h.until), judging || !h.until.IsZero()
	}
	return earlier(wake, t.guard.wake()), judging
}

// owns tells whether the group gave this member a partition of the topics. One that neither was committed nor had a record
// in the round that asks is not among them, and makes no difference.
func owns(client *kgo.Client, topics map[string]bool) bool {
	if _, generation := client.GroupMetadata(); generation < 0 {
		return true // not joined yet
	}
	for topic := range client.CommittedOffsets() {
		if topics[topic] {
			return true
		}
	}
	return false
}
