package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// StrayRows gives rows of received, as they stood at a time by the server's clock, for offsets that their topic does not
// have, by the hour of receipt that they claim: ends are the ends of its partitions, asked after that time. It reads the ends of an
// index.
func (s *Store) StrayRows(ctx context.Context, source order.Source, generation int, ends map[int32]int64, at time.Time, limit int) (map[time.Time][]FaultyOffset, error) {
	var partitions []int32
	var offsets []int64
	for partition, end := range ends {
		partitions, offsets = append(partitions, partition), append(offsets, end)
	}
	rows, err := s.pool.Query(ctx, `select date_trunc('hour', received_at, 'UTC'), partition, "offset", order_key from (
			select x.* from unnest($3::int[], $4::bigint[]) e (partition, "offset") cross join lateral (select received_at, partition, "offset", order_key
				from received r where r.source = $1 and r.partition = e.partition and r."offset" >= e."offset" and r.revision >= $2 and r.updated_at <= $7 limit $5) x
			union all (select received_at, partition, "offset", order_key from received where source = $1 and partition > $6 and revision >= $2 limit $5)
			union all (select received_at, partition, "offset", order_key from received where source = $1 and partition < 0 and revision >= $2 limit $5)
		) stray order by 2, 3 limit $5`, source, order.NewRevision(generation, 0), partitions, offsets, limit, maxPartition(partitions), at)
	if err != nil {
		return nil, fmt.Errorf("read stray rows: %w", err)
	}
	stray := map[time.Time][]FaultyOffset{}
	var hour time.Time
	f := FaultyOffset{Fault: StrayRow}
	_, err = pgx.ForEachRow(rows, []any{&hour, &f.Partition, &f.Offset, &f.OrderKey}, func() error {
		stray[hour.UTC()] = append(stray[hour.UTC()], f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read stray rows: %w", err)
	}
	return stray, nil
}

func maxPartition(partitions []int32) int32 {
	most := int32(-1)
	for _, p := range partitions {
		most = max(most, p)
	}
	return most
}

// strayOrders gives orders of some hours of receipt that claim a revision which no record brought: received does not know that
// it passed validation, and orders.v1 lacks it. $2 is the least revision of the topic's generation.
const strayOrders = `select h.hour, o.order_key, o.revision from unnest($3::timestamptz[]) as h (hour)
	cross join lateral (select o.order_key, o.revision from orders o
		left join lateral (select true as there from received r -- limit: each by its key, whatever the planner believes
			where r.order_key = o.order_key and r.revision = o.revision and r.validated_at is not null limit 1) r on true
		left join lateral (select true as there from balance_published p
			where r.there is null and p.source = $1 and p.partition = any($4::int[]) and p."offset" = o.revision - $2
				and coalesce(p.order_key = o.order_key, true) limit 1) p on true
		where o.source = $1 and o.validated and o.received_at >= h.hour and o.received_at < h.hour + interval '1 hour'
			and r.there is null and p.there is null
		order by o.received_at limit $5) o order by 1, 2`

// NoPartition stands for the partition of a record that there is none of.
const NoPartition = -1

// StrayOrders gives the orders of some hours that claim a revision which no record brought, at most limit each, by hour;
// partitions are those of the source's topic. It reads the orders of these hours by an index.
func (s *Store) StrayOrders(ctx context.Context, source order.Source, generation int, hours []time.Time, partitions []int32, limit int) (map[time.Time][]FaultyOffset, error) {
	stray := map[time.Time][]FaultyOffset{}
	err := s.unhurried(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, strayOrders, source, order.NewRevision(generation, 0), hours, partitions, limit)
		if err != nil {
			return err
		}
		var hour time.Time
		var revision order.Revision
		f := FaultyOffset{Fault: StrayOrder, Partition: NoPartition}
		_, err = pgx.ForEachRow(rows, []any{&hour, &f.OrderKey, &revision}, func() error {
			f.Offset = revision.Offset()
			stray[hour.UTC()] = append(stray[hour.UTC()], f)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read stray orders: %w", err)
	}
	return stray, nil
}
