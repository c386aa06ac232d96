package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// SaleState is how far a sale has got that another order, its return, comes after.
type SaleState string

// The states of a sale.
const (
	SaleUnknown SaleState = ""       // we have not heard of it, or not for an hour, or it is a return itself
	SaleTaken   SaleState = "taken"  // the partner holds it, at whatever revision
	SaleOpen    SaleState = "open"   // on its way to the partner
	SaleParked  SaleState = "parked" // it ended as a dead letter, or was discarded
)

// sales looks each key up in the ledger and among the orders, first match wins:
//
//	taken    the partner took some revision, or said that it holds the order with another content
//	unknown  it is a return itself: returns that name each other must not wait for each other
//	unknown  nobody knows it
//	parked   the order stands as parked or discarded, some letter of it says so, none is being replayed, and no newer
//	         revision is on its way that persist has not heard of. A letter of persist says nothing about the partner
//	unknown  neither persist nor the ledger heard of it for an hour
//	open
//
// What waits for a sale keeps its partition from being committed, and a sale may never come: its record lies so far behind that
// the partition is paused before it, or was lost. Hence the hour.
//
// The ledger's claims alone tell neither open nor parked: a record that is given up leaves its last one behind. What only the
// ledger knows is open until persist has caught up.
const sales = `
select a.order_key, case
		when l.taken or o.delivered_revision is not null then 'taken'
		when o.original_no <> '' then ''
		when o.state is null and l.taken is null then ''
		when o.state in ('parked', 'discarded') and p.parked and not p.replaying and not coalesce(l.moving, false) then 'parked'
		when greatest(o.updated_at, l.heard) < now() - interval '1 hour' then ''
		else 'open'
	end
from unnest($2::text[]) as a (order_key)
left join lateral (
	select o.state, o.revision, o.original_no, o.delivered_revision, o.updated_at from orders o where o.order_key = a.order_key limit 1
) o on true
left join lateral (
	select bool_or(coalesce(d.outcome in ('delivered', 'duplicate', 'conflict'), false)) as taken, max(d.claimed_at) as heard,
		bool_or(d.state <> 'settled' and (d.lease_until > now() or
			d.revision > o.revision and d.claimed_at > now() - interval '1 hour')) as moving
	from deliveries d where d.partner = $1 and d.order_key = a.order_key
) l on true
left join lateral (
	select bool_or(d.state in ('open', 'failed_again', 'discarded')) as parked, bool_or(d.state = 'replaying') as replaying
	from dead_letters d where d.order_key = a.order_key and d.service <> $3
) p on true`

// Sales tells how far orders have got. One that is SaleUnknown is missing from the map.
func (l *Ledger) Sales(ctx context.Context, keys []order.Key) (map[order.Key]SaleState, error) {
	states := map[order.Key]SaleState{}
	rows, err := l.pool.Query(ctx, sales, l.partner, keys, servicePersist)
	if err != nil {
		return nil, fmt.Errorf("read sales: %w", err)
	}
	var key order.Key
	var state SaleState
	if _, err := pgx.ForEachRow(rows, []any{&key, &state}, func() error {
		if state != SaleUnknown {
			states[key] = state
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read sales: %w", err)
	}
	return states, nil
}
