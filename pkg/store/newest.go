package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// Every row is looked up by its key, as in the ledger's claim: the laterals with a limit see to that.
const (
	newestValidated = `select asked.order_key, o.revision from unnest($1::text[]) as asked (order_key)
		cross join lateral (select revision from orders where order_key = asked.order_key and validated limit 1) o`

	newestAtPartner = `select asked.order_key, d.revision from unnest($1::text[]) as asked (order_key)
		cross join lateral (
			select revision from deliveries where partner = $2 and order_key = asked.order_key
				and (state <> 'settled' or doubtful or outcome in ('delivered', 'duplicate'))
			order by revision desc limit 1
		) d`
)

// NewestValidated tells the newest revision that passed validation, by order. An order of which none did is left out.
func (s *Store) NewestValidated(ctx context.Context, keys []order.Key) (map[order.Key]order.Revision, error) {
	return s.newest(ctx, newestValidated, keys)
}

// NewestAtPartner tells, by order, the newest revision that a partner took, that is on its way there or in doubt: the
// ledger supersedes every older one by it. An order without any is left out.
func (s *Store) NewestAtPartner(ctx context.Context, partner string, keys []order.Key) (map[order.Key]order.Revision, error) {
	return s.newest(ctx, newestAtPartner, keys, partner)
}

func (s *Store) newest(ctx context.Context, sql string, keys []order.Key, more ...any) (map[order.Key]order.Revision, error) {
	found := make(map[order.Key]order.Revision, len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	rows, err := s.pool.Query(ctx, sql, append([]any{keys}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("read newest revisions: %w", err)
	}
	var key order.Key
	var revision order.Revision
	_, err = pgx.ForEachRow(rows, []any{&key, &revision}, func() error {
		found[key] = revision
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read newest revisions: %w", err)
	}
	return found, nil
}
