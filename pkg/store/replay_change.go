package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// NewReplay is a replay job to be made.
type NewReplay struct {
	Filter       LetterFilter
	DryRun       bool // judge only, send nothing
	Rate         int  // letters a second; 0: as fast as they go
	Reason       string
	By           string
	ApprovalSize int // a job over more letters waits for a second person; dry runs do not
	MaxTimes     int // letters that failed so many replays are left out, unless the filter names ids
}

// freezeLetters takes the letters that hold now; later ones are not in the job. Letters of one order stand together, in the
// order of their revisions; orders stand by their oldest letter.
const freezeLetters = `with matched as materialized (
		select id, order_key, revision, failed_at, failed_replays >= %d as parked from dead_letters where %s
	), frozen as (
		insert into replay_items (job_id, letter_id, result, position)
		select %d, id, 'selected', row_number() over (order by oldest, order_key, revision nulls last, id)
		from (select *, min(failed_at) over (partition by order_key) as oldest from matched where not parked) kept
		returning 1
	) select (select count(*) from frozen), (select count(*) from matched where parked)`

// CreateReplay makes a job of the letters that the filter chooses now, and says so in the audit. The job is planned, or
// waits for approval, or is done at once where no letter was chosen.
func (s *Store) CreateReplay(ctx context.Context, r NewReplay) (job ReplayJob, err error) {
	where, err := r.Filter.conditions()
	if err != nil {
		return job, err
	}
	if r.Rate < 0 || r.Rate > 1_000_000 || len(r.Reason) > maxFilterText || !validText(r.Reason) {
		return job, fmt.Errorf("%w: rate or reason", ErrFilter)
	}
	filter, err := json.Marshal(&r.Filter)
	if err != nil {
		return job, fmt.Errorf("create replay: %w", err)
	}
	maxTimes := r.MaxTimes
	if len(r.Filter.IDs) > 0 {
		maxTimes = 1<<31 - 1
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var id int64
		err := tx.QueryRow(ctx, `insert into replay_jobs (state, filter, dry_run, rate, reason, created_by, max_times)
			values ('planned', $1, $2, $3, $4, $5, $6) returning id`, filter, r.DryRun, r.Rate, r.Reason, r.By, maxTimes).Scan(&id)
		if err != nil {
			return err
		}
		var selected, leftOut int
		sql := fmt.Sprintf(freezeLetters, maxTimes, where.text(), id)
		if err := tx.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, where.args...)...).Scan(&selected, &leftOut); err != nil {
			return err
		}
		state := JobPlanned
		switch {
		case selected == 0:
			state = JobDone
		case !r.DryRun && selected > r.ApprovalSize:
			state = JobWaitingApproval
		}
		_, err = tx.Exec(ctx, `update replay_jobs set state = $2, selected = $3, left_out = $4, finished_at = case when $3 = 0 then now() end where id = $1`,
			id, state, selected, leftOut)
		if err != nil {
			return err
		}
		action := "replay"
		if r.DryRun {
			action = "dry run"
		}
		if err := addAudit(ctx, tx, AuditEntry{Who: r.By, Action: action, Object: jobObject(id), Reason: r.Reason}); err != nil {
			return err
		}
		job, err = readJob(ctx, tx, id)
		return err
	})
	if err != nil {
		return ReplayJob{}, fmt.Errorf("create replay: %w", err)
	}
	return job, nil
}

func jobObject(id int64) string { return "replay " + strconv.FormatInt(id, 10) }

// move is what a person may do to a job.
type move struct {
	name string
	from []JobState
	to   JobState
	set  string // further columns
}

var (
	moveApprove = move{"approve", []JobState{JobWaitingApproval}, JobRunning, ", approved_by = $3, approved_at = now()"}
	movePause   = move{"pause", []JobState{JobPlanned, JobRunning}, JobPaused, ""}
	moveResume  = move{"resume", []JobState{JobPaused, JobStopped}, JobRunning, ", resumed_at = now()"}
	moveCancel  = move{"cancel", []JobState{JobPlanned, JobWaitingApproval, JobRunning, JobPaused, JobStopped}, JobCancelled, ""}
)

// ApproveReplay lets a job run that waits for a second person: anybody but its author (ErrOwnJob).
func (s *Store) ApproveReplay(ctx context.Context, id int64, by, reason string) (ReplayJob, error) {
	return s.move(ctx, id, by, reason, moveApprove)
}

// PauseReplay stops sending; what was sent still gets its result.
func (s *Store) PauseReplay(ctx context.Context, id int64, by, reason string) (ReplayJob, error) {
	return s.move(ctx, id, by, reason, movePause)
}

// ResumeReplay goes on with a job that was paused or stopped by itself; only results from now on count for stopping again.
func (s *Store) ResumeReplay(ctx context.Context, id int64, by, reason string) (ReplayJob, error) {
	return s.move(ctx, id, by, reason, moveResume)
}

// CancelReplay ends a job: letters that were not sent are skipped, those that were still get their result.
func (s *Store) CancelReplay(ctx context.Context, id int64, by, reason string) (ReplayJob, error) {
	return s.move(ctx, id, by, reason, moveCancel)
}

// move changes a job's state for a person, and says so in the audit. What the state does not allow is a JobStateError.
func (s *Store) move(ctx context.Context, id int64, by, reason string, m move) (job ReplayJob, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var state JobState
		var author string
		err := tx.QueryRow(ctx, `select state, created_by from replay_jobs where id = $1 for update`, id).Scan(&state, &author)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return ErrNotFound
		case err != nil:
			return err
		case !slices.Contains(m.from, state):
			return &JobStateError{m.name, state}
		case m.to == JobRunning && state == JobWaitingApproval && by == author:
			return ErrOwnJob
		}
		args := []any{id, m.to}
		if m.name == moveApprove.name {
			args = append(args, by)
		}
		if _, err := tx.Exec(ctx, `update replay_jobs set state = $2, changed_at = now()`+m.set+` where id = $1`, args...); err != nil {
			return err
		}
		if m.to == JobCancelled {
			if err := cancelItems(ctx, tx, id); err != nil {
				return err
			}
		}
		if err := addAudit(ctx, tx, AuditEntry{Who: by, Action: m.name, Object: jobObject(id), Reason: reason}); err != nil {
			return err
		}
		job, err = readJob(ctx, tx, id)
		return err
	})
	if err != nil {
		return ReplayJob{}, fmt.Errorf("%s replay %d: %w", m.name, id, err)
	}
	return job, nil
}

func cancelItems(ctx context.Context, tx pgx.Tx, id int64) error {
	_, err := tx.Exec(ctx, `update replay_items set result = 'skipped', code = 'cancelled', at = now() where job_id = $1 and result = 'selected'`, id)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `update replay_jobs set finished_at = now() where id = $1
		and not exists (select from replay_items where job_id = $1 and result = 'sent')`, id)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, keepCounts, id)
	return err
}
