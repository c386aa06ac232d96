package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// crashing is a runner for consoles that crash: small batches, and a lease that ends only where the test says so.
func (y *yard) crashing() *runner {
	r := y.runner()
	r.pace.batch, r.pace.lease = 3, time.Hour
	return r
}

func (y *yard) claim() *store.ReplayRun {
	run, err := y.store.ClaimReplay(context.Background(), time.Hour)
	if err != nil {
		y.Fatal(err)
	}
	return run
}

// expire ends the leases of all jobs, as time would for consoles that are dead.
func (y *yard) expire() {
	pgtest.Rows(y.TB, y.url, `update replay_jobs set lease_until = now() - interval '1 hour' where lease_owner <> '' returning id`)
}

// finish has healthy consoles take over what the others left, until every job has its end. Meanwhile happens as soon as they
// are at work.
func (y *yard) finish(jobs []store.ReplayJob, meanwhile func()) {
	y.expire()
	r := y.crashing()
	ctx, cancel := context.WithTimeout(context.Background(), bustest.Patience)
	defer cancel()
	var consoles sync.WaitGroup
	defer consoles.Wait()
	for _, job := range jobs {
		y.await(job.ID, "the end", func(j store.ReplayJob) bool {
			if run := y.claim(); run != nil {
				consoles.Go(func() { r.job(ctx, run) })
				return false
			}
			meanwhile()
			return finished(j)
		})
	}
}

// Whatever freezes or dies, is taken over, wakes up, is given up or overtaken by newer pushes in between: the results of
// every job add up, every letter is in the topic once a job, and a result says what became of the letter.
func TestReplaySurvivesCrashes(t *testing.T) {
	y := newYard(t)
	y.serve()
	count, next := 0, int64(1)
	rapid.Check(t, func(t *rapid.T) {
		count++
		w := &crashWorld{yard: y, t: t, prefix: fmt.Sprintf("R%d-", count), from: next}
		w.to = next + int64(rapid.IntRange(1, 12).Draw(t, "letters"))
		w.next = w.to
		defer func() { next = w.next }() // also where it fails: offsets are taken once
		y.park(w.prefix, w.from, w.to)
		for n := w.from; n < w.to; n++ {
			y.answer(parkedKey(w.prefix, n), rapid.SampledFrom([]event.Outcome{event.Delivered, event.Delivered, event.Superseded, ""}).Draw(t, "answer"))
		}
		for range rapid.IntRange(1, 2).Draw(t, "jobs") {
			w.jobs = append(w.jobs, y.job(store.NewReplay{Filter: store.LetterFilter{Q: ":" + w.prefix}}))
		}
		for range rapid.IntRange(1, 6).Draw(t, "events") {
			w.happen(rapid.SampledFrom([]string{"freeze", "freeze", "freeze", "thaw", "newer push", "discard", "pause", "resume", "cancel"}).Draw(t, "event"))
		}
		for _, job := range w.jobs {
			_, _ = y.store.ResumeReplay(context.Background(), job.ID, "ann", "")
		}
		if rapid.Bool().Draw(t, "thaw in the end") {
			y.finish(w.jobs, w.thaw)
		} else {
			y.finish(w.jobs, func() {})
			w.thaw()
		}
		for _, console := range w.frozen {
			<-console.ended
		}
		w.check()
		if t.Failed() || y.Failed() {
			t.FailNow()
		}
	})
	y.once()
}

// crashWorld is what one run of the property has made: orders from..to-1 with a letter each, jobs, and consoles that froze.
type crashWorld struct {
	*yard
	t              *rapid.T
	prefix         string
	from, to, next int64 // next is the revision of the next push
	jobs           []store.ReplayJob
	frozen         []*frozenConsole
}

func (w *crashWorld) happen(what string) {
	n := rapid.Int64Range(w.from, w.to-1).Draw(w.t, "order")
	key := parkedKey(w.prefix, n)
	job := w.jobs[rapid.IntRange(0, len(w.jobs)-1).Draw(w.t, "job")].ID
	ctx := context.Background()
	switch what {
	case "freeze":
		at, nth := rapid.SampledFrom(freezing).Draw(w.t, "request"), rapid.IntRange(1, 3).Draw(w.t, "nth")
		arrives := rapid.Bool().Draw(w.t, "arrives")
		w.expire()
		if run := w.claim(); run != nil {
			w.frozen = append(w.frozen, w.freeze(run, at, nth, arrives))
		}
	case "thaw":
		w.thaw()
	case "newer push":
		m := meta(key, w.next)
		w.answer(key, event.Superseded)
		w.apply(pushFact(key, w.next), outcomeFact(m, event.Delivered))
		w.next++
	case "discard":
		id := pgtest.Rows(w.TB, w.url, `select id from dead_letters where order_key = $1`, string(key))
		number, _ := strconv.ParseInt(id[0], 10, 64)
		_ = w.writer.Discard(ctx, number, "ann", "x")
	case "pause":
		_, _ = w.store.PauseReplay(ctx, job, "ann", "")
	case "resume":
		_, _ = w.store.ResumeReplay(ctx, job, "ann", "")
	case "cancel":
		_, _ = w.store.CancelReplay(ctx, job, "ann", "")
	}
}

func (w *crashWorld) thaw() {
	for _, console := range w.frozen {
		console.thaw()
	}
}

// check holds the account of each job against the topic, as an outsider reads it, and against the letters.
func (w *crashWorld) check() {
	inTopic, effects := map[string]int{}, map[string]int{} // records by job and letter, and by letter and number
	for _, m := range w.broker.Read(replayTopic) {
		letter := m.Header(event.HeaderReplayLetter)
		_, _, _, _, number := deadletter.Origin(m)
		inTopic[m.Header(event.HeaderReplayJob)+" "+letter]++
		effects[fmt.Sprint(letter, " ", number)]++
	}
	for sent, records := range effects {
		if records > 1 {
			w.t.Errorf("letter, replay %s: %d records", sent, records)
		}
	}
	for _, created := range w.jobs {
		job, err := w.store.Replay(context.Background(), created.ID)
		if c := job.Counts; err != nil || !finished(job) || c.Fixed+c.FailedAgain+c.Superseded+c.Skipped != job.Selected || int64(job.Selected) != w.to-w.from {
			w.t.Errorf("the job does not add up: %+v %v", job, err)
		}
		for _, row := range pgtest.Rows(w.TB, w.url, `select letter_id, partition is not null from replay_items where job_id = $1`, job.ID) {
			var letter int64
			var sent bool
			_, _ = fmt.Sscan(row, &letter, &sent)
			if records := inTopic[fmt.Sprint(job.ID, " ", letter)]; records > 1 || (records == 1) != sent {
				w.t.Errorf("letter %d of job %d: %d records, confirmed: %t", letter, job.ID, records, sent)
			}
		}
	}
	for _, broken := range pgtest.Rows(w.TB, w.url, brokenItems) {
		w.t.Errorf("results do not say what became of letters: %s", broken)
	}
}

// brokenItems are the letters of jobs whose result says something else than the letter does.
const brokenItems = `select i.job_id, letter_id, result, d.state from replay_items i join dead_letters d on d.id = i.letter_id
	where result in ('selected', 'sent') or d.state = 'replaying' or d.failed_replays > d.sent_replays
		or (result = 'skipped') <> (partition is null) and (sent_at is not null or partition is not null)
		or result = 'fixed' and d.state <> 'fixed' or result = 'failed_again' and d.failed_replays < i.replay`
