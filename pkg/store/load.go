package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// The orders are read and locked first; each later statement then sees what another writer of them has committed.
const (
	// A plan that was made for empty tables must not be kept while they fill.
	planAnew = `set local plan_cache_mode = force_custom_plan`

	loadOrders = `select order_key, version, revision, validated, state, content_digest, content_revision, document_revision,
		delivered_revision, delivered_total::text, delivered_digest, received_at, numbers, payload is not null
		from orders where order_key = any($1) order by order_key for update`

	loadErasures = `select order_key, revision, erased_at from erasures where order_key = any($1)`

	wanted = `with wanted as (
		select * from unnest($1::text[], $2::bigint[]) as touched (order_key, revision)
		union select order_key, revision from orders where order_key = any($3)
		union select order_key, content_revision from orders where order_key = any($3)) `

	loadRevisions = wanted + `select r.order_key, r.source, r.revision, r.partition, r."offset", r.push_id, r.content_digest,
		r.received_at, r.validated_at, r.content, r.content_other, r.outcome, r.outcome_other, r.outcome_at, r.outcome_code, r.end_state
		from wanted join received r using (order_key, revision)`

	loadLetters = wanted + `select l.id, l.order_key, l.revision, l.service, l.origin_topic, l.origin_partition, l.origin_offset,
		l.code, l.failed_replays, l.sent_replays, l.dlq_offset, l.first_failed_at, l.state, l.discarded_at
		from wanted join dead_letters l using (order_key, revision)`
)

// load reads and locks what the tables in fold.go need to know about the orders that the facts are about.
func load(ctx context.Context, tx pgx.Tx, facts []*Fact) (map[order.Key]*account, error) {
	accounts := make(map[order.Key]*account, len(facts))
	var keys, touched []string
	var revisions []int64
	for _, f := range facts {
		if accounts[f.Meta.OrderKey] == nil {
			accounts[f.Meta.OrderKey] = newAccount(f.Meta.OrderKey)
			keys = append(keys, string(f.Meta.OrderKey))
		}
		touched = append(touched, string(f.Meta.OrderKey))
		revisions = append(revisions, int64(f.Meta.Revision))
	}
	batch := &pgx.Batch{}
	batch.Queue(planAnew)
	batch.Queue(loadOrders, keys).Query(func(rows pgx.Rows) error { return scanOrders(rows, accounts) })
	batch.Queue(loadErasures, keys).Query(func(rows pgx.Rows) error { return scanErasures(rows, accounts) })
	batch.Queue(loadRevisions, touched, revisions, keys).Query(func(rows pgx.Rows) error { return scanRevisions(rows, accounts) })
	batch.Queue(loadLetters, touched, revisions, keys).Query(func(rows pgx.Rows) error { return scanLetters(rows, accounts) })
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	return accounts, nil
}

func scanOrders(rows pgx.Rows, accounts map[order.Key]*account) error {
	for rows.Next() {
		var o orderRow
		var contentRevision, documentRevision, deliveredRevision *int64
		var deliveredTotal *string
		err := rows.Scan(&o.key, &o.version, &o.revision, &o.validated, &o.state, &o.contentDigest, &contentRevision,
			&documentRevision, &deliveredRevision, &deliveredTotal, &o.deliveredDigest, &o.receivedAt, &o.numbers, &o.hasDocument)
		if err != nil {
			return err
		}
		o.source = o.key.Source()
		o.contentRevision, o.documentRevision = order.Revision(value(contentRevision)), order.Revision(value(documentRevision))
		o.deliveredRevision, o.deliveredTotal = order.Revision(value(deliveredRevision)), value(deliveredTotal)
		accounts[o.key].order = o
	}
	return rows.Err()
}

func scanErasures(rows pgx.Rows, accounts map[order.Key]*account) error {
	for rows.Next() {
		var key order.Key
		var e erasure
		if err := rows.Scan(&key, &e.revision, &e.at); err != nil {
			return err
		}
		accounts[key].erasure = e
	}
	return rows.Err()
}

func scanRevisions(rows pgx.Rows, accounts map[order.Key]*account) error {
	for rows.Next() {
		r := &revisionRow{}
		var validatedAt, outcomeAt *time.Time
		var contentOther, outcomeOther *int64
		var contentText, outcome, end *string
		err := rows.Scan(&r.key, &r.source, &r.revision, &r.partition, &r.offset, &r.pushID, &r.digest, &r.receivedAt, &validatedAt,
			&contentText, &contentOther, &outcome, &outcomeOther, &outcomeAt, &r.outcomeCode, &end)
		if err != nil {
			return err
		}
		r.validatedAt, r.outcomeAt = value(validatedAt), value(outcomeAt)
		r.content, r.contentOther = content(value(contentText)), order.Revision(value(contentOther))
		r.outcome, r.outcomeOther = event.Outcome(value(outcome)), order.Revision(value(outcomeOther))
		r.endState = State(value(end))
		accounts[r.key].revisions[r.revision] = r
	}
	return rows.Err()
}

func scanLetters(rows pgx.Rows, accounts map[order.Key]*account) error {
	for rows.Next() {
		l := &letterRow{}
		var discardedAt *time.Time
		err := rows.Scan(&l.id, &l.key, &l.revision, &l.service, &l.originTopic, &l.originPartition, &l.originOffset, &l.code,
			&l.failedReplays, &l.sentReplays, &l.dlqOffset, &l.firstFailedAt, &l.state, &discardedAt)
		if err != nil {
			return err
		}
		l.discardedAt = value(discardedAt)
		accounts[l.key].letters = append(accounts[l.key].letters, l)
	}
	return rows.Err()
}

// value is what a nullable column holds, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// null is a nullable column's value: the zero value is written as null.
func null[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// nullTime is null for times, which have more than one zero.
func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
