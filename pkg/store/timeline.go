package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// Timeline is what is known about what happened to one order.
type Timeline struct {
	Events     []Event // oldest first
	Partitions map[order.Revision]int32
	Letters    []TimelineLetter
	Replays    []TimelineReplay
}

// TimelineLetter is a dead letter of an order, and who gave it up.
type TimelineLetter struct {
	OrderKey      order.Key
	ID            int64
	Revision      order.Revision
	Service       string
	OriginTopic   string
	State         LetterState
	DiscardedBy   string
	DiscardReason string
}

// TimelineReplay is what one replay job did with one letter of an order. A dry run does nothing to it, and is left out.
type TimelineReplay struct {
	OrderKey order.Key
	JobID    int64
	LetterID int64
	Revision order.Revision
	By       string // who made the job
	Result   ItemResult
	Code     string // why it failed again, or was skipped
	Path     string
	At       time.Time // when it was sent; else, of the result
}

// Every order is looked up by its key, newest first: the laterals with a limit see to that, however long the tables are.
const (
	selectEvents = `select e.* from unnest($1::text[]) as asked (order_key) cross join lateral (
		select order_key, revision, step, dedupe, at, service, code, detail from order_events
		where order_key = asked.order_key order by revision desc, at desc, step, dedupe limit $2) e order by e.at, e.revision, e.step, e.dedupe`

	selectPartitions = `select r.order_key, r.revision, r.partition from unnest($1::text[]) as asked (order_key) cross join lateral (
		select order_key, revision, partition from received where order_key = asked.order_key order by revision desc limit $2) r`

	lettersOfOrders = `from unnest($1::text[]) as asked (order_key) cross join lateral (
		select * from dead_letters where order_key = asked.order_key order by revision desc, id desc limit $2) d `

	selectOrderLetters = `select d.order_key, d.id, coalesce(d.revision, 0), d.service, d.origin_topic, d.state, d.discarded_by, d.discard_reason ` +
		lettersOfOrders

	selectOrderReplays = `select d.order_key, i.job_id, i.letter_id, coalesce(d.revision, 0), j.created_by, i.result, i.code, i.path,
		coalesce(i.sent_at, i.at) ` + lettersOfOrders + `cross join lateral (
		select * from replay_items where letter_id = d.id order by job_id desc limit $2) i cross join lateral (
		select created_by from replay_jobs where id = i.job_id and not dry_run limit 1) j`
)

// Timelines reads what happened to each of these orders, the newest at most limit of each kind. Every key has its timeline,
// an empty one where nothing is known.
func (s *Store) Timelines(ctx context.Context, keys []order.Key, limit int) (map[order.Key]*Timeline, error) {
	lines := make(map[order.Key]*Timeline, len(keys))
	for _, key := range keys {
		lines[key] = &Timeline{Partitions: map[order.Revision]int32{}}
	}
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	events, errE := query(ctx, s, selectEvents, pgx.RowToStructByPos[Event], keys, limit)
	for _, e := range events {
		lines[e.OrderKey].Events = append(lines[e.OrderKey].Events, e)
	}
	type place struct {
		OrderKey  order.Key
		Revision  order.Revision
		Partition int32
	}
	places, errP := query(ctx, s, selectPartitions, pgx.RowToStructByPos[place], keys, limit)
	for _, p := range places {
		lines[p.OrderKey].Partitions[p.Revision] = p.Partition
	}
	letters, errL := query(ctx, s, selectOrderLetters, pgx.RowToStructByPos[TimelineLetter], keys, limit)
	for _, l := range letters {
		lines[l.OrderKey].Letters = append(lines[l.OrderKey].Letters, l)
	}
	replays, errR := query(ctx, s, selectOrderReplays, pgx.RowToStructByPos[TimelineReplay], keys, limit)
	for _, r := range replays {
		lines[r.OrderKey].Replays = append(lines[r.OrderKey].Replays, r)
	}
	if err := cmp.Or(errE, errP, errL, errR); err != nil {
		return nil, fmt.Errorf("read timelines: %w", err)
	}
	return lines, nil
}
