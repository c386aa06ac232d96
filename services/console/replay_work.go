package main

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"orderflow/pkg/store"
)

const (
	maxBatchBytes = 16 << 20 // of a batch's records in memory
	batchesPerSec = 4        // at most, of a job with a rate
	// Letters under way without a result. The first ones show whether the fault is mended, before the rest follows; later on
	// it is enough for 1,000 letters a second while results take two seconds.
	firstUnderWay = 100
	maxUnderWay   = 2000
)

// work sends or judges a job's letters and notes the results until there is nothing to do.
func (r *runner) work(ctx context.Context, run *store.ReplayRun) error {
	sender := &sender{run: run, keys: r.keys, open: r.open, batch: r.pace.batch}
	defer sender.close()
	if err := sender.recover(ctx); err != nil {
		return err
	}
	batch := batchSize(run.Rate, r.pace.batch)
	limit := rate.Inf
	if run.Rate > 0 {
		limit = rate.Limit(run.Rate)
	}
	limiter := rate.NewLimiter(limit, batch)
	for {
		began := time.Now()
		progress, err := run.Settle(ctx, r.stop)
		if err != nil {
			return err
		}
		n := min(batch, r.room(progress))
		switch {
		case progress.State != store.JobRunning && progress.UnderWay == 0:
			return nil
		case run.DryRun && progress.State != store.JobRunning:
			return nil
		case run.DryRun:
			err = r.judge(ctx, run)
		case n > 0:
			err = r.next(ctx, run, sender, limiter, n)
		default:
			// The more letters there are under way, the longer a look at them takes: it must not become all that is done.
			err = wait(ctx, max(r.pace.settle, 4*time.Since(began)))
		}
		if err != nil {
			return err
		}
	}
}

// room is how many letters may be sent now.
func (r *runner) room(p store.ReplayProgress) int {
	if p.State != store.JobRunning {
		return 0
	}
	window := maxUnderWay
	if p.Results < r.stop.Min {
		window = firstUnderWay
	}
	return max(0, min(p.Waiting, window-p.UnderWay))
}

func batchSize(perSecond, most int) int {
	if perSecond == 0 {
		return most
	}
	return min(max(perSecond/batchesPerSec, 1), most)
}

// next sends the next letters once the rate allows it.
func (r *runner) next(ctx context.Context, run *store.ReplayRun, s *sender, limiter *rate.Limiter, n int) error {
	if err := limiter.WaitN(ctx, n); err != nil {
		return err
	}
	marked, _, err := run.Mark(ctx, n)
	if err != nil || marked == 0 {
		return err
	}
	return s.send(ctx)
}

// judge asks the deployed code about the next letters of a dry run.
func (r *runner) judge(ctx context.Context, run *store.ReplayRun) error {
	letters, err := run.Unjudged(ctx, r.keys, r.pace.batch, maxBatchBytes)
	if err != nil {
		return err
	}
	judged := make([]store.ReplayItem, 0, len(letters))
	for _, l := range letters {
		item, err := r.verdict(ctx, l)
		if err != nil {
			return err
		}
		judged = append(judged, item)
	}
	return run.Judge(ctx, judged)
}

// Codes of skipped letters, beside the states that a letter may have.
const codeUnreadable = "unreadable"

func (r *runner) verdict(ctx context.Context, l store.ReplayLetter) (store.ReplayItem, error) {
	item := store.ReplayItem{LetterID: l.ID}
	switch {
	case l.State == store.LetterSuperseded, l.State.Live() && l.Overtaken:
		item.Result = store.ItemSuperseded
	case !l.State.Live():
		item.Result, item.Code = store.ItemSkipped, string(l.State)
	case l.Err != nil:
		item.Result, item.Code = store.ItemSkipped, codeUnreadable
	default:
		pass, code, path, err := r.rehearse(ctx, l.Letter)
		if err != nil {
			return item, err
		}
		item.Result, item.Code, item.Path = store.ItemWouldFail, code, path
		if code == codeSuperseded {
			item.Result, item.Code = store.ItemSuperseded, ""
		}
		if pass {
			item = store.ReplayItem{LetterID: l.ID, Result: store.ItemWouldPass}
		}
	}
	return item, nil
}

// wait waits for d, or fails when ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
