package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// JobState is where a replay job stands.
type JobState string

// The states of a replay job. Planned: no console has taken it up yet. Stopped: it stopped by itself, since too many of its
// letters failed again. Cancelled and done are final.
const (
	JobPlanned         JobState = "planned"
	JobWaitingApproval JobState = "waiting_approval"
	JobRunning         JobState = "running"
	JobPaused          JobState = "paused"
	JobStopped         JobState = "stopped"
	JobCancelled       JobState = "cancelled"
	JobDone            JobState = "done"
)

// ItemResult is what a replay job amounted to for one letter.
type ItemResult string

// The results. Selected and sent are under way; would_pass and would_fail are a dry run's.
const (
	ItemSelected    ItemResult = "selected"
	ItemWouldPass   ItemResult = "would_pass"
	ItemWouldFail   ItemResult = "would_fail"
	ItemSent        ItemResult = "sent"
	ItemFixed       ItemResult = "fixed"
	ItemFailedAgain ItemResult = "failed_again"
	ItemSuperseded  ItemResult = "superseded"
	ItemSkipped     ItemResult = "skipped"
)

// ReplayJob is a replay of dead letters, with its results so far.
type ReplayJob struct {
	ID         int64
	State      JobState
	Filter     LetterFilter
	DryRun     bool
	Rate       int // letters a second; 0: as fast as they go
	Reason     string
	By         string
	ApprovedBy string
	Selected   int
	LeftOut    int // matched the filter, but failed too many replays: only by their ids
	CreatedAt  time.Time
	ChangedAt  time.Time // of the state
	ApprovedAt time.Time // zero: not yet
	StartedAt  time.Time
	FinishedAt time.Time // when every letter had its result
	Counts     ReplayCounts

	sent int
}

// ReplayCounts are a job's letters by result. Waiting is how many are not sent yet, UnderWay how many were sent and have no
// result.
type ReplayCounts struct {
	Waiting, UnderWay, WouldPass, WouldFail, Fixed, FailedAgain, Superseded, Skipped int
}

// Sent is how many letters were sent home so far, those with a result included.
func (j *ReplayJob) Sent() int { return j.sent }

// Balanced tells whether the job adds up: every letter that was selected is counted once, and once the job is finished each
// has a result.
func (j *ReplayJob) Balanced() bool {
	c := j.Counts
	results := c.WouldPass + c.WouldFail + c.Fixed + c.FailedAgain + c.Superseded + c.Skipped
	return results+c.Waiting+c.UnderWay == j.Selected && (j.FinishedAt.IsZero() || results == j.Selected)
}

// Errors about replay jobs.
var (
	ErrJobState = errors.New("the job's state does not allow it")
	ErrOwnJob   = errors.New("the author of a job cannot approve it")
)

// JobStateError says that a job's state does not allow what was asked. It is an ErrJobState.
type JobStateError struct {
	Action string // approve, pause, resume, cancel
	State  JobState
}

func (e *JobStateError) Error() string {
	return fmt.Sprintf("%s: not possible while the job is %s", e.Action, e.State)
}

// Is makes it an ErrJobState.
func (e *JobStateError) Is(target error) bool { return target == ErrJobState }

const (
	jobColumns = `j.id, j.state, j.filter, j.dry_run, j.rate, j.reason, j.created_by, j.approved_by, j.selected, j.left_out,
	j.created_at, j.changed_at, j.approved_at, j.started_at, j.finished_at`
	// countItems is what scanCounts reads.
	countItems = `(select array[count(*) filter (where result = 'selected'), count(*) filter (where result = 'sent'),
			count(*) filter (where result = 'would_pass'), count(*) filter (where result = 'would_fail'),
			count(*) filter (where result = 'fixed'), count(*) filter (where result = 'failed_again'),
			count(*) filter (where result = 'superseded'), count(*) filter (where result = 'skipped'),
			count(*) filter (where sent_at is not null)]
		from replay_items i where i.job_id = j.id)`
	// One job is counted whenever somebody looks at it; in the list, one that has ended shows what was counted then.
	selectJob  = `select ` + jobColumns + `, ` + countItems + ` from replay_jobs j `
	selectJobs = `select ` + jobColumns + `, coalesce(j.counts, ` + countItems + `) from replay_jobs j `
	// keepCounts is for whoever gives a job its end.
	keepCounts = `update replay_jobs j set counts = ` + countItems + ` where id = $1 and finished_at is not null`
)

func scanJob(row pgx.CollectableRow) (j ReplayJob, err error) {
	var filter []byte
	var approvedAt, startedAt, finishedAt *time.Time
	var counts []int64
	err = row.Scan(&j.ID, &j.State, &filter, &j.DryRun, &j.Rate, &j.Reason, &j.By, &j.ApprovedBy, &j.Selected, &j.LeftOut,
		&j.CreatedAt, &j.ChangedAt, &approvedAt, &startedAt, &finishedAt, &counts)
	if err == nil {
		err = j.scanCounts(counts)
	}
	if err != nil {
		return j, err
	}
	j.ApprovedAt, j.StartedAt, j.FinishedAt = value(approvedAt), value(startedAt), value(finishedAt)
	return j, json.Unmarshal(filter, &j.Filter)
}

func (j *ReplayJob) scanCounts(counts []int64) error {
	c := &j.Counts
	fields := []*int{&c.Waiting, &c.UnderWay, &c.WouldPass, &c.WouldFail, &c.Fixed, &c.FailedAgain, &c.Superseded, &c.Skipped, &j.sent}
	if len(counts) != len(fields) {
		return fmt.Errorf("replay %d: %d counts instead of %d", j.ID, len(counts), len(fields))
	}
	for i, field := range fields {
		*field = int(counts[i])
	}
	return nil
}

func readJob(ctx context.Context, db querier, id int64) (ReplayJob, error) {
	rows, err := db.Query(ctx, selectJob+"where j.id = $1", id)
	if err != nil {
		return ReplayJob{}, err
	}
	job, err := pgx.CollectExactlyOneRow(rows, scanJob)
	return job, notFound(err)
}

// Replay reads one job, or ErrNotFound.
func (s *Store) Replay(ctx context.Context, id int64) (ReplayJob, error) {
	job, err := readJob(ctx, s.pool, id)
	if err != nil {
		return ReplayJob{}, fmt.Errorf("read replay: %w", err)
	}
	return job, nil
}

// Replays lists the jobs, newest first, at most limit. Next is the cursor of what follows, "" at the end.
func (s *Store) Replays(ctx context.Context, cursor string, limit int) (jobs []ReplayJob, next string, err error) {
	before, err := idCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	jobs, err = query(ctx, s, selectJobs+`where j.id < $1 order by j.id desc limit $2`, scanJob, before, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list replays: %w", err)
	}
	if len(jobs) > limit {
		jobs = jobs[:limit]
		next = cursorOf(time.UnixMicro(0), jobs[limit-1].ID)
	}
	return jobs, next, nil
}

// ReplayItem is one letter of one job.
type ReplayItem struct {
	JobID    int64
	LetterID int64
	Position int
	Service  string
	OrderKey order.Key
	Result   ItemResult
	Code     string // why it failed or would fail, or was skipped
	Path     string
	At       time.Time // of the result
}

const selectItem = `select i.job_id, i.letter_id, i.position, d.service, d.order_key, i.result, i.code, i.path, i.at
	from (select * from replay_items where %s) i join dead_letters d on d.id = i.letter_id order by %s`

// ReplayItems lists a job's letters in the order in which they are sent, at most limit; those with one result where it is
// set. Next is the cursor of what follows, "" at the end.
func (s *Store) ReplayItems(ctx context.Context, job int64, result ItemResult, cursor string, limit int) (items []ReplayItem, next string, err error) {
	after := int64(0)
	if cursor != "" {
		if after, err = idCursor(cursor); err != nil {
			return nil, "", err
		}
	}
	args := []any{job, after, limit + 1}
	where := "job_id = $1 and position > $2"
	if result != "" {
		where, args = where+" and result = $4", append(args, result)
	}
	items, err = query(ctx, s, fmt.Sprintf(selectItem, where+" order by position limit $3", "i.position"), pgx.RowToStructByPos[ReplayItem], args...)
	if err != nil {
		return nil, "", fmt.Errorf("list letters of a replay: %w", err)
	}
	if len(items) > limit {
		items = items[:limit]
		next = cursorOf(time.UnixMicro(0), int64(items[limit-1].Position))
	}
	return items, next, nil
}

// LetterReplays lists the jobs that a letter is in, newest first, at most 100.
func (s *Store) LetterReplays(ctx context.Context, letter int64) ([]ReplayItem, error) {
	items, err := query(ctx, s, fmt.Sprintf(selectItem, "letter_id = $1 order by job_id desc limit 100", "i.job_id desc"), pgx.RowToStructByPos[ReplayItem], letter)
	if err != nil {
		return nil, fmt.Errorf("list replays of a letter: %w", err)
	}
	return items, nil
}
