package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
)

// heldBatch is what a transactions loop keeps of a hold: the source's records of the batch that began it, at most one batch,
// to judge them again. They are not read for that, so the hold outlives its session, and partitions that went elsewhere.
type heldBatch struct {
	records []event.Message // as they were read, unstamped
	topics  map[string]bool // not fetched until the hold ends
}

// passage is where a hold's records lay. After a round that let them pass they are judged no more: a cluster of bad ones
// among them would begin the same hold again.
type passage struct {
	source string
	place
}

// weigh tries a batch's verdicts on a copy of the guard, which counts once the batch is committed. It gives the sources
// whose records must wait: those that are held, and those that the batch trips. Nothing of the batch is written yet, so a
// bad deploy that finds a backlog writes no letter.
func (t *transactions) weigh(results []transformed, now time.Time) (after guard, stopped map[string]bool) {
	after, stopped = t.guard.clone(), map[string]bool{}
	for _, result := range results {
		source := guardedSource(t.Service, result.in)
		if source == "" || t.passed(source, result.in) && !after.held(source) {
			continue
		}
		if !after.held(source) && after.fold(source, result.fault != nil) {
			showHold(t.Process, t.metrics, after.heldError(source))
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

// giveBack returns a batch that holds records of stopped sources, and stops fetching their topics. The other records come
// again at once.
func (t *transactions) giveBack(ctx context.Context, session *kgo.GroupTransactSession, fetches kgo.Fetches, stopped map[string]bool, now time.Time) error {
	fresh := map[string]bool{}
	for source := range stopped {
		if !t.guard.held(source) {
			t.guard.hold(source, now)
			t.held[source] = &heldBatch{topics: map[string]bool{}}
			fresh[source] = true
		}
	}
	fetches.EachRecord(func(r *kgo.Record) {
		in := bus.FromRecord(r)
		source := guardedSource(t.Service, in)
		if stopped[source] {
			t.held[source].topics[in.Topic] = true
		}
		if fresh[source] {
			t.held[source].records = append(t.held[source].records, in)
		}
	})
	t.pauseHeld(session.Client())
	t.log.Info("batch given back, for it holds records of a held source", zap.Int("records", fetches.NumRecords()))
	if _, err := session.End(ctx, kgo.TryAbort); err != nil {
		return fmt.Errorf("abort transaction: %w", err)
	}
	return nil
}

// pauseHeld stops fetching the topics of every hold.
func (t *transactions) pauseHeld(client *kgo.Client) {
	for _, h := range t.held {
		client.PauseFetchTopics(slices.Collect(maps.Keys(h.topics))...)
	}
}

// poll reads a batch, but not beyond the next round of a held source.
func (t *transactions) poll(ctx context.Context, session *kgo.GroupTransactSession) kgo.Fetches {
	if wake := t.guard.wake(); !wake.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, wake)
		defer cancel()
	}
	return session.PollRecords(ctx, transactionRecords)
}

// judgeHeld judges the records of every hold whose round is due, without effects, and ends the hold if they pass.
func (t *transactions) judgeHeld(ctx context.Context, client *kgo.Client) {
	for source, h := range t.held {
		if !t.guard.due(source, time.Now()) {
			continue
		}
		failed, err := t.judgeAgain(ctx, h.records)
		if err != nil {
			t.log.Warn("held records not judged", zap.String("source", source), zap.Error(err))
			continue
		}
		if !t.guard.passes(failed, len(h.records)) {
			continue
		}
		t.guard.release(source)
		delete(t.held, source)
		for _, m := range h.records {
			at := passage{source, place{m.Topic, m.Partition}}
			t.passages[at] = max(t.passages[at], m.Offset)
		}
		client.ResumeFetchTopics(slices.Collect(maps.Keys(h.topics))...)
		t.pauseHeld(client) // what another hold needs paused
		showGoOn(t.Process, t.metrics, source, failed, len(h.records))
	}
}

// judgeAgain counts the records that would become letters. An error says that the world is not ready, or that ctx ended.
func (t *transactions) judgeAgain(ctx context.Context, records []event.Message) (failed int, err error) {
	quiet := *t
	quiet.log = zap.NewNop() // the panics of a bad deploy were logged when the records were read
	for _, in := range records {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		result, err := quiet.transform(in)
		if err != nil {
			return 0, err
		}
		if result.fault != nil {
			failed++
		}
	}
	return failed, nil
}
