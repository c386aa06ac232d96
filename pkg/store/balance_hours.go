package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

const hourColumns = `h.source, h.hour, h.state, h.generation, h.received, h.refused, h.validated, h.published, h.delivered, h.persisted, h.duplicate,
	h.superseded, h.parked, h.discarded, h.open, h.missing, h.faults, h.accepted, h.unsure, h.sums, h.checked_at, h.revision, h.told, h.told_at, h.complete, h.pending`

func scanHour(row pgx.CollectableRow) (h BalanceHour, err error) {
	t := &h.Tally
	var sums []byte
	var checkedAt, toldAt *time.Time
	err = row.Scan(&h.Source, &h.Hour, &h.State, &h.Generation, &t.Received, &t.Refused, &t.Validated, &t.Published, &t.Delivered, &t.Persisted,
		&t.Duplicate, &t.Superseded, &t.Parked, &t.Discarded, &t.Open, &t.Missing, &t.Faults, &t.Accepted, &t.Unsure, &sums, &checkedAt, &h.Revision, &h.Told,
		&toldAt, &h.Complete, &h.Pending)
	if err == nil {
		err = json.Unmarshal(sums, &t.Sums)
	}
	h.Hour, h.CheckedAt, h.ToldAt = h.Hour.UTC(), value(checkedAt), value(toldAt)
	return h, err
}

// BalanceHours reads the hours of a source from a time on, with their ranges, oldest first.
func (s *Store) BalanceHours(ctx context.Context, source order.Source, from time.Time) ([]BalanceHour, error) {
	hours, err := s.balanceHours(ctx, `h.source = $1 and h.hour >= $2 order by h.hour`, source, from)
	if err != nil {
		return nil, fmt.Errorf("read hours: %w", err)
	}
	return hours, nil
}

func (s *Store) balanceHours(ctx context.Context, where string, args ...any) ([]BalanceHour, error) {
	rows, err := s.pool.Query(ctx, `select `+hourColumns+` from balance_hours h where `+where, args...)
	if err != nil {
		return nil, err
	}
	hours, err := pgx.CollectRows(rows, scanHour)
	if err != nil || len(hours) == 0 {
		return hours, err
	}
	at := map[string]int{}
	identity := func(source order.Source, hour time.Time) string {
		return string(source) + hour.UTC().Format(time.RFC3339)
	}
	sources, starts := make([]string, len(hours)), make([]time.Time, len(hours))
	for i := range hours {
		sources[i], starts[i] = string(hours[i].Source), hours[i].Hour
		at[identity(hours[i].Source, hours[i].Hour)] = i
	}
	rows, err = s.pool.Query(ctx, `select g.source, g.hour, g.partition, g.first_offset, g.end_offset
		from unnest($1::text[], $2::timestamptz[]) as asked (source, hour) join balance_ranges g using (source, hour)
		order by g.source, g.hour, g.partition`, sources, starts)
	if err != nil {
		return nil, err
	}
	var source order.Source
	var hour time.Time
	var r OffsetRange
	_, err = pgx.ForEachRow(rows, []any{&source, &hour, &r.Partition, &r.First, &r.End}, func() error {
		if i, ok := at[identity(source, hour)]; ok {
			hours[i].Ranges = append(hours[i].Ranges, r)
		}
		return nil
	})
	return hours, err
}

const (
	writeHour = `insert into balance_hours (source, hour, generation, state) values ($1, $2, $3, 'open')
	on conflict (hour, source) do nothing`

	// Ranges of an hour that is no longer open are final.
	writeRanges = `insert into balance_ranges as g (source, hour, partition, first_offset, end_offset)
	select $1, $2, partition, first_offset, end_offset from unnest($3::int[], $4::bigint[], $5::bigint[]) as n (partition, first_offset, end_offset)
	where exists (select from balance_hours where source = $1 and hour = $2 and state = 'open')
	on conflict (source, hour, partition) do update set first_offset = excluded.first_offset, end_offset = excluded.end_offset`

	freezeHour = `update balance_hours set state = 'frozen' where source = $1 and hour = $2 and state = 'open'`
)

// SaveRanges writes the ranges of hours that are, or were until now, open, all or none, and freezes those whose state is no
// longer open. A frozen hour's ranges are left as they are.
func (s *Store) SaveRanges(ctx context.Context, hours []BalanceHour) error {
	if len(hours) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	for i := range hours {
		h := &hours[i]
		batch.Queue(writeHour, h.Source, h.Hour, h.Generation)
		batch.Queue(writeRanges, h.Source, h.Hour,
			column(h.Ranges, func(r OffsetRange) int32 { return r.Partition }),
			column(h.Ranges, func(r OffsetRange) int64 { return r.First }),
			column(h.Ranges, func(r OffsetRange) int64 { return r.End }))
		if h.State != HourOpen {
			batch.Queue(freezeHour, h.Source, h.Hour)
		}
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
	if err != nil {
		return fmt.Errorf("save ranges: %w", err)
	}
	return nil
}

const (
	writeTally = `update balance_hours set state = $3, received = $4, refused = $5, validated = $6, published = $7, delivered = $8,
	persisted = $9, duplicate = $10, superseded = $11, parked = $12, discarded = $13, open = $14, missing = $15, faults = $16, unsure = $17,
	sums = $18::text::jsonb, accepted = $19, checked_at = now(), closed_at = case when $3 = 'closed' then coalesce(closed_at, now()) end
	where source = $1 and hour = $2`

	deleteFaults = `delete from balance_faults where source = $1 and hour = $2
	and not (partition, "offset", fault) in (select * from unnest($3::int[], $4::bigint[], $5::text[]))`

	writeFaults = `insert into balance_faults as f (source, hour, partition, "offset", fault, order_key)
	select $1, $2, partition, "offset", fault, order_key
	from unnest($3::int[], $4::bigint[], $5::text[], $6::text[]) as n (partition, "offset", fault, order_key)
	on conflict (source, hour, partition, "offset", fault) do update set order_key = excluded.order_key where f.order_key = '' and excluded.order_key <> ''`
)

// SaveTally writes what was counted of an hour, its state, and which of its offsets do not balance.
func (s *Store) SaveTally(ctx context.Context, h *BalanceHour, faults []FaultyOffset) error {
	t := h.Tally
	if t.Sums == nil {
		t.Sums = []Sum{}
	}
	sums, err := json.Marshal(t.Sums)
	if err != nil {
		return fmt.Errorf("save tally: %w", err)
	}
	partitions := column(faults, func(f FaultyOffset) int32 { return f.Partition })
	offsets := column(faults, func(f FaultyOffset) int64 { return f.Offset })
	kinds := column(faults, func(f FaultyOffset) string { return string(f.Fault) })
	batch := &pgx.Batch{}
	batch.Queue(writeTally, h.Source, h.Hour, h.State, t.Received, t.Refused, t.Validated, t.Published, t.Delivered, t.Persisted, t.Duplicate,
		t.Superseded, t.Parked, t.Discarded, t.Open, t.Missing, t.Faults, t.Unsure, string(sums), t.Accepted)
	batch.Queue(deleteFaults, h.Source, h.Hour, partitions, offsets, kinds)
	if len(faults) > 0 {
		batch.Queue(writeFaults, h.Source, h.Hour, partitions, offsets, kinds, column(faults, func(f FaultyOffset) string { return string(f.OrderKey) }))
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, batch).Close() })
	if err != nil {
		return fmt.Errorf("save tally: %w", err)
	}
	return nil
}

// PlanReport keeps what the next completeness record of an hour says, before it is sent: after a crash the same is sent
// again, with the same revision. It is false when another record is planned already.
func (s *Store) PlanReport(ctx context.Context, source order.Source, hour time.Time, revision int, content []byte) (bool, error) {
	tag, err := s.pool.Exec(ctx, `update balance_hours set pending = $4 where source = $1 and hour = $2 and revision = $3 - 1 and pending is null`,
		source, hour, revision, content)
	if err != nil {
		return false, fmt.Errorf("plan report: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// ReportSent says that Kafka has the planned record.
func (s *Store) ReportSent(ctx context.Context, source order.Source, hour time.Time, revision int, told []byte, complete bool, at time.Time) error {
	_, err := s.pool.Exec(ctx, `update balance_hours set revision = $3, told = $4, complete = $5, told_at = $6, pending = null
		where source = $1 and hour = $2 and revision = $3 - 1 and pending is not null`, source, hour, revision, told, complete, at)
	if err != nil {
		return fmt.Errorf("note report: %w", err)
	}
	return nil
}
