package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ReplayRun is a replay job in the hands of one console. Its methods are the only ones that send or judge letters; each
// fails with ErrReplayLost once another console has taken the job over.
type ReplayRun struct {
	JobID     int64
	DryRun    bool
	Rate      int // letters a second; 0: as fast as they go
	CreatedAt time.Time

	store *Store
	owner string
}

// ErrReplayLost says that another console works on the job now.
var ErrReplayLost = errors.New("the job was taken over by another console")

// ClaimReplay takes up a job that has something to do and that no console holds: one to be sent or judged, or one whose
// letters under way have no result yet. It returns nil when there is none. Whoever claims it must renew the lease.
func (s *Store) ClaimReplay(ctx context.Context, lease time.Duration) (*ReplayRun, error) {
	run := &ReplayRun{store: s, owner: rand.Text()}
	err := s.pool.QueryRow(ctx, `update replay_jobs set lease_owner = $1, lease_until = now() + $2, started_at = coalesce(started_at, now()),
			changed_at = case when state = 'planned' then now() else changed_at end,
			state = case when state = 'planned' then 'running' else state end
		where id = (select id from replay_jobs j where finished_at is null and (lease_until is null or lease_until < now())
			and (state in ('planned', 'running') or exists (select from replay_items i where i.job_id = j.id and i.result = 'sent'))
			order by lease_until nulls first, id limit 1 for update skip locked)
		returning id, dry_run, rate, created_at`, run.owner, lease).Scan(&run.JobID, &run.DryRun, &run.Rate, &run.CreatedAt)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("claim replay: %w", err)
	}
	return run, nil
}

// Renew keeps the job for another while.
func (r *ReplayRun) Renew(ctx context.Context, lease time.Duration) error {
	tag, err := r.store.pool.Exec(ctx, `update replay_jobs set lease_until = now() + $3 where id = $1 and lease_owner = $2`, r.JobID, r.owner, lease)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrReplayLost
	}
	if err != nil {
		return fmt.Errorf("renew replay %d: %w", r.JobID, err)
	}
	return nil
}

// Release lets the job go: any console may take it up, not before the pause is over. It does nothing once the job is lost.
func (r *ReplayRun) Release(ctx context.Context, pause time.Duration) error {
	_, err := r.store.pool.Exec(ctx, `update replay_jobs set lease_owner = '', lease_until = now() + $3 where id = $1 and lease_owner = $2`,
		r.JobID, r.owner, pause)
	if err != nil {
		return fmt.Errorf("release replay %d: %w", r.JobID, err)
	}
	return nil
}

// within runs a transaction that holds the job's row, so that pausing and cancelling wait for it and it for them.
func (r *ReplayRun) within(ctx context.Context, operation string, do func(tx pgx.Tx, state JobState) error) error {
	var err error
	for range maxRedo {
		err = pgx.BeginFunc(ctx, r.store.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, planAnew); err != nil {
				return err
			}
			var state JobState
			err := tx.QueryRow(ctx, `select state from replay_jobs where id = $1 and lease_owner = $2 for update`, r.JobID, r.owner).Scan(&state)
			if errors.Is(err, pgx.ErrNoRows) {
				return ErrReplayLost
			}
			if err != nil {
				return err
			}
			return do(tx, state)
		})
		if !serialization(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%s of replay %d: %w", operation, r.JobID, err)
	}
	return nil
}

// ReplayProgress is where a job stands after what came in.
type ReplayProgress struct {
	State    JobState
	Waiting  int // not sent or judged yet
	UnderWay int // sent, without a result
	Results  int // that came since the job started or was resumed
}

// StopRule says when a job stops by itself: once more than Ratio of at least Min results failed again.
type StopRule struct {
	Ratio float64
	Min   int
}

const (
	// The letter's own row tells the result of what was sent; see the first table in fold.go. A letter that a person gave up
	// while it was not produced yet is not produced any more. One that was sent again since, by another job, had failed this
	// one: what became of it then is the other job's result.
	settleItems = `update replay_items i set at = now(),
			result = case when d.state in ('fixed', 'superseded') and d.sent_replays = i.replay then d.state
				when d.failed_replays >= i.replay then 'failed_again' else 'skipped' end,
			code = case when d.state in ('fixed', 'superseded') and d.sent_replays = i.replay then ''
				when d.failed_replays >= i.replay then d.code else d.state end,
			path = case when d.state in ('fixed', 'superseded') and d.sent_replays = i.replay then ''
				when d.failed_replays >= i.replay then d.path else '' end
		from dead_letters d where i.job_id = $1 and i.result = 'sent' and d.id = i.letter_id
			and (d.state in ('fixed', 'superseded') or d.failed_replays >= i.replay or d.state = 'discarded' and i.partition is null)`

	progressOfJob = `select count(*) filter (where result = 'selected'), count(*) filter (where result = 'sent'),
			count(*) filter (where result in ('fixed', 'failed_again', 'superseded') and at >= coalesce(resumed_at, created_at)),
			count(*) filter (where result = 'failed_again' and at >= coalesce(resumed_at, created_at))
		from replay_items i join replay_jobs j on j.id = i.job_id where j.id = $1`
)

// Settle notes the results that came in, and what they mean for the job: it is done, or it stops by itself. Every letter
// that was marked to be sent must have been produced, or be known not to have been.
func (r *ReplayRun) Settle(ctx context.Context, rule StopRule) (p ReplayProgress, err error) {
	err = r.within(ctx, "settle letters", func(tx pgx.Tx, state JobState) error {
		if _, err := tx.Exec(ctx, settleItems, r.JobID); err != nil {
			return err
		}
		var failed int
		p.State = state
		if err := tx.QueryRow(ctx, progressOfJob, r.JobID).Scan(&p.Waiting, &p.UnderWay, &p.Results, &failed); err != nil {
			return err
		}
		switch {
		case p.Waiting+p.UnderWay == 0 && state == JobRunning:
			p.State = JobDone
		case p.Waiting+p.UnderWay == 0 && state == JobCancelled:
		case state == JobRunning && p.Waiting > 0 && p.Results >= rule.Min && float64(failed) > rule.Ratio*float64(p.Results):
			p.State = JobStopped
			if err := addAudit(ctx, tx, AuditEntry{Who: serviceConsole, Action: "stop", Object: jobObject(r.JobID), Reason: "too many letters failed again"}); err != nil {
				return err
			}
		default:
			return nil
		}
		_, err := tx.Exec(ctx, `update replay_jobs set state = $2, changed_at = case when state <> $2 then now() else changed_at end,
			finished_at = case when $2 <> 'stopped' then now() end where id = $1`, r.JobID, p.State)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, keepCounts, r.JobID)
		return err
	})
	return p, err
}
