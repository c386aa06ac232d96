package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
)

// Published is one record of orders.v1, told by the received record that it came from.
type Published struct {
	Source    order.Source
	Partition int32 // of the received topic
	Offset    int64
	Currency  string
	Total     string // exact; "" if there is none, or the value could not be read
	OrderKey  order.Key
	Known     bool // whether the value could be read; else nothing of what follows is
	Paid      decimal.NullDecimal
	Discount  decimal.NullDecimal
	ListPrice decimal.NullDecimal
	Lines     int
	LineSum   decimal.Decimal // see LineSum
	copies    int
}

// Stretch is what was read of a partition: the offsets from From up to, but not, To.
type Stretch struct{ From, To int64 }

// ErrProgress says that another reader of orders.v1 was here.
var ErrProgress = errors.New("another reader went on from the same place")

// PublishedProgress tells where the reader of orders.v1 goes on, by partition; a partition that is not there was never read.
func (s *Store) PublishedProgress(ctx context.Context) (map[int32]int64, error) {
	progress, err := publishedProgress(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("read progress: %w", err)
	}
	return progress, nil
}

func publishedProgress(ctx context.Context, db querier) (map[int32]int64, error) {
	rows, err := db.Query(ctx, `select partition, next_offset from balance_progress`)
	if err != nil {
		return nil, err
	}
	progress := map[int32]int64{}
	var partition int32
	var next int64
	_, err = pgx.ForEachRow(rows, []any{&partition, &next}, func() error {
		progress[partition] = next
		return nil
	})
	return progress, err
}

const (
	writePublished = `insert into balance_published as p (source, partition, "offset", copies, currency, total, order_key, paid, discount, list_price, lines, line_sum)
	select source, partition, "offset", copies, currency, nullif(total, '')::numeric, nullif(order_key, ''), paid::numeric, discount::numeric, list_price::numeric,
		lines, line_sum::numeric
	from unnest($1::text[], $2::int[], $3::bigint[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::int[], $12::text[])
	as n (source, partition, "offset", copies, currency, total, order_key, paid, discount, list_price, lines, line_sum)
	on conflict (source, partition, "offset") do update set copies = p.copies + excluded.copies, seen_at = now()`

	writeProgress = `insert into balance_progress as p (partition, next_offset)
	select partition, next_offset from unnest($1::int[], $2::bigint[], $3::bigint[]) as n (partition, from_offset, next_offset)
	on conflict (partition) do update set next_offset = excluded.next_offset`
)

// AddPublished writes what was read of orders.v1 and how far that reaches, in one transaction: a record counts once, however
// often its reader is killed. It is ErrProgress when the stretches do not begin where the last ones ended.
func (s *Store) AddPublished(ctx context.Context, records []Published, read map[int32]Stretch) error {
	records = foldPublished(records)
	partitions := slices.Sorted(maps.Keys(read))
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `lock table balance_progress in exclusive mode`); err != nil {
			return err
		}
		before, err := publishedProgress(ctx, tx)
		if err != nil {
			return err
		}
		for partition, stretch := range read {
			if next, known := before[partition]; known && next != stretch.From {
				return ErrProgress
			}
		}
		batch := &pgx.Batch{}
		if len(records) > 0 {
			batch.Queue(writePublished,
				column(records, func(p Published) string { return string(p.Source) }),
				column(records, func(p Published) int32 { return p.Partition }),
				column(records, func(p Published) int64 { return p.Offset }),
				column(records, func(p Published) int32 { return int32(p.copies) }),
				column(records, func(p Published) string { return p.Currency }),
				column(records, func(p Published) string { return p.Total }),
				column(records, func(p Published) string { return string(p.OrderKey) }),
				column(records, func(p Published) *string { return amount(p.Paid) }),
				column(records, func(p Published) *string { return amount(p.Discount) }),
				column(records, func(p Published) *string { return amount(p.ListPrice) }),
				column(records, func(p Published) *int32 {
					if !p.Known {
						return nil
					}
					return new(int32(p.Lines))
				}),
				column(records, func(p Published) string { return p.LineSum.String() }))
		}
		batch.Queue(writeProgress, partitions,
			column(partitions, func(n int32) int64 { return read[n].From }),
			column(partitions, func(n int32) int64 { return read[n].To }))
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return fmt.Errorf("add published records: %w", err)
	}
	return nil
}

// foldPublished makes one of the records that tell of the same offset: one statement cannot touch a row twice.
func foldPublished(records []Published) []Published {
	place := func(a, b Published) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	}
	records = slices.Clone(records)
	slices.SortStableFunc(records, place)
	folded := records[:0]
	for _, r := range records {
		if n := len(folded); n > 0 && place(folded[n-1], r) == 0 {
			folded[n-1].copies++
			continue
		}
		r.copies = 1
		folded = append(folded, r)
	}
	return folded
}

// ForgetPublished removes what was seen of hours that began before a time, some at a time; their figures stay. It tells
// whether there may be more.
func (s *Store) ForgetPublished(ctx context.Context, before time.Time) (more bool, err error) {
	const atOnce = 20_000
	tag, err := s.pool.Exec(ctx, `with old as (select p.ctid from balance_ranges g
			join balance_published p on p.source = g.source and p.partition = g.partition and p."offset" >= g.first_offset and p."offset" < g.end_offset
			where g.hour < $1 limit $2)
		delete from balance_published p using old where p.ctid = old.ctid`, before, atOnce)
	if err != nil {
		return false, fmt.Errorf("forget published records: %w", err)
	}
	return tag.RowsAffected() == atOnce, nil
}
