package store_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

const (
	itemsSQL = `select letter_id, result, code, replay from replay_items where job_id = (select max(id) from replay_jobs) order by position`
	lease    = time.Minute
)

var rule = store.StopRule{Ratio: 0.5, Min: 4}

// parked gives the shelf orders whose delivery was refused, one letter each, numbered from 1.
func (s *shelf) parked(count int) {
	s.Helper()
	var facts []store.Fact
	for n := range int64(count) {
		facts = append(facts, validated(parkedKey(n+1), n+1, "a"))
	}
	s.apply(facts...)
	for n := range int64(count) {
		s.apply(rejectedLetter(n+1, 0))
	}
}

func parkedKey(n int64) order.Key { return order.Key(fmt.Sprintf("icbu:P%03d", n)) }

// rejectedLetter is a refusal as a worker writes it.
func rejectedLetter(n int64, replays int) store.Fact {
	f := rejected(parkedKey(n), n, "a", replays)
	f.Letter.Origin.Headers = f.Meta.Headers()
	f.Letter.Record.Headers = deadletter.Wrap(f.Letter.Letter).Headers
	return f
}

func (s *shelf) job(n store.NewReplay) store.ReplayJob {
	s.Helper()
	if n.By == "" {
		n.By = "ann"
	}
	if n.ApprovalSize == 0 {
		n.ApprovalSize = 1000
	}
	if n.MaxTimes == 0 {
		n.MaxTimes = 3
	}
	job, err := s.store.CreateReplay(s.Context(), n)
	if err != nil {
		s.Fatal(err)
	}
	return job
}

func (s *shelf) claim() *store.ReplayRun {
	s.Helper()
	run, err := s.store.ClaimReplay(s.Context(), lease)
	if err != nil || run == nil {
		s.Fatalf("claim: %v %v", run, err)
	}
	return run
}

func (s *shelf) mark(run *store.ReplayRun, n int) (marked, passed int) {
	s.Helper()
	marked, passed, err := run.Mark(s.Context(), n)
	if err != nil {
		s.Fatal(err)
	}
	return marked, passed
}

func (s *shelf) settle(run *store.ReplayRun) store.ReplayProgress {
	s.Helper()
	p, err := run.Settle(s.Context(), rule)
	if err != nil {
		s.Fatal(err)
	}
	return p
}

// deliverAll confirms what is marked and has each delivered.
func (s *shelf) deliverAll(run *store.ReplayRun, outcome event.Outcome) {
	s.Helper()
	letters, err := run.Unproduced(s.Context(), s.keys, 1000, 1<<20)
	if err != nil {
		s.Fatal(err)
	}
	for _, l := range letters {
		if l.Err != nil {
			s.Fatal(l.Err)
		}
		home := deadletter.Home(l.Letter, fmt.Sprint(run.JobID), fmt.Sprint(l.ID))
		m, err := home.Meta()
		if err != nil {
			s.Fatal(err)
		}
		f := delivery(m.OrderKey, m.ReceivedOffset, "a", outcome)
		f.Meta.ReplayJob = m.ReplayJob
		s.apply(f)
		if err := run.Confirm(s.Context(), []store.Produced{{LetterID: l.ID, Offset: l.ID}}); err != nil {
			s.Fatal(err)
		}
	}
}

func TestReplayFromFilterToFixed(t *testing.T) {
	s := openShelf(t)
	s.parked(3)
	dry := s.job(store.NewReplay{DryRun: true})
	if dry.State != store.JobPlanned || dry.Selected != 3 || dry.Counts.Waiting != 3 || !dry.Balanced() {
		t.Errorf("dry run %+v", dry)
	}
	job := s.job(store.NewReplay{Rate: 10, Reason: "mapping mended", Filter: store.LetterFilter{Service: "okkisync"}})
	s.parked(4) // the fourth letter is too late
	s.claim()
	run := s.claim()
	if run.JobID != job.ID || run.Rate != 10 {
		t.Errorf("claimed %+v", run)
	}
	if again, err := s.store.ClaimReplay(t.Context(), lease); err != nil || again != nil {
		t.Errorf("claimed twice: %+v %v", again, err)
	}
	if marked, _ := s.mark(run, 2); marked != 2 {
		t.Errorf("marked %d", marked)
	}
	s.want(itemsSQL, "1 sent  1", "2 sent  1", "3 selected  0")
	s.want(`select id, state, sent_replays from dead_letters order by id`, "1 replaying 1", "2 replaying 1", "3 open 0", "4 open 0")
	s.want(`select distinct state from orders`, "parked")
	s.deliverAll(run, event.Delivered)
	if p := s.settle(run); p.State != store.JobRunning || p.Waiting != 1 || p.UnderWay != 0 || p.Results != 2 {
		t.Errorf("progress %+v", p)
	}
	s.mark(run, 2)
	s.apply(rejectedLetter(3, 1))
	if p := s.settle(run); p.State != store.JobDone {
		t.Errorf("progress %+v", p)
	}
	s.want(itemsSQL, "1 fixed  1", "2 fixed  1", "3 failed_again partner_rejected 1")
	job, err := s.store.Replay(t.Context(), job.ID)
	if err != nil || !job.Balanced() || job.Sent() != 3 || job.Counts.Fixed != 2 || job.Counts.FailedAgain != 1 || job.FinishedAt.IsZero() || job.Filter.Service != "okkisync" {
		t.Errorf("job %+v %v", job, err)
	}
	s.want(`select order_key, dedupe from order_events where step = 'replayed' order by order_key`,
		"icbu:P001 2", "icbu:P002 2", "icbu:P003 2")
	s.want(`select who, action, object, reason from audit order by id`, "ann dry run replay 1 ", "ann replay replay 2 mapping mended")
	items, next, err := s.store.ReplayItems(t.Context(), job.ID, store.ItemFixed, "", 1)
	if err != nil || len(items) != 1 || next == "" || items[0].OrderKey != "icbu:P001" {
		t.Errorf("items %+v %q %v", items, next, err)
	}
	if items, next, err = s.store.ReplayItems(t.Context(), job.ID, "", next, 5); err != nil || len(items) != 2 || next != "" {
		t.Errorf("items %+v %q %v", items, next, err)
	}
	if of, err := s.store.LetterReplays(t.Context(), 3); err != nil || len(of) != 2 || of[0].Result != store.ItemFailedAgain {
		t.Errorf("jobs of a letter %+v %v", of, err)
	}
	jobs, next, err := s.store.Replays(t.Context(), "", 1)
	if err != nil || len(jobs) != 1 || jobs[0].ID != 2 || next == "" {
		t.Errorf("jobs %+v %v", jobs, err)
	}
	if entries, next, err := s.store.Audit(t.Context(), "", 1); err != nil || len(entries) != 1 || entries[0].Object != "replay 2" || next == "" {
		t.Errorf("audit %+v %q %v", entries, next, err)
	}
}

// A letter that failed again is sent under the next number, and only by its id once it has failed too often.
func TestLettersThatFailAgainAndAgain(t *testing.T) {
	s := openShelf(t)
	s.parked(2)
	for n := 1; n <= 3; n++ {
		s.job(store.NewReplay{Filter: store.LetterFilter{OrderKey: parkedKey(1)}})
		run := s.claim()
		s.mark(run, 5)
		letters, err := run.Unproduced(t.Context(), s.keys, 10, 1<<20)
		if err != nil || len(letters) != 1 || letters[0].Letter.Replays != n-1 {
			t.Fatalf("replay %d: %+v %v", n, letters, err)
		}
		s.apply(rejectedLetter(1, n))
		s.apply(rejectedLetter(1, n)) // produced twice: the same number
		s.want(`select state, sent_replays, failed_replays from dead_letters where id = 1`, fmt.Sprintf("failed_again %d %d", n, n))
		if p := s.settle(run); p.State != store.JobDone {
			t.Errorf("replay %d: %+v", n, p)
		}
	}
	if job := s.job(store.NewReplay{}); job.Selected != 1 || job.LeftOut != 1 {
		t.Errorf("bulk job %+v", job)
	}
	job := s.job(store.NewReplay{Filter: store.LetterFilter{IDs: []int64{1}}})
	if job.Selected != 1 || job.LeftOut != 0 {
		t.Errorf("job by id %+v", job)
	}
	if job := s.job(store.NewReplay{Filter: store.LetterFilter{Service: "validate"}}); job.State != store.JobDone || job.FinishedAt.IsZero() || !job.Balanced() {
		t.Errorf("a job without letters: %+v", job)
	}
}

// A letter that failed too often while the job waited is left out when its turn comes, unless it was asked for by its number.
func TestALetterThatIsParkedMeanwhileIsSkipped(t *testing.T) {
	s := openShelf(t)
	s.parked(3)
	s.job(store.NewReplay{})
	s.job(store.NewReplay{Filter: store.LetterFilter{IDs: []int64{2}}})
	if _, err := s.conn.Exec(t.Context(), `update dead_letters set state = 'failed_again', failed_replays = 3 where id in (1, 2)`); err != nil {
		t.Fatal(err)
	}
	if marked, passed := s.mark(s.claim(), 10); marked != 1 || passed != 2 {
		t.Errorf("marked %d, passed %d", marked, passed)
	}
	if marked, passed := s.mark(s.claim(), 10); marked != 1 || passed != 0 {
		t.Errorf("by its number: marked %d, passed %d", marked, passed)
	}
	s.want(`select letter_id, result, code from replay_items order by job_id, letter_id`, "1 skipped parked", "2 skipped parked", "3 sent ", "2 sent ")
}

func TestLettersThatAreSettledWhenTheirTurnComes(t *testing.T) {
	s := openShelf(t)
	s.parked(7)
	other := s.job(store.NewReplay{Filter: store.LetterFilter{OrderKey: parkedKey(1)}})
	s.mark(s.claim(), 1)
	job := s.job(store.NewReplay{Filter: store.LetterFilter{States: store.LetterStates}})
	s.apply(delivery(parkedKey(2), 2, "a", event.Superseded), delivery(parkedKey(3), 3, "a", event.Delivered))
	if err := s.Discard(t.Context(), 4, "ann", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.Exec(t.Context(), `update dead_letters set revision = null where id = 5`); err != nil {
		t.Fatal(err)
	}
	run := s.claim()
	if run.JobID != job.ID {
		t.Fatal(run, other)
	}
	if marked, passed := s.mark(run, 10); marked != 2 || passed != 5 {
		t.Errorf("marked %d, passed %d", marked, passed)
	}
	s.want(itemsSQL, "1 skipped replaying 0", "2 superseded  0", "3 skipped fixed 0", "4 skipped discarded 0", "5 skipped untraceable 0", "6 sent  1", "7 sent  1")
	if err := s.Discard(t.Context(), 6, "ann", "x"); err != nil { // marked, not produced yet
		t.Fatal(err)
	}
	if err := run.Unmark(t.Context(), 7, "unreadable"); err != nil {
		t.Fatal(err)
	}
	if letters, err := run.Unproduced(t.Context(), s.keys, 10, 1<<20); err != nil || len(letters) != 0 {
		t.Errorf("to be produced: %+v %v", letters, err)
	}
	s.want(`select state, sent_replays from dead_letters where id = 7`, "open 0")
	if p := s.settle(run); p.State != store.JobDone {
		t.Errorf("progress %+v", p)
	}
	s.want(`select letter_id, result, code from replay_items where job_id = 2 and letter_id > 5 order by 1`, "6 skipped discarded", "7 skipped unreadable")
}

// Letters of one order are sent in the order of its revisions, whichever failed first.
func TestRevisionsInOrder(t *testing.T) {
	s := openShelf(t)
	for _, n := range []int64{5, 3, 4} {
		s.apply(validated("icbu:A", n, fmt.Sprint("d", n)))
		f := rejected("icbu:A", n, fmt.Sprint("d", n), 0)
		f.Letter.Last = epoch.Add(time.Duration(100-n) * time.Second)
		s.apply(f)
	}
	s.apply(validated("icbu:B", 1, "a"), rejected("icbu:B", 1, "a", 0))
	s.job(store.NewReplay{})
	s.want(`select d.order_key, d.revision & 1023 from replay_items i join dead_letters d on d.id = i.letter_id order by position`,
		"icbu:A 3", "icbu:A 4", "icbu:A 5", "icbu:B 1")
}

func TestApproval(t *testing.T) {
	s := openShelf(t)
	s.parked(3)
	job := s.job(store.NewReplay{ApprovalSize: 2})
	if job.State != store.JobWaitingApproval {
		t.Errorf("job %+v", job)
	}
	if dry := s.job(store.NewReplay{ApprovalSize: 2, DryRun: true}); dry.State != store.JobPlanned {
		t.Errorf("dry run %+v", dry)
	}
	s.claim() // the dry run
	if run, err := s.store.ClaimReplay(t.Context(), lease); run != nil || err != nil {
		t.Errorf("claimed before it was approved: %+v %v", run, err)
	}
	if _, err := s.store.ApproveReplay(t.Context(), job.ID, "ann", ""); !errors.Is(err, store.ErrOwnJob) {
		t.Errorf("own job: %v", err)
	}
	if _, err := s.store.ApproveReplay(t.Context(), 99, "bob", ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no job: %v", err)
	}
	job, err := s.store.ApproveReplay(t.Context(), job.ID, "bob", "")
	if err != nil || job.State != store.JobRunning || job.ApprovedBy != "bob" || job.ApprovedAt.IsZero() {
		t.Errorf("approved %+v %v", job, err)
	}
	if run := s.claim(); run.JobID != job.ID {
		t.Errorf("claimed %+v", run)
	}
	s.want(`select who, action, object from audit order by id desc limit 1`, "bob approve replay 1")
}

// Every state allows what it should and nothing else, and says so in a way that callers can tell.
func TestJobStates(t *testing.T) {
	s := openShelf(t)
	s.parked(1)
	type change func(id int64) (store.ReplayJob, error)
	changes := map[string]change{
		"approve": func(id int64) (store.ReplayJob, error) { return s.store.ApproveReplay(t.Context(), id, "bob", "") },
		"pause":   func(id int64) (store.ReplayJob, error) { return s.store.PauseReplay(t.Context(), id, "bob", "") },
		"resume":  func(id int64) (store.ReplayJob, error) { return s.store.ResumeReplay(t.Context(), id, "bob", "") },
		"cancel": func(id int64) (store.ReplayJob, error) {
			return s.store.CancelReplay(t.Context(), id, "bob", "no more")
		},
	}
	allowed := map[string]store.JobState{
		"waiting_approval approve": store.JobRunning, "planned pause": store.JobPaused, "running pause": store.JobPaused,
		"paused resume": store.JobRunning, "stopped resume": store.JobRunning, "planned cancel": store.JobCancelled,
		"waiting_approval cancel": store.JobCancelled, "running cancel": store.JobCancelled, "paused cancel": store.JobCancelled,
		"stopped cancel": store.JobCancelled,
	}
	for _, from := range []store.JobState{store.JobPlanned, store.JobWaitingApproval, store.JobRunning, store.JobPaused, store.JobStopped, store.JobCancelled, store.JobDone} {
		for action, do := range changes {
			job := s.job(store.NewReplay{})
			if _, err := s.conn.Exec(t.Context(), `update replay_jobs set state = $2 where id = $1`, job.ID, from); err != nil {
				t.Fatal(err)
			}
			got, err := do(job.ID)
			to, ok := allowed[string(from)+" "+action]
			wrong, _ := errors.AsType[*store.JobStateError](err)
			switch {
			case ok && (err != nil || got.State != to):
				t.Errorf("%s %s: %s %v", from, action, got.State, err)
			case !ok && (!errors.Is(err, store.ErrJobState) || wrong == nil || wrong.State != from || wrong.Action != action):
				t.Errorf("%s %s: %v", from, action, err)
			}
		}
	}
}

func TestPauseAndCancel(t *testing.T) {
	s := openShelf(t)
	s.parked(6)
	job := s.job(store.NewReplay{})
	run := s.claim()
	s.mark(run, 2)
	if _, err := s.store.PauseReplay(t.Context(), job.ID, "ann", ""); err != nil {
		t.Fatal(err)
	}
	if marked, _ := s.mark(run, 2); marked != 0 {
		t.Errorf("%d marked while paused", marked)
	}
	s.deliverAll(run, event.Delivered)
	if p := s.settle(run); p.State != store.JobPaused || p.Waiting != 4 || p.UnderWay != 0 {
		t.Errorf("progress %+v", p)
	}
	if _, err := s.store.ResumeReplay(t.Context(), job.ID, "ann", ""); err != nil {
		t.Fatal(err)
	}
	s.mark(run, 2)
	job, err := s.store.CancelReplay(t.Context(), job.ID, "ann", "enough")
	if err != nil || job.Counts.Skipped != 2 || job.Counts.UnderWay != 2 || !job.FinishedAt.IsZero() || !job.Balanced() {
		t.Errorf("cancelled %+v %v", job, err)
	}
	if err := run.Release(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	run = s.claim() // what was sent gets its result, whoever looks
	s.deliverAll(run, event.Superseded)
	if p := s.settle(run); p.State != store.JobCancelled || p.UnderWay != 0 {
		t.Errorf("progress %+v", p)
	}
	job, err = s.store.Replay(t.Context(), job.ID)
	if err != nil || job.Counts != (store.ReplayCounts{Fixed: 2, Superseded: 2, Skipped: 2}) || job.FinishedAt.IsZero() || !job.Balanced() {
		t.Errorf("at the end %+v %v", job, err)
	}
	s.want(`select who, action, reason from audit order by id`, "ann replay ", "ann pause ", "ann resume ", "ann cancel enough")
	if run, err := s.store.ClaimReplay(t.Context(), 0); run != nil || err != nil {
		t.Errorf("a finished job was claimed: %+v %v", run, err)
	}
}

func TestStopsByItself(t *testing.T) {
	s := openShelf(t)
	s.parked(12)
	job := s.job(store.NewReplay{})
	run := s.claim()
	fail := func(from, to int64) {
		for n := from; n <= to; n++ {
			s.apply(rejectedLetter(n, 1))
		}
	}
	s.mark(run, 3)
	fail(1, 3)
	if p := s.settle(run); p.State != store.JobRunning {
		t.Errorf("stopped after too few: %+v", p)
	}
	s.mark(run, 1)
	s.apply(delivery(parkedKey(4), 4, "a", event.Delivered))
	if p := s.settle(run); p.State != store.JobStopped || p.Waiting != 8 {
		t.Errorf("not stopped: %+v", p)
	}
	if marked, _ := s.mark(run, 1); marked != 0 {
		t.Error("sent although stopped")
	}
	if _, err := s.store.ResumeReplay(t.Context(), job.ID, "ann", ""); err != nil {
		t.Fatal(err)
	}
	s.mark(run, 4)
	fail(5, 6)
	s.apply(delivery(parkedKey(7), 7, "a", event.Delivered), delivery(parkedKey(8), 8, "a", event.Delivered))
	if p := s.settle(run); p.State != store.JobRunning || p.Results != 4 {
		t.Errorf("half of the new results failed, not more: %+v", p)
	}
	s.mark(run, 4)
	fail(9, 12)
	if p := s.settle(run); p.State != store.JobDone {
		t.Errorf("nothing left to stop: %+v", p)
	}
	s.want(`select who, action, object, reason from audit where who = 'console'`, "console stop replay 1 too many letters failed again")
}

func TestTakenOver(t *testing.T) {
	s := openShelf(t)
	s.parked(2)
	s.job(store.NewReplay{})
	old, err := s.store.ClaimReplay(t.Context(), 0) // its lease ends at once
	if err != nil {
		t.Fatal(err)
	}
	s.mark(old, 1)
	run := s.claim()
	_, _, errMark := old.Mark(t.Context(), 1)
	_, errSettle := old.Settle(t.Context(), rule)
	for _, err := range []error{errMark, errSettle, old.Renew(t.Context(), lease), old.Confirm(t.Context(), []store.Produced{{LetterID: 1}})} {
		if !errors.Is(err, store.ErrReplayLost) {
			t.Errorf("after it was taken over: %v", err)
		}
	}
	if err := old.Release(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if err := run.Renew(t.Context(), lease); err != nil {
		t.Error(err)
	}
	doubt, err := run.Unconfirmed(t.Context())
	if err != nil || len(doubt) != 1 || len(doubt["okkisync.replay.v1"]) != 0 {
		t.Errorf("in doubt: %v %v", doubt, err)
	}
	s.deliverAll(run, event.Delivered)
	s.mark(run, 1)
	if doubt, err = run.Unconfirmed(t.Context()); err != nil || doubt["okkisync.replay.v1"][0] != 2 {
		t.Errorf("in doubt: %v %v", doubt, err)
	}
}

// Two people and two consoles at once: the sums hold, and no letter is marked twice.
func TestManyAtOnce(t *testing.T) {
	s := openShelf(t)
	s.parked(40)
	first, second := s.job(store.NewReplay{}), s.job(store.NewReplay{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var marked int
	for range 2 {
		run := s.claim()
		for range 2 {
			wg.Go(func() {
				for range 10 {
					n, _, err := run.Mark(t.Context(), 3)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					marked += n
					mu.Unlock()
				}
			})
		}
	}
	for _, id := range []int64{first.ID, second.ID} {
		for range 2 {
			wg.Go(func() {
				for _, do := range []func() error{
					func() error { _, err := s.store.PauseReplay(t.Context(), id, "ann", ""); return err },
					func() error { _, err := s.store.ResumeReplay(t.Context(), id, "ann", ""); return err },
				} {
					if err := do(); err != nil && !errors.Is(err, store.ErrJobState) {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	s.want(`select count(*) from dead_letters where state = 'replaying'`, fmt.Sprint(marked))
	s.want(`select count(*), count(distinct letter_id) from replay_items where result = 'sent'`, fmt.Sprintf("%d %d", marked, marked))
	for _, id := range []int64{first.ID, second.ID} {
		if job, err := s.store.Replay(t.Context(), id); err != nil || !job.Balanced() {
			t.Errorf("%+v %v", job, err)
		}
	}
}

func TestDryRunStatements(t *testing.T) {
	s := openShelf(t)
	s.parked(4)
	s.apply(validated(parkedKey(1), 100, "bb"), delivery(parkedKey(1), 100, "bb", event.Delivered))
	s.apply(validated(parkedKey(2), 101, "bb")) // not delivered: it may still fail
	s.job(store.NewReplay{DryRun: true})
	run := s.claim()
	letters, err := run.Unjudged(t.Context(), s.keys, 3, 1<<20)
	if err != nil || len(letters) != 3 || !letters[0].Overtaken || letters[1].Overtaken || letters[2].Err != nil || letters[2].State != store.LetterOpen {
		t.Fatalf("to be judged: %+v %v", letters, err)
	}
	if letters, err := run.Unjudged(t.Context(), s.keys, 3, 1); err != nil || len(letters) != 1 {
		t.Errorf("bounded by bytes: %d letters %v", len(letters), err)
	}
	judged := []store.ReplayItem{
		{LetterID: 1, Result: store.ItemSuperseded},
		{LetterID: 2, Result: store.ItemWouldPass},
		{LetterID: 3, Result: store.ItemWouldFail, Code: "bad_amount", Path: "/a"},
		{LetterID: 4, Result: store.ItemSkipped, Code: "fixed"},
	}
	if err := run.Judge(t.Context(), judged); err != nil {
		t.Fatal(err)
	}
	if p := s.settle(run); p.State != store.JobDone {
		t.Errorf("progress %+v", p)
	}
	job, err := s.store.Replay(t.Context(), 1)
	if err != nil || job.Counts != (store.ReplayCounts{WouldPass: 1, WouldFail: 1, Superseded: 1, Skipped: 1}) || !job.Balanced() || job.Sent() != 0 {
		t.Errorf("job %+v %v", job, err)
	}
	s.want(`select distinct state from dead_letters`, "open")
}

func TestBadReplays(t *testing.T) {
	s := openShelf(t)
	for name, n := range map[string]store.NewReplay{
		"rate": {Rate: -1}, "reason": {Reason: strings.Repeat("r", 2000)}, "filter": {Filter: store.LetterFilter{States: []store.LetterState{"x"}}},
	} {
		if _, err := s.store.CreateReplay(t.Context(), n); !errors.Is(err, store.ErrFilter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.want(`select count(*) from replay_jobs`, "0")
	if _, err := s.store.Replay(t.Context(), 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no job: %v", err)
	}
}

func TestReplayQueriesUseIndexes(t *testing.T) {
	s := openShelf(t)
	s.fillLetters(20_000)
	if _, err := s.conn.Exec(t.Context(), `insert into replay_jobs (state, filter, dry_run, rate, reason, created_by, selected)
		select 'done', '{}', false, 0, '', 'ann', 1000 from generate_series(1, 20)`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.Exec(t.Context(), `insert into replay_items (job_id, letter_id, result, position)
		select 1 + id % 20, id, 'fixed', id from dead_letters`); err != nil {
		t.Fatal(err)
	}
	s.job(store.NewReplay{Filter: store.LetterFilter{Since: epoch.Add(-25 * time.Hour), Code: "bad_time"}})
	if _, err := s.conn.Exec(t.Context(), `vacuum analyze replay_items`); err != nil {
		t.Fatal(err)
	}
	s.wantNoScan(t, func(b *store.Store) error {
		run, err := b.ClaimReplay(t.Context(), lease)
		if err != nil {
			return err
		}
		_, _, errM := run.Mark(t.Context(), 50)
		_, errU := run.Unproduced(t.Context(), s.keys, 50, 1<<20)
		_, errC := run.Unconfirmed(t.Context())
		errP := run.Confirm(t.Context(), []store.Produced{{LetterID: 1}})
		_, errS := run.Settle(t.Context(), rule)
		_, errR := b.Replay(t.Context(), run.JobID)
		_, _, errI := b.ReplayItems(t.Context(), run.JobID, "", "", 50)
		_, errL := b.LetterReplays(t.Context(), 11)
		return errors.Join(errM, errU, errC, errP, errS, errR, errI, errL)
	})
}
