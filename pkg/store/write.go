package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"orderflow/pkg/privacy"
)

const (
	writeRevisions = `insert into received (order_key, source, revision, partition, "offset", push_id, content_digest, received_at,
		validated_at, content, content_other, outcome, outcome_other, outcome_at, outcome_code, end_state, updated_at)
	select *, now() from unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::bigint[], $6::text[], $7::text[], $8::timestamptz[],
		$9::timestamptz[], $10::text[], $11::bigint[], $12::text[], $13::bigint[], $14::timestamptz[], $15::text[], $16::text[])
	on conflict (order_key, revision) do update set push_id = excluded.push_id, content_digest = excluded.content_digest,
		validated_at = excluded.validated_at, content = excluded.content, content_other = excluded.content_other,
		outcome = excluded.outcome, outcome_other = excluded.outcome_other, outcome_at = excluded.outcome_at,
		outcome_code = excluded.outcome_code, end_state = excluded.end_state, updated_at = excluded.updated_at`

	// Where two accounts of one step differ, the earliest stays: the result must not depend on which came first.
	writeEvents = `insert into order_events as e (order_key, revision, step, dedupe, at, service, code, detail)
	select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[])
	on conflict (order_key, revision, step, dedupe) do update
		set at = excluded.at, service = excluded.service, code = excluded.code, detail = excluded.detail
		where (excluded.at, excluded.service, excluded.code, excluded.detail) < (e.at, e.service, e.code, e.detail)`
)

// errConflict says that another writer changed an order between our reading and writing it.
var errConflict = errors.New("order was changed by another writer")

// write writes what has changed in the accounts, in one round trip.
func write(ctx context.Context, tx pgx.Tx, keys *privacy.Keys, accounts []*account) error {
	var orders []*orderRow
	var revisions []*revisionRow
	var letters []*letterRow
	var events []Event
	for _, a := range accounts {
		events = append(events, a.events...)
		if !a.changed {
			continue
		}
		orders = append(orders, &a.order)
		for _, r := range a.revisions {
			if r.changed {
				revisions = append(revisions, r)
			}
		}
		for _, l := range a.letters {
			if l.changed {
				letters = append(letters, l)
			}
		}
	}
	batch := &pgx.Batch{}
	var written int64
	wantedRows := queueOrders(batch, keys, orders, &written)
	queueRevisions(batch, revisions)
	if err := queueLetters(batch, keys, letters); err != nil {
		return err
	}
	queueEvents(batch, events)
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write orders: %w", err)
	}
	if written != wantedRows {
		return errConflict
	}
	return nil
}

func queueRevisions(batch *pgx.Batch, rows []*revisionRow) {
	if len(rows) == 0 {
		return
	}
	slices.SortFunc(rows, func(a, b *revisionRow) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.revision, b.revision))
	})
	batch.Queue(writeRevisions,
		column(rows, func(r *revisionRow) string { return string(r.key) }),
		column(rows, func(r *revisionRow) string { return string(r.source) }),
		column(rows, func(r *revisionRow) int64 { return int64(r.revision) }),
		column(rows, func(r *revisionRow) int32 { return r.partition }),
		column(rows, func(r *revisionRow) int64 { return r.offset }),
		column(rows, func(r *revisionRow) string { return r.pushID }),
		column(rows, func(r *revisionRow) string { return r.digest }),
		column(rows, func(r *revisionRow) time.Time { return r.receivedAt }),
		column(rows, func(r *revisionRow) *time.Time { return nullTime(r.validatedAt) }),
		column(rows, func(r *revisionRow) *string { return null(string(r.content)) }),
		column(rows, func(r *revisionRow) *int64 { return null(int64(r.contentOther)) }),
		column(rows, func(r *revisionRow) *string { return null(string(r.outcome)) }),
		column(rows, func(r *revisionRow) *int64 { return null(int64(r.outcomeOther)) }),
		column(rows, func(r *revisionRow) *time.Time { return nullTime(r.outcomeAt) }),
		column(rows, func(r *revisionRow) string { return r.outcomeCode }),
		column(rows, func(r *revisionRow) *string { return null(string(r.endState)) }),
	)
}

// queueEvents queues the writing of steps. A step that stands twice in one batch is written once: one statement cannot
// touch a row twice.
func queueEvents(batch *pgx.Batch, rows []Event) {
	if len(rows) == 0 {
		return
	}
	identity := func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.OrderKey, b.OrderKey), cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Step, b.Step), cmp.Compare(a.Dedupe, b.Dedupe))
	}
	slices.SortFunc(rows, func(a, b Event) int {
		return cmp.Or(identity(a, b), a.At.Compare(b.At), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Detail, b.Detail))
	})
	rows = slices.CompactFunc(rows, func(a, b Event) bool { return identity(a, b) == 0 })
	batch.Queue(writeEvents,
		column(rows, func(e Event) string { return string(e.OrderKey) }),
		column(rows, func(e Event) int64 { return int64(e.Revision) }),
		column(rows, func(e Event) string { return string(e.Step) }),
		column(rows, func(e Event) string { return e.Dedupe }),
		column(rows, func(e Event) time.Time { return e.At }),
		column(rows, func(e Event) string { return e.Service }),
		column(rows, func(e Event) string { return e.Code }),
		column(rows, func(e Event) string { return e.Detail }),
	)
}

// column is one column of many rows, as an array parameter.
func column[R, V any](rows []R, of func(R) V) []V {
	values := make([]V, len(rows))
	for i, row := range rows {
		values[i] = of(row)
	}
	return values
}

func countInto(total *int64) func(pgconn.CommandTag) error {
	return func(tag pgconn.CommandTag) error {
		*total += tag.RowsAffected()
		return nil
	}
}
