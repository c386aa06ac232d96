package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// ReceivedPartitions tells in which partition of its received topic each of an order's newest revisions lies, at most limit.
// The revision itself holds the offset.
func (s *Store) ReceivedPartitions(ctx context.Context, key order.Key, limit int) (map[order.Revision]int32, error) {
	rows, err := s.pool.Query(ctx, `select revision, partition from received where order_key = $1 order by revision desc limit $2`, key, limit)
	if err != nil {
		return nil, fmt.Errorf("read received records: %w", err)
	}
	partitions := map[order.Revision]int32{}
	var revision order.Revision
	var partition int32
	_, err = pgx.ForEachRow(rows, []any{&revision, &partition}, func() error {
		partitions[revision] = partition
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read received records: %w", err)
	}
	return partitions, nil
}
