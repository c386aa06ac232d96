package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// jobAnswer is a replay job. Selected = fixed + failed_again + superseded + skipped once it is finished, and would_pass +
// would_fail of a dry run besides; Balanced is false when a letter is missing from the account.
type jobAnswer struct {
	ID          int64              `json:"id"`
	State       store.JobState     `json:"state"`
	DryRun      bool               `json:"dry_run"`
	Filter      store.LetterFilter `json:"filter"`
	Rate        int                `json:"rate"` // letters a second; 0: as fast as they go
	Reason      string             `json:"reason"`
	By          string             `json:"by"`
	ApprovedBy  string             `json:"approved_by"`
	Selected    int                `json:"selected"`
	LeftOut     int                `json:"left_out"` // matched, but failed too many replays: only by their ids
	Waiting     int                `json:"waiting"`  // not sent yet
	Sent        int                `json:"sent"`
	UnderWay    int                `json:"under_way"` // sent, without a result
	WouldPass   int                `json:"would_pass"`
	WouldFail   int                `json:"would_fail"`
	Fixed       int                `json:"fixed"`
	FailedAgain int                `json:"failed_again"`
	Superseded  int                `json:"superseded"`
	Skipped     int                `json:"skipped"`
	Balanced    bool               `json:"balanced"`
	CreatedAt   time.Time          `json:"created_at"`
	ChangedAt   time.Time          `json:"changed_at"`
	ApprovedAt  time.Time          `json:"approved_at,omitzero"`
	StartedAt   time.Time          `json:"started_at,omitzero"`
	FinishedAt  time.Time          `json:"finished_at,omitzero"` // when every letter had its result
}

func jobOf(j store.ReplayJob) jobAnswer {
	c := j.Counts
	return jobAnswer{
		ID: j.ID, State: j.State, DryRun: j.DryRun, Filter: j.Filter, Rate: j.Rate, Reason: j.Reason, By: j.By, ApprovedBy: j.ApprovedBy,
		Selected: j.Selected, LeftOut: j.LeftOut, Waiting: c.Waiting, Sent: j.Sent(), UnderWay: c.UnderWay, WouldPass: c.WouldPass,
		WouldFail: c.WouldFail, Fixed: c.Fixed, FailedAgain: c.FailedAgain, Superseded: c.Superseded, Skipped: c.Skipped,
		Balanced: j.Balanced(), CreatedAt: j.CreatedAt.UTC(), ChangedAt: j.ChangedAt.UTC(), ApprovedAt: j.ApprovedAt.UTC(),
		StartedAt: j.StartedAt.UTC(), FinishedAt: j.FinishedAt.UTC(),
	}
}

// newJob is what POST /api/replays takes.
type newJob struct {
	Filter fields `json:"filter"`
	DryRun bool   `json:"dry_run"`
	Rate   int    `json:"rate"`
	Reason string `json:"reason"`
}

func (c *console) createJob(r *http.Request, by user) (any, error) {
	var body newJob
	if err := readBody(r, &body); err != nil {
		return nil, err
	}
	if body.Filter == nil {
		return nil, badRequest("bad_parameter", "filter: needed; {} means all letters that are open or failed again")
	}
	if body.Rate < 0 || body.Rate > maxRate {
		return nil, badRequest("bad_parameter", "rate: letters a second, from 1 to 100000; 0 means as fast as they go")
	}
	if err := readReason(&body.Reason); err != nil {
		return nil, err
	}
	if err := body.Filter.complete(); err != nil {
		return nil, err
	}
	filter, err := body.Filter.filter(time.Now())
	if err != nil {
		return nil, err
	}
	job, err := c.db.CreateReplay(r.Context(), store.NewReplay{
		Filter: filter, DryRun: body.DryRun, Rate: body.Rate, Reason: body.Reason, By: by.name,
		ApprovalSize: c.approvalSize, MaxTimes: c.replayMaxTimes,
	})
	if err != nil {
		return nil, badFilter(err)
	}
	c.wake()
	return jobOf(job), nil
}

const maxRate = 100_000

func (c *console) listJobs(r *http.Request, _ user) (any, error) {
	_, cursor, limit, err := onlyList(r)
	if err != nil {
		return nil, err
	}
	jobs, next, err := c.db.Replays(r.Context(), cursor, limit)
	if err != nil {
		return nil, badFilter(err)
	}
	return listOf(jobs, next, jobOf), nil
}

func (c *console) getJob(r *http.Request, _ user) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	job, err := c.db.Replay(r.Context(), id)
	if err != nil {
		return nil, err
	}
	return jobOf(job), nil
}

// itemAnswer is one letter of a job.
type itemAnswer struct {
	Letter   int64            `json:"letter"`
	Service  string           `json:"service"`
	OrderKey order.Key        `json:"order_key"`
	Result   store.ItemResult `json:"result"`
	Code     string           `json:"code"`
	Path     string           `json:"path"`
	At       time.Time        `json:"at"`
}

func (c *console) listItems(r *http.Request, _ user) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	query, cursor, limit, err := onlyList(r, "result")
	if err != nil {
		return nil, err
	}
	var result store.ItemResult
	if given := query.Get("result"); given != "" {
		if fault := oneOf(&result, given, itemResults); fault != "" {
			return nil, badRequest("bad_parameter", "result: "+fault)
		}
	}
	if _, err := c.db.Replay(r.Context(), id); err != nil {
		return nil, err
	}
	items, next, err := c.db.ReplayItems(r.Context(), id, result, cursor, limit)
	if err != nil {
		return nil, badFilter(err)
	}
	return listOf(items, next, func(i store.ReplayItem) itemAnswer {
		return itemAnswer{i.LetterID, i.Service, i.OrderKey, i.Result, i.Code, i.Path, i.At.UTC()}
	}), nil
}

var itemResults = []store.ItemResult{
	store.ItemSelected, store.ItemWouldPass, store.ItemWouldFail, store.ItemSent, store.ItemFixed, store.ItemFailedAgain,
	store.ItemSuperseded, store.ItemSkipped,
}

// moveJob is one of the decisions about a job.
func (c *console) moveJob(move func(ctx context.Context, id int64, by, reason string) (store.ReplayJob, error)) endpoint {
	return func(r *http.Request, by user) (any, error) {
		id, err := pathID(r)
		if err != nil {
			return nil, err
		}
		var body struct {
			Reason string `json:"reason"`
		}
		if err := readBody(r, &body); err != nil {
			return nil, err
		}
		if err := readReason(&body.Reason); err != nil {
			return nil, err
		}
		job, err := move(r.Context(), id, by.name, body.Reason)
		var state *store.JobStateError
		switch {
		case errors.As(err, &state):
			return nil, &failure{http.StatusConflict, "wrong_state", state.Error()}
		case errors.Is(err, store.ErrOwnJob):
			return nil, &failure{http.StatusForbidden, "own_job", "who made a replay cannot approve it: a second person has to look at it"}
		case err != nil:
			return nil, err
		}
		c.wake()
		return jobOf(job), nil
	}
}

// auditAnswer is one line of the audit.
type auditAnswer struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	Action string    `json:"action"`
	Object string    `json:"object"`
	Reason string    `json:"reason"`
}

func (c *console) listAudit(r *http.Request, _ user) (any, error) {
	_, cursor, limit, err := onlyList(r)
	if err != nil {
		return nil, err
	}
	entries, next, err := c.db.Audit(r.Context(), cursor, limit)
	if err != nil {
		return nil, badFilter(err)
	}
	return listOf(entries, next, func(e store.AuditEntry) auditAnswer {
		e.At = e.At.UTC()
		return auditAnswer(e)
	}), nil
}

// readBody reads a JSON object, or nothing at all; unknown and doubled names are mistakes that somebody should hear about.
func readBody(r *http.Request, into any) error {
	text, err := io.ReadAll(r.Body)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return &failure{http.StatusRequestEntityTooLarge, "too_large", "the body is too large: over 64 KiB, of a new replay over 256 KiB"}
	}
	if err != nil {
		return badRequest("bad_body", "the body was cut off")
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return nil
	}
	err = json.Unmarshal(text, into, json.RejectUnknownMembers(true))
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if err != nil {
		return badRequest("bad_body", "the body is not the JSON object of this address: each name once and no other, numbers as numbers")
	}
	return nil
}

// readReason bounds what a person says about a decision.
func readReason(reason *string) error {
	*reason = strings.TrimSpace(*reason)
	fault := plain(reason, *reason)
	// Others read it later, on a page or in a terminal: it has to be what it looks like.
	if fault == "" && strings.ContainsFunc(*reason, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp) }) {
		fault = "not one line of plain text, without control characters and marks that turn the reading direction"
	}
	if fault != "" {
		return badRequest("bad_parameter", "reason: "+fault)
	}
	return nil
}
