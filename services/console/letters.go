package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// letterAnswer is a dead letter without its record. The total is exact text, null where none could be read.
type letterAnswer struct {
	ID              int64             `json:"id"`
	State           store.LetterState `json:"state"`
	Service         string            `json:"service"`
	Code            string            `json:"code"`
	Path            string            `json:"path"`
	Detail          string            `json:"detail"`
	Class           string            `json:"class"`
	Message         string            `json:"message"`
	Source          order.Source      `json:"source"`
	Shop            string            `json:"shop"`
	OrderKey        order.Key         `json:"order_key"`
	Revision        *order.Revision   `json:"revision"` // null: the record's headers did not tell
	Total           *string           `json:"total"`
	OriginTopic     string            `json:"origin_topic"`
	OriginPartition int32             `json:"origin_partition"`
	OriginOffset    int64             `json:"origin_offset"`
	OriginAt        time.Time         `json:"origin_at,omitzero"`
	Attempts        int               `json:"attempts"`
	FirstFailedAt   time.Time         `json:"first_failed_at"`
	FailedAt        time.Time         `json:"failed_at"`
	FailedReplays   int               `json:"failed_replays"`
	DLQTopic        string            `json:"dlq_topic"`
	DLQPartition    int32             `json:"dlq_partition"`
	DLQOffset       int64             `json:"dlq_offset"`
	WorkerVersion   string            `json:"worker_version"`
	DiscardedAt     time.Time         `json:"discarded_at,omitzero"`
	DiscardedBy     string            `json:"discarded_by,omitzero"`
	DiscardReason   string            `json:"discard_reason,omitzero"`
}

func letterOf(v store.LetterView) letterAnswer {
	l := letterAnswer{
		ID: v.ID, State: v.State, Service: v.Service, Code: v.Code, Path: v.Path, Detail: v.Detail, Class: v.Class, Message: v.Message,
		Source: v.Source, Shop: shownCode(v.Shop), OrderKey: v.OrderKey, Total: text(v.Total), OriginTopic: v.OriginTopic,
		OriginPartition: v.OriginPartition, OriginOffset: v.OriginOffset, OriginAt: v.OriginAt.UTC(), Attempts: v.Attempts,
		FirstFailedAt: v.FirstFailedAt.UTC(), FailedAt: v.FailedAt.UTC(), FailedReplays: v.FailedReplays, DLQTopic: v.DLQTopic,
		DLQPartition: v.DLQPartition, DLQOffset: v.DLQOffset, WorkerVersion: v.WorkerVersion,
		DiscardedAt: v.DiscardedAt.UTC(), DiscardedBy: v.DiscardedBy, DiscardReason: v.DiscardReason,
	}
	if v.Revision != 0 {
		l.Revision = &v.Revision
	}
	return l
}

// shownCode is a code that a sender made up, where it looks like one; else only how long it is.
func shownCode(code string) string {
	if code == "" || len(code) <= maxShownText && consistsOf(code, codeMarks, true) {
		return code
	}
	return maskText(code)
}

// groupAnswer is letters with one cause; the path's array indexes are *. As filters, service, code and path choose the group.
type groupAnswer struct {
	Service   string    `json:"service"`
	Code      string    `json:"code"`
	Path      string    `json:"path"`
	Count     int       `json:"count"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Example   int64     `json:"example"` // a letter's number
}

// listOf makes a page of a list.
func listOf[V, A any](rows []V, next string, answer func(V) A) page[A] {
	p := page[A]{Items: make([]A, len(rows)), Next: text(next)}
	for i, row := range rows {
		p.Items[i] = answer(row)
	}
	return p
}

func (c *console) listLetters(r *http.Request, _ user) (any, error) {
	query, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	asked, cursor, limit, err := queryFields(query)
	if err != nil {
		return nil, err
	}
	filter, err := asked.filter(time.Now())
	if err != nil {
		return nil, err
	}
	letters, next, err := c.db.Letters(r.Context(), filter, cursor, limit)
	if err != nil {
		return nil, badFilter(err)
	}
	return listOf(letters, next, letterOf), nil
}

func (c *console) groupLetters(r *http.Request, _ user) (any, error) {
	query, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	filter, err := fields(query).filter(time.Now())
	if err != nil {
		return nil, err
	}
	groups, err := c.db.LetterGroups(r.Context(), filter)
	if err != nil {
		return nil, badFilter(err)
	}
	return listOf(groups, "", func(g store.LetterGroup) groupAnswer {
		g.FirstSeen, g.LastSeen = g.FirstSeen.UTC(), g.LastSeen.UTC()
		return groupAnswer(g)
	}), nil
}

// wholeLetter is a letter with all that helps to judge it.
type wholeLetter struct {
	letterAnswer
	letterJudgement
	Replays []letterReplay `json:"replays"` // newest first
}

type letterReplay struct {
	Job    int64            `json:"job"`
	Result store.ItemResult `json:"result"`
	Code   string           `json:"code"`
	Path   string           `json:"path"`
	At     time.Time        `json:"at"`
}

func (c *console) getLetter(r *http.Request, _ user) (any, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, err
	}
	return c.letter(r.Context(), id)
}

func (c *console) letter(ctx context.Context, id int64) (*wholeLetter, error) {
	view, err := c.db.Letter(ctx, id)
	if err != nil {
		return nil, err
	}
	items, err := c.db.LetterReplays(ctx, id)
	if err != nil {
		return nil, err
	}
	judgement, err := c.judge(ctx, view)
	if err != nil {
		return nil, err
	}
	whole := &wholeLetter{letterAnswer: letterOf(view), letterJudgement: judgement, Replays: []letterReplay{}}
	for _, i := range items {
		whole.Replays = append(whole.Replays, letterReplay{i.JobID, i.Result, i.Code, i.Path, i.At.UTC()})
	}
	return whole, nil
}

var errSettled = &failure{http.StatusConflict, "settled", "this letter is fixed, superseded or discarded already: nothing was changed"}

func (c *console) discardLetter(r *http.Request, by user) (any, error) {
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
	if body.Reason == "" {
		return nil, badRequest("bad_parameter", "reason: say in at most 1024 bytes why this letter is given up")
	}
	if _, err := c.db.Letter(r.Context(), id); err != nil {
		return nil, err
	}
	switch err := c.writer.Discard(r.Context(), id, by.name, body.Reason); {
	case errors.Is(err, store.ErrSettled):
		return nil, errSettled
	case err != nil:
		return nil, err
	}
	return c.letter(r.Context(), id)
}

// pathID is the number in an address; what is no number names nothing.
func pathID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		return 0, errNotFound
	}
	return id, nil
}

// badFilter tells the caller what the database's part of the house finds wrong with a filter or cursor.
func badFilter(err error) error {
	if errors.Is(err, store.ErrFilter) {
		return badRequest("bad_parameter", "the filter or the cursor makes no sense here: begin again without cursor")
	}
	return err
}
