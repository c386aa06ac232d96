package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// Mend is a delivered revision, the newest of its order, that a late call of an older one may have overwritten. It is sent
// again by claiming Intent and calling as ever; Call is then the only verdict to act on. Whatever else the claim says,
// somebody else has taken care of the order.
type Mend struct {
	Intent          Intent         // without its Request
	Request         []byte         // encrypted, in the place of RequestRevision
	RequestRevision order.Revision // an older one, if Intent's revision was a duplicate of it
	Tries           int            // how often it failed before
}

// Mender is the same ledger under an owner of its own, so that the mender and the deliveries of one process keep out of
// each other's way as two processes do.
func (l *Ledger) Mender() *Ledger {
	mender := *l
	mender.owner += " mending"
	return &mender
}

// dirtyRows finds what is to be mended now. A row in a live lease is being sent; what is newer and open takes the order
// further by itself, and a refused one in doubt is what the partner may hold.
const dirtyRows = `
select d.order_key, d.revision, d.digest, coalesce(d.total::text, ''), d.mends, kept.revision, kept.request
from deliveries d
cross join lateral (
	select k.revision, k.request from deliveries k
	where k.partner = d.partner and k.order_key = d.order_key and k.revision <= d.revision and k.digest = d.digest
		and k.request is not null
	order by k.revision desc limit 1
) kept
where d.partner = $1 and d.mend_after <= now() and d.outcome in ('delivered', 'duplicate')
	and (d.lease_until is null or d.lease_until < now())
	and not exists (
		select from deliveries n
		where n.partner = d.partner and n.order_key = d.order_key and n.revision > d.revision
			and (n.state <> 'settled' or n.doubtful or n.outcome in ('delivered', 'duplicate'))
	)
order by d.mend_after limit $2`

// Dirty gives up to limit rows to be mended now, those that wait longest first.
func (l *Ledger) Dirty(ctx context.Context, limit int) ([]Mend, error) {
	rows, err := l.pool.Query(ctx, dirtyRows, l.partner, limit)
	if err != nil {
		return nil, fmt.Errorf("find dirty deliveries: %w", err)
	}
	mends, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m Mend, err error) {
		in := &m.Intent
		return m, row.Scan(&in.OrderKey, &in.Revision, &in.Digest, &in.Total, &m.Tries, &m.RequestRevision, &m.Request)
	})
	if err != nil {
		return nil, fmt.Errorf("find dirty deliveries: %w", err)
	}
	return mends, nil
}

// countDirty counts also what cannot be mended, since its request is no longer there: a newer push mends that.
const countDirty = `
select count(*) from deliveries d
where d.partner = $1 and d.mend_after is not null and d.outcome in ('delivered', 'duplicate')
	and not exists (
		select from deliveries n
		where n.partner = d.partner and n.order_key = d.order_key and n.revision > d.revision and n.state = 'settled'
			and n.outcome in ('delivered', 'duplicate')
	)`

// CountDirty counts the orders whose newest delivered content may be overwritten at the partner.
func (l *Ledger) CountDirty(ctx context.Context) (n int, err error) {
	if err := l.pool.QueryRow(ctx, countDirty, l.partner).Scan(&n); err != nil {
		return 0, fmt.Errorf("count dirty deliveries: %w", err)
	}
	return n, nil
}

// forgetRequests takes no lock that somebody holds: waiting with others' rows in hand could end in a deadlock with Claim.
const forgetRequests = `
update deliveries d set request = null, keep_until = null
from (
	select k.partner, k.order_key, k.revision from deliveries k
	where k.keep_until < now() and k.partner = $1 and k.state = 'settled'
		and not exists (
			select from deliveries m where m.partner = k.partner and m.order_key = k.order_key and m.mend_after is not null
		)
	limit 1000
	for update skip locked
) old
where d.partner = old.partner and d.order_key = old.order_key and d.revision = old.revision`

// ForgetRequests removes requests that were kept for a late call which is no longer expected.
func (l *Ledger) ForgetRequests(ctx context.Context) error {
	if _, err := l.pool.Exec(ctx, forgetRequests, l.partner); err != nil {
		return fmt.Errorf("forget kept requests: %w", err)
	}
	return nil
}
