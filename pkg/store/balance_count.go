package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// Known is how far things have come, so that what is merely under way is not called missing.
type Known struct {
	// Passed is, by received partition, the offset before which every service is done: such an offset has a row with an end
	// state, or it is lost. It is known for all rows that stood there at StoredAt.
	Passed   map[int32]int64
	StoredAt time.Time // what orders.v1 had until then, PostgreSQL has too; by the server's clock
	SeenAt   time.Time // what PostgreSQL had until then, the reader of orders.v1 has seen; by the server's clock
}

// passed is the bound for one range; in a closed hour everything was passed when it was closed.
func (k *Known) passed(h *BalanceHour, r OffsetRange) int64 {
	if h.State == HourClosed {
		return r.End
	}
	return min(max(k.Passed[r.Partition], r.First), r.End)
}

// offsetsOf gives one row per offset of a range g (partition, first_offset, end_offset) that received or balance_published
// knows, with the row o of its order. $1 is the source, $2 the least revision of the topic's generation.
const offsetsOf = `(select r.row_offset, r.rows, r.state, r.validated, r.refused, r.excused, r.updated_at, r.order_key from
		(select "offset" as row_offset, count(*) as rows, max(end_state) as state, bool_or(validated_at is not null) as validated,
			bool_or(validated_at is null and exists (select from dead_letters d
				where d.order_key = x.order_key and d.revision = x.revision and d.service = 'validate')) as refused,
			bool_or(validated_at is null and exists (select from dead_letters d
				where d.order_key = x.order_key and d.revision = x.revision and d.service = 'persist')) as excused,
			max(updated_at) as updated_at, min(order_key) as order_key
		from received x where source = $1 and partition = g.partition and "offset" >= g.first_offset and "offset" < g.end_offset and revision >= $2
		group by "offset") r) r
	full join (select "offset", copies, seen_at, order_key, currency, total, paid, discount, list_price, lines, line_sum from balance_published
		where source = $1 and partition = g.partition and "offset" >= g.first_offset and "offset" < g.end_offset) p on p."offset" = r.row_offset
	left join lateral (select o.order_key, o.revision, o.validated, o.currency, o.total, o.paid, o.discount, o.list_price,
			o.validated and p.lines is not null and o.revision = ` + itsRevision + ` as comparable
		from orders o where o.order_key = coalesce(r.order_key, p.order_key) limit 1) o on true
	left join lateral (select count(*) as lines, coalesce(sum(line_weight(line_no, quantity, unit_price, list_price, discount, amount)), 0) as line_sum
		from order_lines where order_key = o.order_key and o.comparable) l on true` // limit: each by its key, whatever the planner believes

const itsRevision = `($2 + coalesce(r.row_offset, p."offset"))`

// Which of the offsets that offsetsOf gives are what; $3 and $4 are Known's StoredAt and SeenAt.
const (
	isUnpublished = `(r.validated and p.copies is null)`
	isUnstored    = `(p.copies is not null and r.rows is not null and not r.validated and not r.excused)`
	notPublished  = `(` + isUnpublished + ` and r.updated_at <= $4)`
	notStored     = `(` + isUnstored + ` and p.seen_at <= $3)`
	noEnd         = `(r.rows is not null and r.state is null and r.row_offset < g.passed)`

	// A row of received is written with its order's, so these two never differ by chance; a record of orders.v1 whose row of
	// received is lost has waited for persist. A newer revision in the order's row is held against the record of that one.
	isStored     = `(r.rows is not null or p.order_key is not null and p.seen_at <= $3)`
	noOrder      = `(o.revision is null and ` + isStored + `)`
	oldOrder     = `(o.revision is not null and ` + isStored + ` and coalesce(r.validated, true) and (not o.validated or o.revision < ` + itsRevision + `))`
	amountsOther = `(o.comparable and (o.currency <> p.currency or o.total is distinct from p.total or o.paid is distinct from p.paid
		or o.discount is distinct from p.discount or o.list_price is distinct from p.list_price))`
	linesOther = `(o.comparable and (l.lines <> p.lines or l.line_sum <> p.line_sum))`
)

const countOffsets = `select g.hour, c.* from unnest($5::timestamptz[], $6::int[], $7::bigint[], $8::bigint[], $9::bigint[])
	as g (hour, partition, first_offset, end_offset, passed)
	cross join lateral (select
		count(*) filter (where not coalesce(r.validated, false) and p.copies is null and r.refused),
		count(*) filter (where r.validated or p.copies is not null),
		count(*) filter (where p.copies is not null),
		count(*) filter (where r.state = 'delivered'), count(*) filter (where r.state = 'persisted'), count(*) filter (where r.state = 'duplicate'),
		count(*) filter (where r.state = 'superseded'), count(*) filter (where r.state = 'parked'), count(*) filter (where r.state = 'discarded'),
		g.passed - g.first_offset - count(*) filter (where r.row_offset < g.passed) + count(*) filter (where ` + noEnd + `) as missing,
		count(*) filter (where r.rows > 1) + count(*) filter (where p.copies > 1)
			+ count(*) filter (where ` + notPublished + `) + count(*) filter (where ` + notStored + `)
			+ count(*) filter (where ` + noOrder + `) + count(*) filter (where ` + oldOrder + `)
			+ count(*) filter (where ` + amountsOther + `) + count(*) filter (where ` + linesOther + `) as other_faults,
		count(*) filter (where ` + isUnpublished + ` or ` + isUnstored + `) - count(*) filter (where ` + notPublished + ` or ` + notStored + `) as unsure
	from ` + offsetsOf + `) c`

// CountHours counts what became of the offsets in the ranges of hours of one source and generation: the tally of each, in
// their order. What it costs grows with the offsets in the ranges and with nothing else.
func (s *Store) CountHours(ctx context.Context, source order.Source, generation int, hours []BalanceHour, k Known) ([]Tally, error) {
	tallies := make([]Tally, len(hours))
	at := map[time.Time]*Tally{}
	g := rangeColumns{}
	for i := range hours {
		at[hours[i].Hour.UTC()] = &tallies[i]
		for _, r := range hours[i].Ranges {
			tallies[i].Received += r.End - r.First
			if r.End > r.First {
				g.add(&hours[i], r, k.passed(&hours[i], r))
			}
		}
	}
	err := s.unhurried(ctx, func(tx pgx.Tx) error { // an hour may have very many
		if err := countInHours(ctx, tx, source, generation, g, k, at); err != nil {
			return err
		}
		return sumHours(ctx, tx, source, g, at)
	})
	if err != nil {
		return nil, fmt.Errorf("count hours: %w", err)
	}
	for i := range tallies {
		tallies[i].Open = tallies[i].Received - tallies[i].ended() - tallies[i].Missing
	}
	return tallies, nil
}

func countInHours(ctx context.Context, tx pgx.Tx, source order.Source, generation int, g rangeColumns, k Known, at map[time.Time]*Tally) error {
	rows, err := tx.Query(ctx, countOffsets, source, order.NewRevision(generation, 0), k.StoredAt, k.SeenAt, g.hours, g.partitions, g.first, g.end, g.passed)
	if err != nil {
		return err
	}
	var hour time.Time
	var c Tally
	var other int64
	_, err = pgx.ForEachRow(rows, []any{
		&hour, &c.Refused, &c.Validated, &c.Published, &c.Delivered, &c.Persisted, &c.Duplicate, &c.Superseded,
		&c.Parked, &c.Discarded, &c.Missing, &other, &c.Unsure,
	}, func() error {
		c.Faults = c.Missing + other
		at[hour.UTC()].add(&c)
		return nil
	})
	return err
}

func (t *Tally) ended() int64 {
	return t.Delivered + t.Persisted + t.Duplicate + t.Superseded + t.Parked + t.Discarded
}

func (t *Tally) add(c *Tally) {
	t.Refused += c.Refused
	t.Validated += c.Validated
	t.Published += c.Published
	t.Delivered += c.Delivered
	t.Persisted += c.Persisted
	t.Duplicate += c.Duplicate
	t.Superseded += c.Superseded
	t.Parked += c.Parked
	t.Discarded += c.Discarded
	t.Missing += c.Missing
	t.Faults += c.Faults
	t.Unsure += c.Unsure
}

// rangeColumns are ranges as array parameters.
type rangeColumns struct {
	hours              []time.Time
	partitions         []int32
	first, end, passed []int64
}

func (g *rangeColumns) add(h *BalanceHour, r OffsetRange, passed int64) {
	g.hours, g.partitions = append(g.hours, h.Hour), append(g.partitions, r.Partition)
	g.first, g.end, g.passed = append(g.first, r.First), append(g.end, r.End), append(g.passed, passed)
}

// Each range is added up by itself, so that it is read by its key.
const sumOffsets = `select g.hour, p.currency, sum(p.records)::bigint, coalesce(sum(p.total), 0)::text
	from unnest($2::timestamptz[], $3::int[], $4::bigint[], $5::bigint[]) as g (hour, partition, first_offset, end_offset)
	cross join lateral (select currency, count(*) as records, sum(total) as total from balance_published
		where source = $1 and partition = g.partition and "offset" >= g.first_offset and "offset" < g.end_offset group by currency) p
	group by g.hour, p.currency order by g.hour, p.currency`

func sumHours(ctx context.Context, tx pgx.Tx, source order.Source, g rangeColumns, at map[time.Time]*Tally) error {
	rows, err := tx.Query(ctx, sumOffsets, source, g.hours, g.partitions, g.first, g.end)
	if err != nil {
		return err
	}
	var hour time.Time
	var sum Sum
	_, err = pgx.ForEachRow(rows, []any{&hour, &sum.Currency, &sum.Records, &sum.Total}, func() error {
		t := at[hour.UTC()]
		t.Sums = append(t.Sums, sum)
		return nil
	})
	return err
}

// nameOffsets gives the offsets of the ranges that do not balance, so many of each range, and as many that are open.
const nameOffsets = `select g.partition, f."offset", f.fault, f.order_key
	from unnest($5::int[], $6::bigint[], $7::bigint[], $8::bigint[]) as g (partition, first_offset, end_offset, passed)
	cross join lateral (
		(select n as "offset", case when n < g.passed then 'no_row' else 'open' end as fault, coalesce((select p.order_key
				from balance_published p where p.source = $1 and p.partition = g.partition and p."offset" = n), '') as order_key
			from (select generate_series(g.first_offset, g.end_offset - 1) as n except select "offset" from received
				where source = $1 and partition = g.partition and "offset" >= g.first_offset and "offset" < g.end_offset and revision >= $2) lacking
			order by n limit $9)
		union all
		(select coalesce(r.row_offset, p."offset"), c.fault, coalesce(r.order_key, p.order_key, '') from ` + offsetsOf + `
			cross join lateral (values ('two_rows', r.rows > 1), ('published_twice', p.copies > 1), ('not_published', ` + notPublished + `),
				('not_stored', ` + notStored + `), ('no_end', ` + noEnd + `), ('no_order', ` + noOrder + `), ('old_order', ` + oldOrder + `),
				('amounts_differ', ` + amountsOther + `), ('lines_differ', ` + linesOther + `),
				('open', r.rows is not null and r.state is null and r.row_offset >= g.passed)) c (fault, so)
			where c.so order by 1 limit $9)) f
	order by f.fault = 'open', g.partition, f."offset", f.fault limit $9`

// NameOffsets gives the offsets of an hour that do not balance, at most limit, and if there is room those that are open.
func (s *Store) NameOffsets(ctx context.Context, h *BalanceHour, k Known, limit int) ([]FaultyOffset, error) {
	g := rangeColumns{}
	for _, r := range h.Ranges {
		if r.End > r.First {
			g.add(h, r, k.passed(h, r))
		}
	}
	var faults []FaultyOffset
	err := s.unhurried(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, nameOffsets, h.Source, order.NewRevision(h.Generation, 0), k.StoredAt, k.SeenAt, g.partitions, g.first, g.end, g.passed, limit)
		if err != nil {
			return err
		}
		faults, err = pgx.CollectRows(rows, pgx.RowToStructByPos[FaultyOffset])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("name offsets: %w", err)
	}
	return faults, nil
}
