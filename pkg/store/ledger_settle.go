package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/event"
)

// settle writes down how claims ended, and what that means for the other rows of their orders:
//
//   - a claim that another owner took over, or that was closed, is lost
//   - a call that may have been taken makes what is newer and has other content dirty, whoever holds the claim: it may have
//     come after theirs. In time there is nothing newer. Where the partner had refused that revision, it is in doubt again
//   - delivered settles the row, and whatever older revision was left open is superseded; a dirty row is in doubt instead,
//     so that it is sent once more
//   - refused and conflict settle the row; a later claim of the same revision is a replay. A conflict before anything was
//     delivered leaves the doubt of earlier calls: which content the partner holds is not known
//   - unknown leaves the row in doubt, not_taken as it was before; both leave the time when it had been settled
//   - a row that was delivered before keeps that outcome. What it was sent again for stays to be done until it is delivered:
//     refused leaves it dirty
//
// Other rows of an order are written by an insert that always conflicts: like a lateral with a limit, it finds them by their
// keys, whatever the planner thinks of a table that has grown since. An update that joins may read the whole table.
const settle = `
with given as (
	select order_key, revision, attempt, ending, code, took, request, place
	from unnest($4::text[], $5::bigint[], $6::int[], $7::text[], $8::text[], $9::bigint[], $10::bytea[]) with ordinality
		as g (order_key, revision, attempt, ending, code, took, request, place)
),
clock as materialized (select clock_timestamp() as now),
found as (
	select g.*, clock.now, d.digest, coalesce(g.request, d.request) as kept, d.outcome as prior, d.settled_at as prior_at,
		d.keep_until, d.mend_after, d.mends, d.state <> 'settled' and d.outcome is not null as mending, coalesce(top.revision, 0) as top, d.doubtful, d.unknowns, coalesce(d.dirty, false) as dirty,
		coalesce(d.state = 'claimed' and d.owner = $2 and d.attempts = g.attempt, false) as ours,
		coalesce(d.owner <> $2 or d.attempts <> g.attempt or coalesce(d.outcome = 'superseded', false), true) as taken_over,
		g.ending in ('refused', 'conflict') or g.ending = 'delivered' and not coalesce(d.dirty, false) as final,
		coalesce(before.revision, 0) as before
	from given g
	cross join clock
	left join lateral (
		select d.* from deliveries d
		where d.partner = $1 and d.order_key = g.order_key and d.revision = g.revision limit 1
	) d on true
	left join lateral (
		select h.revision from deliveries h
		where h.partner = $1 and h.order_key = g.order_key and h.state = 'settled' and h.outcome in ('delivered', 'duplicate')
		order by h.revision desc limit 1
	) top on true
	left join lateral (
		select h.revision from deliveries h
		where h.partner = $1 and h.order_key = g.order_key and h.revision < g.revision
			and h.state = 'settled' and h.outcome in ('delivered', 'duplicate')
		order by h.revision desc limit 1
	) before on true
),
written as (
	insert into deliveries as d (partner, order_key, revision, digest, owner, claimed_at, state, outcome, settled_at,
		doubtful, unknowns, dirty, mend_after, mends, request, keep_until, code, took_ms)
	select $1, order_key, revision, digest, $2, now,
		case when final then 'settled' when ending in ('unknown', 'delivered') or doubtful then 'unknown' else 'claimed' end,
		case when mending then prior when final then ending end,
		case when final and not mending then now else prior_at end,
		case ending when 'unknown' then true when 'not_taken' then doubtful
			when 'conflict' then doubtful and before = 0 and not mending else not final end,
		unknowns + (ending = 'unknown')::int,
		mending and final and ending <> 'delivered',
		case when final and (ending = 'delivered' or not mending) then null
			when mending then now + least(interval '15 s' * 2 ^ least(mends, 8), interval '30 min') else mend_after end,
		case when final and (ending = 'delivered' or not mending) then 0 else mends + mending::int end,
		rest.request,
		case when final and rest.request is not null then coalesce(keep_until, now + ` + keptFor + `) end,
		code, took
	from found
	cross join lateral (
		select case when mending or not final then kept when ending = 'delivered' then found.request end as request
	) rest
	where ours
	on conflict (partner, order_key, revision) do update set
		state = excluded.state, outcome = excluded.outcome, settled_at = excluded.settled_at, doubtful = excluded.doubtful,
		unknowns = excluded.unknowns, request = excluded.request, keep_until = excluded.keep_until,
		code = case when ` + wasDelivered + ` then d.code else excluded.code end, took_ms = excluded.took_ms,
		dirty = excluded.dirty, mend_after = excluded.mend_after, mends = excluded.mends, lease_until = null
	returning d.order_key, d.outcome, d.other_revision, d.code, d.total, d.attempts, d.settled_at, d.took_ms, d.digest
),
superseded as (
	insert into deliveries as d (partner, order_key, revision, digest, owner, claimed_at, state, outcome, other_revision, settled_at)
	select $1, f.order_key, older.revision, older.digest, $2, f.now, 'settled', 'superseded', f.revision, f.now
	from found f
	cross join lateral (
		select d.revision, d.digest from deliveries d
		where d.partner = $1 and d.order_key = f.order_key and d.revision > f.before and d.revision < f.revision
			and d.state <> 'settled'
		limit 1000
	) older
	where f.ours and f.final and f.ending = 'delivered'
	on conflict (partner, order_key, revision) do update set
		state = excluded.state, owner = excluded.owner, lease_until = null, doubtful = false,
		unknowns = d.unknowns + (d.lease_until is not null)::int,
		outcome = case when ` + wasDelivered + ` then d.outcome else excluded.outcome end,
		other_revision = case when ` + wasDelivered + ` then d.other_revision else excluded.other_revision end,
		code = case when ` + wasDelivered + ` then d.code else '' end,
		settled_at = case when ` + wasDelivered + ` then d.settled_at else excluded.settled_at end,
		dirty = false, mend_after = null, mends = 0, request = null, keep_until = null
),
cleaned as (
	insert into deliveries as d (partner, order_key, revision, digest, owner, claimed_at, state)
	select $1, f.order_key, older.revision, older.digest, $2, f.now, 'claimed'
	from found f
	cross join lateral (
		select d.revision, d.digest from deliveries d
		where d.partner = $1 and d.order_key = f.order_key and d.revision < f.revision
			and d.state = 'settled' and d.mend_after is not null
		limit 1000
	) older
	where f.ours and f.final and f.ending = 'delivered'
	on conflict (partner, order_key, revision) do update set dirty = false, mend_after = null, mends = 0
),
soiled as (
	insert into deliveries as d (partner, order_key, revision, digest, owner, claimed_at, state, mend_after)
	select $1, f.order_key, newer.revision, newer.digest, $2, f.now, 'claimed', f.now
	from found f
	cross join lateral (
		select d.revision, d.digest from deliveries d
		where d.partner = $1 and d.order_key = f.order_key and d.revision > f.revision and d.revision >= f.top
			and d.digest <> f.digest and (d.state <> 'settled' or d.outcome in ('delivered', 'duplicate'))
		limit 1000
	) newer
	where f.ending in ('delivered', 'unknown')
	on conflict (partner, order_key, revision) do update set
		dirty = true, mend_after = coalesce(d.mend_after, excluded.mend_after)
),
late as (
	update deliveries d set takeovers = d.takeovers + 1,
		doubtful = d.doubtful or f.ending in ('delivered', 'unknown') and coalesce(d.outcome in ('refused', 'conflict'), false)
	from found f
	where f.taken_over and d.partner = $1 and d.order_key = f.order_key and d.revision = f.revision
),
told as (
	insert into order_events (order_key, revision, step, dedupe, at, service, code, detail)
	select order_key, revision, 'attempt', attempt::text || case when taken_over then ' late' else '' end, now, $3, code,
		ending || case when taken_over then ' after its claim was taken over' else '' end || ', ' || took || ' ms'
	from found
	on conflict do nothing
)
select f.ours, f.dirty and f.ending = 'delivered', case when f.final then coalesce(w.outcome, '') else '' end, coalesce(w.other_revision, 0), coalesce(w.digest, ''), coalesce(w.code, ''),
	coalesce(w.total::text, ''), coalesce(w.attempts, 0), coalesce(w.settled_at, f.now), coalesce(w.took_ms, 0)
from found f
left join written w on w.order_key = f.order_key
order by f.place`

// Settle writes down how claims ended and gives one Settled each, in the same order. An order may stand in a batch only
// once. After an error it is not known whether
// they were written: claim again. Settling twice gives Lost and changes nothing.
func (l *Ledger) Settle(ctx context.Context, settlements []Settlement) ([]Settled, error) {
	if len(settlements) == 0 {
		return nil, nil
	}
	n := len(settlements)
	keys, endings, codes := make([]string, n), make([]string, n), make([]string, n)
	revisions, took := make([]int64, n), make([]int64, n)
	attempts, requests := make([]int32, n), make([][]byte, n)
	for i, s := range settlements {
		keys[i], revisions[i], attempts[i] = string(s.OrderKey), int64(s.Revision), int32(s.Attempt)
		endings[i], codes[i], took[i], requests[i] = string(s.Ending), s.Code, s.Took.Milliseconds(), s.Request
	}
	batch := &pgx.Batch{}
	if err := l.queueLocks(batch, keys); err != nil {
		return nil, fmt.Errorf("settle deliveries: %w", err)
	}
	settled := make([]Settled, 0, n)
	batch.Queue(settle, l.partner, l.owner, l.service, keys, revisions, attempts, endings, codes, took, requests).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				one, err := l.scanSettled(rows, settlements[len(settled)])
				if err != nil {
					return err
				}
				settled = append(settled, one)
			}
			return rows.Err()
		})
	if err := l.pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("settle deliveries: %w", err)
	}
	if len(settled) != n {
		return nil, fmt.Errorf("settle deliveries: %d answers to %d settlements", len(settled), n)
	}
	return settled, nil
}

func (l *Ledger) scanSettled(rows pgx.Rows, s Settlement) (Settled, error) {
	var ours, again bool
	var outcome string
	d := event.Delivery{Partner: l.partner, OrderKey: s.OrderKey, Revision: s.Revision}
	if err := rows.Scan(&ours, &again, &outcome, &d.Other, &d.Digest, &d.Code, &d.Total, &d.Attempts, &d.At, &d.TookMS); err != nil {
		return Settled{}, err
	}
	switch {
	case !ours:
		return Settled{Status: Lost}, nil
	case again:
		return Settled{Status: Again}, nil
	case outcome != string(event.Delivered) && outcome != string(event.Duplicate):
		return Settled{Status: Kept}, nil
	}
	d.Outcome = event.Outcome(outcome)
	return Settled{Status: Kept, Delivery: d}, nil
}
