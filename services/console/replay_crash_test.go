package main

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"orderflow/pkg/bus"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// The places at which a console may die while it sends a batch.
const (
	diesAfterMark    = "marked"
	diesBeforeCommit = "produced, not committed"
	diesAfterCommit  = "committed, not confirmed"
	diesAfterConfirm = "confirmed"
)

// crash has a console take the job up, send one batch up to a point, and die: nothing is released or closed, and what it
// still does later must have no effect.
func (y *yard) crash(t *rapid.T, at string, n int) (late func()) {
	ctx := context.Background()
	run, err := y.store.ClaimReplay(ctx, 0) // a lease that ends at once
	if err != nil {
		t.Fatal(err)
	}
	if run == nil {
		return func() {}
	}
	s := &sender{run: run, keys: y.keys, open: y.open}
	if err := s.recover(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Settle(ctx, store.StopRule{Ratio: 1, Min: minResults}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run.Mark(ctx, n); err != nil {
		t.Fatal(err)
	}
	if at == diesAfterMark {
		return s.close
	}
	if s.client == nil {
		if err := s.begin(ctx); err != nil {
			t.Fatal(err)
		}
	}
	letters, err := run.Unproduced(ctx, y.keys, n, maxBatchBytes)
	if err != nil {
		t.Fatal(err)
	}
	if at == diesBeforeCommit && len(letters) > 0 {
		return y.hang(t, s, letters)
	}
	produced, err := s.produce(ctx, letters)
	if err != nil {
		t.Fatal(err)
	}
	if at == diesAfterConfirm {
		if err := run.Confirm(ctx, produced); err != nil {
			t.Fatal(err)
		}
	}
	return s.close
}

// hang leaves a transaction open; the console wakes up late and wants to commit it.
func (y *yard) hang(t *rapid.T, s *sender, letters []store.ReplayLetter) (late func()) {
	if err := s.client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		m := deadletter.Home(l.Letter, strconv.FormatInt(s.run.JobID, 10), strconv.FormatInt(l.ID, 10))
		if err := s.client.ProduceSync(context.Background(), bus.ToRecord(m)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.client.EndTransaction(ctx, kgo.TryCommit) // fenced where another console went on
		s.close()
	}
}

// Whatever dies, is given up or overtaken by newer pushes in between: the results of every job add up, every letter is
// sent once a job and under one number, and a result says what became of the letter.
func TestReplaySurvivesCrashes(t *testing.T) {
	y := newYard(t)
	y.serve()
	count, next := 0, int64(1)
	rapid.Check(t, func(t *rapid.T) {
		count++
		prefix := fmt.Sprintf("R%d-", count)
		from := next
		next += int64(rapid.IntRange(1, 12).Draw(t, "letters"))
		to := next
		y.park(prefix, from, to)
		for n := from; n < to; n++ {
			y.answer(parkedKey(prefix, n), rapid.SampledFrom([]event.Outcome{event.Delivered, event.Delivered, event.Superseded, ""}).Draw(t, "answer"))
		}
		jobs := []store.ReplayJob{y.job(store.NewReplay{Filter: store.LetterFilter{Q: ":" + prefix}})}
		if rapid.Bool().Draw(t, "two jobs") {
			jobs = append(jobs, y.job(store.NewReplay{Filter: store.LetterFilter{Q: ":" + prefix}}))
		}
		var late []func()
		for range rapid.IntRange(0, 5).Draw(t, "events") {
			n := rapid.Int64Range(from, to-1).Draw(t, "order")
			switch event := rapid.SampledFrom([]string{diesAfterMark, diesBeforeCommit, diesAfterCommit, diesAfterConfirm, "newer push", "discard", "pause", "cancel", "wake"}).Draw(t, "event"); event {
			case "newer push":
				m := meta(parkedKey(prefix, n), next)
				y.answer(m.OrderKey, "superseded")
				y.apply(pushFact(m.OrderKey, next), outcomeFact(m, "delivered"))
				next++
			case "discard":
				id := pgtest.Rows(y.TB, y.url, `select id from dead_letters where order_key = $1`, string(parkedKey(prefix, n)))
				number, _ := strconv.ParseInt(id[0], 10, 64)
				_ = y.writer.Discard(context.Background(), number, "ann", "x")
			case "pause":
				_, _ = y.store.PauseReplay(context.Background(), jobs[0].ID, "ann")
			case "cancel":
				_, _ = y.store.CancelReplay(context.Background(), jobs[len(jobs)-1].ID, "ann", "")
			case "wake":
				for _, do := range late {
					do()
				}
				late = nil
			default:
				late = append(late, y.crash(t, event, rapid.IntRange(1, 5).Draw(t, "batch")))
			}
		}
		_, _ = y.store.ResumeReplay(context.Background(), jobs[0].ID, "ann")
		stop := y.start(y.runner())
		for _, job := range jobs {
			y.await(job.ID, "the end", finished)
		}
		stop()
		for _, do := range late {
			do()
		}
		if t.Failed() || y.Failed() {
			t.FailNow()
		}
	})
	y.once()
	if records := y.broker.Read(replayTopic); len(records) != len(y.arrived) {
		t.Errorf("%d records in the topic, %d letters were sent", len(records), len(y.arrived))
	}
	for sql, what := range map[string]string{
		`select count(*) from replay_items i where sent_at is not null and partition is null and result <> 'skipped'`: "sent but never produced",
		`select count(*) from dead_letters where state = 'replaying'`:                                                 "replaying for ever",
		`select count(*) from replay_items i join dead_letters d on d.id = i.letter_id where result = 'fixed' and d.state <> 'fixed'
			or result = 'failed_again' and d.failed_replays < i.replay or result in ('selected', 'sent')`: "with another result than their letter",
	} {
		if rows := pgtest.Rows(t, y.url, sql); rows[0] != "0" {
			t.Errorf("%s letters are %s", rows[0], what)
		}
	}
}
