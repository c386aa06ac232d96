package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

func TestReplayEndsWithAResultEach(t *testing.T) {
	y := newYard(t)
	y.serve()
	y.start(y.runner())
	y.park("A", 0, 300)
	for n := range int64(300) {
		switch n % 10 {
		case 0:
			y.answer(parkedKey("A", n), "")
		case 1:
			y.answer(parkedKey("A", n), event.Superseded)
		}
	}
	job := y.await(y.job(store.NewReplay{}).ID, "the end", finished)
	want := store.ReplayCounts{Fixed: 240, FailedAgain: 30, Superseded: 30}
	if job.State != store.JobDone || job.Counts != want || job.Sent() != 300 || job.StartedAt.IsZero() {
		t.Errorf("job %+v", job)
	}
	y.once()
	// What failed again goes once more, under the next number.
	again := y.await(y.job(store.NewReplay{}).ID, "the end", finished)
	if again.Selected != 30 || again.Counts.FailedAgain != 30 {
		t.Errorf("again %+v", again)
	}
	y.once()
	if rows := pgtest.Rows(t, y.url, `select distinct replay from replay_items where job_id = $1`, again.ID); !slices.Equal(rows, []string{"2"}) {
		t.Errorf("numbers %v", rows)
	}
	records := y.broker.Read(replayTopic)
	if len(records) != 330 {
		t.Errorf("%d records", len(records))
	}
	if m := records[0]; m.Header(event.HeaderReplayJob) != "1" || string(m.Value) != "{}" || m.Header(event.HeaderRevision) == "" {
		t.Errorf("record %+v", m)
	}
}

// 1,000 letters a second need four batches a second; a rate is kept and not exceeded.
func TestReplayKeepsItsRate(t *testing.T) {
	y := newYard(t)
	y.serve()
	y.start(y.runner())
	y.park("A", 0, 600)
	began := time.Now()
	job := y.await(y.job(store.NewReplay{Rate: 400}).ID, "the end", finished)
	if took := time.Since(began); took < 1200*time.Millisecond { // less the first batch, which goes at once
		t.Errorf("600 letters at 400 a second took %s", took)
	}
	if job.Counts.Fixed != 600 {
		t.Errorf("job %+v", job)
	}
	for rate, want := range map[int]int{0: 250, 1: 1, 3: 1, 8: 2, 1000: 250, 100_000: 250} {
		if got := batchSize(rate, usualPace.batch); got != want {
			t.Errorf("batch at %d a second: %d", rate, got)
		}
	}
}

func TestReplayPauseResumeCancel(t *testing.T) {
	y := newYard(t)
	r := y.runner()
	y.start(r)
	y.park("A", 0, 300)
	id := y.job(store.NewReplay{}).ID
	// Nobody answers: only the first letters are sent, the job stays visible as running.
	y.await(id, "the first letters", func(j store.ReplayJob) bool { return j.Counts.UnderWay == firstUnderWay })
	job, err := y.store.PauseReplay(t.Context(), id, "ann", "")
	if err != nil {
		t.Fatal(err)
	}
	y.serve()
	job = y.await(id, "results while paused", func(j store.ReplayJob) bool { return j.Counts.UnderWay == 0 })
	if job.State != store.JobPaused || job.Counts != (store.ReplayCounts{Waiting: 200, Fixed: 100}) {
		t.Errorf("paused %+v", job)
	}
	for n := range int64(300) {
		y.answer(parkedKey("A", n), "")
	}
	r.stop.Ratio = 0.5
	if _, err := y.store.ResumeReplay(t.Context(), id, "ann", ""); err != nil {
		t.Fatal(err)
	}
	r.look()
	job = y.await(id, "stopping by itself", func(j store.ReplayJob) bool { return j.State == store.JobStopped })
	if job.Counts.Waiting == 0 || job.Counts.FailedAgain < minResults {
		t.Errorf("stopped %+v", job)
	}
	if _, err := y.store.CancelReplay(t.Context(), id, "ann", "still broken"); err != nil {
		t.Fatal(err)
	}
	job = y.await(id, "the end", finished)
	if job.State != store.JobCancelled || job.Counts.Skipped == 0 || job.Counts.Fixed != 100 {
		t.Errorf("cancelled %+v", job)
	}
	y.once()
}

func TestReplaySurvivesBrokerAndUnreadableLetters(t *testing.T) {
	y := newYard(t)
	y.park("A", 0, 30)
	pgtest.Rows(t, y.url, `update dead_letters set payload = decode('0001', 'hex') where id in (3, 4) returning id`)
	y.broker.Stop()
	r := y.runner()
	y.start(r)
	id := y.job(store.NewReplay{}).ID
	y.await(id, "letters that are marked", func(j store.ReplayJob) bool { return j.Counts.UnderWay == 30 })
	y.broker.Restart()
	y.serve()
	job := y.await(id, "the end", finished)
	if job.Counts != (store.ReplayCounts{Fixed: 28, Skipped: 2}) {
		t.Errorf("job %+v", job)
	}
	y.once()
	if rows := pgtest.Rows(t, y.url, `select d.state, i.code from replay_items i join dead_letters d on d.id = i.letter_id where result = 'skipped'`); !slices.Equal(rows, []string{"open unreadable", "open unreadable"}) {
		t.Errorf("unreadable letters %v", rows)
	}
}

func TestDryRunSendsNothing(t *testing.T) {
	y := newYard(t)
	y.park("A", 0, 12)
	y.apply(pushFact(parkedKey("A", 0), 100), outcomeFact(meta(parkedKey("A", 0), 100), event.Delivered))
	outages := 2
	r := y.runner()
	r.rehearse = func(_ context.Context, l deadletter.Letter) (bool, string, string, error) {
		if outages > 0 {
			outages--
			return false, "", "", errors.New("the database is away")
		}
		return l.Origin.Key != string(parkedKey("A", 1)), "bad_amount", "/total", nil
	}
	y.start(r)
	job := y.job(store.NewReplay{DryRun: true})
	if err := y.writer.Discard(t.Context(), 3, "ann", "x"); err != nil {
		t.Fatal(err)
	}
	r.look()
	job = y.await(job.ID, "the end", finished)
	if c := job.Counts; c.WouldFail != 1 || c.Superseded != 1 || c.WouldPass+c.Skipped != 10 || job.State != store.JobDone || job.Sent() != 0 {
		t.Errorf("job %+v", job)
	}
	items, _, err := y.store.ReplayItems(t.Context(), job.ID, store.ItemWouldFail, "", 10)
	if err != nil || len(items) != 1 || items[0].Code != "bad_amount" || items[0].Path != "/total" {
		t.Errorf("items %+v %v", items, err)
	}
	if records := y.broker.Read(replayTopic); len(records) != 0 {
		t.Errorf("%d records were sent", len(records))
	}
	if rows := pgtest.Rows(t, y.url, `select count(*) from dead_letters where sent_replays > 0 or state = 'replaying'`); rows[0] != "0" {
		t.Errorf("%s letters were touched", rows[0])
	}
}

// Two consoles share the jobs, and one that stops gracefully leaves its jobs to the other at once.
func TestTwoConsoles(t *testing.T) {
	y := newYard(t)
	y.serve()
	y.park("A", 0, 400)
	y.park("B", 1000, 1200)
	stop := y.start(y.runner())
	first := y.job(store.NewReplay{Rate: 200, Filter: store.LetterFilter{Q: ":A"}})
	second := y.job(store.NewReplay{Filter: store.LetterFilter{Q: ":B"}})
	y.await(first.ID, "some results", func(j store.ReplayJob) bool { return j.Counts.Fixed > 0 })
	y.start(y.runner())
	stop()
	for id, want := range map[int64]int{first.ID: 400, second.ID: 200} {
		if job := y.await(id, "the end", finished); job.Counts.Fixed != want {
			t.Errorf("job %+v", job)
		}
	}
	y.once()
}

// Two jobs of the same letters at once, made by accident, have one effect: each letter is sent by one of them, and the other
// says that it was not.
func TestLettersInTwoJobsAreSentOnce(t *testing.T) {
	y := newYard(t)
	y.serve()
	y.park("A", 0, 300)
	jobs := []store.ReplayJob{y.job(store.NewReplay{}), y.job(store.NewReplay{})}
	y.start(y.runner())
	y.start(y.runner())
	var total store.ReplayCounts
	for _, job := range jobs {
		job = y.await(job.ID, "the end", finished)
		if job.State != store.JobDone || job.Selected != 300 || job.Sent() != job.Counts.Fixed {
			t.Errorf("job %+v", job)
		}
		total.Fixed += job.Counts.Fixed
		total.Skipped += job.Counts.Skipped
	}
	if total != (store.ReplayCounts{Fixed: 300, Skipped: 300}) {
		t.Errorf("both jobs %+v", total)
	}
	if records := y.broker.Read(replayTopic); len(records) != 300 {
		t.Errorf("%d records of 300 letters", len(records))
	}
	if rows := pgtest.Rows(t, y.url, `select distinct d.state, i.code from replay_items i join dead_letters d on d.id = i.letter_id where result = 'skipped' and i.code not in ('replaying', 'fixed')`); len(rows) > 0 {
		t.Errorf("skipped since %v", rows)
	}
}

// As many letters as a filter may name fit into a request, with the longest numbers that there can be.
func TestReplayOfTenThousandIDs(t *testing.T) {
	d := start(t)
	ids := strings.TrimSuffix(strings.Repeat("9223372036854775807,", maxIDs), ",")
	list := `["` + strings.ReplaceAll(ids, ",", `","`) + `"]`
	if got := d.ask("olga", "POST", "/api/replays", `{"filter":{"ids":`+list+`},"reason":"x"}`); got.status != http.StatusOK {
		t.Errorf("by the API: %d %s", got.status, got.body)
	}
	if got := d.browse("olga").post("/replays", url.Values{"ids": {ids}, "rate": {"1"}, "dry_run": {"yes"}}); got.status != http.StatusSeeOther {
		t.Errorf("by the page: %d", got.status)
	}
	long := `{"reason":"` + strings.Repeat("x", maxReplayBody) + `"}`
	for path, body := range map[string]string{"/api/replays": long, "/api/replays/1/cancel": long[:maxBody+100], "/api/dead-letters/1/discard": long[:maxBody+100]} {
		if got := d.ask("olga", "POST", path, body); got.status != http.StatusRequestEntityTooLarge || got.code() != "too_large" {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func TestPageOfALetterThatIsNewer(t *testing.T) {
	d := start(t)
	d.apply(validatedFact("mall:S1:1", 5, "1"), letterFact("mall:S1:1", 3, "bad_amount", "/x"), letterFact("mall:S1:1", 7, "bad_amount", "/x"))
	b := d.browse("vera")
	b.get("/letters/1").shows(t, `<th scope="col">In this letter</th><th scope="col">In the newest</th>`)
	b.get("/letters/2").shows(t, `<th scope="col">In the accepted one before it</th><th scope="col">In this letter</th>`)
}
