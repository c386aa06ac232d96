package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// claim decides about each intent from the rows of its order, and writes what it decided. The verdicts, first match wins:
//
//	settled     this revision ended already (a crash between settle and publish): publish that again. Not after a refusal:
//	            then it is a replay. Not while it is dirty: then it is sent once more
//	busy        another owner's lease on the order lives, whatever the revision
//	superseded  a newer revision was delivered, is on its way or is in doubt
//	unsettled   an older revision with other content is in doubt, and what was sent is at hand: it has to be resolved first.
//	            Of several (with equal content) the newest is: the others go with it. Not after a call with the present
//	            content may have been taken: an older one would come after it
//	busy        the same, but what was sent is not at hand: its record was never committed and comes back to its worker.
//	            After an hour it does not block the order any longer; nor does one that had been refused: its letter is
//	            written, and the claim may be that of a worker that had lost its partition
//	superseded  the caller has a newer revision at hand, and nothing is in doubt. Should that one be refused, this one stays
//	            superseded: the refusal is visible as the newer one's letter
//	duplicate   the newest delivered content is the same, and nothing is in doubt since. Not while a late call of what was
//	            refused between the two is to be expected: then this one is sent, so that its request is kept for the mender
//	held        a call is due, but the caller may not make it yet
//	call
//
// Every row is looked up by its key: the laterals with a limit see to that, whatever the planner thinks of a table that
// has grown since it was last analysed.
//
// A row in doubt is one that says so, or whose lease ran out, or that this owner left behind. A superseded row stays in
// doubt until something newer is delivered: what the partner holds is not known before.
//
// A row that was delivered and is sent once more keeps its outcome meanwhile, and whatever becomes of that call. For what a
// late call of another content may overwrite, the grant tells the caller to leave its request with the settlement.
const claim = `
with asked as (
	select order_key, revision, digest, nullif(total, '')::numeric as total, request, newer, held, place
	from unnest($4::text[], $5::bigint[], $6::text[], $7::text[], $8::bytea[], $10::bigint[], $11::boolean[]) with ordinality
		as a (order_key, revision, digest, total, request, newer, held, place)
),
clock as materialized (select clock_timestamp() as now),
judged as (
	select a.*, clock.now, own.attempts as own_attempts, own.lease_until is not null as own_died, own.outcome as own_outcome,
		own.other_revision as own_other, own.code as own_code, own.total as own_total, own.settled_at as own_settled_at,
		own.took_ms as own_took_ms, head.revision as head, greatest(head.revision, pending.newer, a.newer) as newest,
		earlier.revision as earlier,
		coalesce(pending.same_content, false) or coalesce(head.digest = a.digest, false) as maybe_taken,
		(coalesce(head.digest <> subject.digest, false) or coalesce(late.came or late.in_doubt, false)
				or earlier.request is null and coalesce(pending.other_content, false))
			and not coalesce(subject.repeats or subject.outcome in ('delivered', 'duplicate'), false) as holds_other,
		coalesce(late.expected or pending.left_open, false) as keep,
		case
			` + ledgerOff + `
			when own.state = 'settled' and own.outcome in ('delivered', 'duplicate', 'superseded')
				and not (own.dirty and own.revision = head.revision and pending.newer is null) then 'settled'
			when pending.busy then 'busy'
			` + revisionGuard + `
			when earlier.request is not null then 'unsettled'
			when earlier.settled_at is null and earlier.claimed_at > clock.now - interval '1 hour' then 'busy'
			when a.newer > a.revision and not coalesce(head.dirty, false) and not coalesce(pending.in_doubt, false) then 'superseded'
			when subject.repeats and not coalesce(late.behind_head, false) then 'duplicate'
			when a.held then 'held'
			else 'call'
		end as verdict
	from asked a
	cross join clock
	left join lateral (
		select d.* from deliveries d
		where d.partner = $1 and d.order_key = a.order_key and d.revision = a.revision limit 1
	) own on true
	left join lateral (
		select d.revision, d.digest, d.dirty from deliveries d
		where d.partner = $1 and d.order_key = a.order_key and d.state = 'settled'
			and d.outcome in ('delivered', 'duplicate')
		order by d.revision desc limit 1
	) head on true
	left join lateral (
		select bool_or(d.lease_until > clock.now and d.owner <> $2) as busy,
			max(d.revision) filter (where d.revision > a.revision) as newer,
			max(d.revision) filter (where d.state <> 'settled' and doubt and d.revision < a.revision and d.digest <> a.digest) as earlier,
			max(d.revision) filter (where doubt and d.revision <= a.revision and d.digest = a.digest) as same,
			bool_or(d.lease_until is not null and d.revision < a.revision and d.digest <> a.digest) as left_open,
			bool_or(doubt) as in_doubt, bool_or(doubt and d.digest = a.digest) as same_content,
			bool_or(doubt and d.digest <> a.digest) as other_content
		from deliveries d
		cross join lateral (select d.doubtful or d.lease_until is not null as doubt) c
		where d.partner = $1 and d.order_key = a.order_key and d.revision > coalesce(head.revision, 0)
			and (d.state <> 'settled' or d.doubtful)
	) pending on true
	left join lateral (
		select d.revision, d.digest, d.request, d.claimed_at, d.settled_at, d.outcome from deliveries d
		where d.partner = $1 and d.order_key = a.order_key and d.revision = pending.earlier
			and d.revision > coalesce(pending.same, 0) limit 1
	) earlier on true
	cross join lateral (
		select case when earlier.request is null then a.revision else earlier.revision end as revision,
			case when earlier.request is null then a.digest else earlier.digest end as digest,
			case when earlier.request is null then own.outcome else earlier.outcome end as outcome,
			head.digest = a.digest and not head.dirty and not coalesce(pending.in_doubt, false) as repeats
	) subject
	left join lateral (
		select bool_or(d.claimed_at > clock.now - interval '2 hours') as expected, bool_or(d.takeovers > 0) as came,
			bool_or((d.doubtful or d.lease_until is not null) and d.revision > coalesce(head.revision, 0)) as in_doubt,
			bool_or(d.revision > head.revision and d.claimed_at > clock.now - interval '2 hours') as behind_head
		from deliveries d
		where d.partner = $1 and d.order_key = a.order_key and (d.unknowns > 0 or d.lease_until is not null)
			and d.revision < subject.revision and d.digest <> subject.digest
	) late on true
),
called as (
	insert into deliveries as d (partner, order_key, revision, digest, total, state, owner, lease_until, attempts, request, claimed_at)
	select $1, order_key, revision, digest, total, 'claimed', $2, now + $9, 1, request, now
	from judged where verdict = 'call'
	on conflict (partner, order_key, revision) do update set
		digest = excluded.digest, total = excluded.total, state = 'claimed',
		outcome = case when ` + wasDelivered + ` then d.outcome end,
		other_revision = case when ` + wasDelivered + ` then d.other_revision end,
		code = case when ` + wasDelivered + ` then d.code else '' end,
		owner = excluded.owner, lease_until = excluded.lease_until, claimed_at = excluded.claimed_at,
		attempts = d.attempts + 1, unknowns = d.unknowns + (d.lease_until is not null)::int,
		doubtful = d.doubtful or d.lease_until is not null or d.dirty, dirty = false,
		request = coalesce(excluded.request, d.request)
	returning order_key, revision, attempts
),
resolving as (
	update deliveries d set state = 'claimed', owner = $2, lease_until = j.now + $9, claimed_at = j.now,
		attempts = d.attempts + 1, unknowns = d.unknowns + (d.lease_until is not null)::int, doubtful = true
	from judged j
	where j.verdict = 'unsettled' and d.partner = $1 and d.order_key = j.order_key and d.revision = j.earlier
	returning d.order_key, d.revision, d.digest, d.attempts, d.request
),
closed as (
	insert into deliveries as d (partner, order_key, revision, digest, total, state, outcome, other_revision, owner, claimed_at, settled_at)
	select $1, order_key, revision, digest, total, 'settled', verdict, case verdict when 'duplicate' then head else newest end, $2, now, now
	from judged where verdict in ('superseded', 'duplicate')
	on conflict (partner, order_key, revision) do update set
		state = 'settled', owner = excluded.owner, lease_until = null, doubtful = d.doubtful or d.lease_until is not null,
		unknowns = d.unknowns + (d.lease_until is not null)::int,
		outcome = case when ` + wasDelivered + ` then d.outcome else excluded.outcome end,
		other_revision = case when ` + wasDelivered + ` then d.other_revision else excluded.other_revision end,
		code = case when ` + wasDelivered + ` then d.code else '' end,
		settled_at = case when ` + wasDelivered + ` then d.settled_at else excluded.settled_at end,
		dirty = ` + wasDelivered + `,
		request = case when ` + wasDelivered + ` then d.request end,
		keep_until = case when ` + wasDelivered + ` and d.request is not null then coalesce(d.keep_until, now() + ` + keptFor + `) end
	returning order_key, revision, outcome, other_revision, code, total, attempts, settled_at, took_ms
),
died as (
	insert into order_events (order_key, revision, step, dedupe, at, service, detail)
	select order_key, revision, 'attempt', own_attempts::text, now, $3, 'unknown: its claim ran out'
	from judged where own_died and verdict in ('call', 'superseded')
	on conflict do nothing
),
told as (
	insert into order_events (order_key, revision, step, dedupe, at, service)
	select c.order_key, c.revision, 'claimed', c.attempts::text, clock.now, $3
	from (select order_key, revision, attempts from called union all select order_key, revision, attempts from resolving) c, clock
	on conflict do nothing
)
select j.verdict, j.maybe_taken, j.holds_other, j.keep, coalesce(c.attempts, r.attempts, 0), r.revision, r.digest, r.request,
	coalesce(s.outcome, j.own_outcome, ''), coalesce(s.other_revision, j.own_other, 0), coalesce(s.code, j.own_code, ''),
	coalesce(case when s.order_key is null then j.own_total else s.total end::text, ''),
	coalesce(s.attempts, j.own_attempts, 0), coalesce(s.settled_at, j.own_settled_at, j.now), coalesce(s.took_ms, j.own_took_ms, 0)
from judged j
left join called c on c.order_key = j.order_key
left join resolving r on r.order_key = j.order_key
left join closed s on s.order_key = j.order_key
order by j.place`

// keyRows puts what earlier releases wrote of the asked contents under the content key, so that it is the same content to
// claim; see settle for the insert.
const keyRows = `
insert into deliveries as d (partner, order_key, revision, digest, owner, claimed_at, state)
select $1, a.order_key, former.revision, a.digest, '', now(), 'claimed'
from unnest($2::text[], $3::text[], $4::text[]) as a (order_key, plain, digest)
cross join lateral (
	select d.revision from deliveries d
	where d.partner = $1 and d.order_key = a.order_key and d.digest = a.plain and left(d.digest, 5) <> 'hmac.'
	limit 1000
) former
on conflict (partner, order_key, revision) do update set digest = excluded.digest`

// Claim asks for the right to deliver each intent and gives one Grant each, in the same order. An order may stand in a
// batch only once. An error means that nothing was granted.
func (l *Ledger) Claim(ctx context.Context, intents []Intent) ([]Grant, error) {
	if len(intents) == 0 {
		return nil, nil
	}
	n := len(intents)
	keys, digests, totals := make([]string, n), make([]string, n), make([]string, n)
	revisions, requests := make([]int64, n), make([][]byte, n)
	newer, held, plains := make([]int64, n), make([]bool, n), make([]string, n)
	former := false
	for i, in := range intents {
		plains[i], former = in.Plain, former || in.Plain != ""
		keys[i], revisions[i], digests[i], totals[i] = string(in.OrderKey), int64(in.Revision), in.Digest, in.Total
		requests[i], newer[i], held[i] = in.Request, int64(in.Newer), in.Held
	}
	batch := &pgx.Batch{}
	if err := l.queueLocks(batch, keys); err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	if former {
		batch.Queue(keyRows, l.partner, keys, plains, digests)
	}
	grants := make([]Grant, 0, n)
	// The deadline counts from before the claim was made: whatever the network took, the lease outlives it.
	deadline := time.Now().Add(time.Duration(callShare * float64(l.Lease)))
	batch.Queue(claim, l.partner, l.owner, l.service, keys, revisions, digests, totals, requests, l.Lease, newer, held).
		Query(func(rows pgx.Rows) error {
			for rows.Next() {
				grant, err := scanGrant(rows)
				if err != nil {
					return err
				}
				grant.Deadline = deadline
				in := intents[len(grants)]
				grant.Delivery.Partner, grant.Delivery.OrderKey = l.partner, in.OrderKey
				grant.Delivery.Revision, grant.Delivery.Digest = in.Revision, in.Digest
				grants = append(grants, grant)
			}
			return rows.Err()
		})
	if err := l.pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	if len(grants) != n {
		return nil, fmt.Errorf("claim deliveries: %d answers to %d intents", len(grants), n)
	}
	return grants, nil
}

func scanGrant(rows pgx.Rows) (Grant, error) {
	var (
		g                 Grant
		verdict           string
		earlier           *int64
		digest            *string
		request           []byte
		outcome           string
		delivery          = &g.Delivery
		attempts, earlyAt int
	)
	err := rows.Scan(&verdict, &g.MaybeTaken, &g.HoldsOther, &g.Keep, &earlyAt, &earlier, &digest, &request,
		&outcome, &delivery.Other, &delivery.Code, &delivery.Total, &attempts, &delivery.At, &delivery.TookMS)
	if err != nil {
		return Grant{}, err
	}
	delivery.Outcome, delivery.Attempts = event.Outcome(outcome), attempts
	switch verdict {
	case "call":
		g.Verdict, g.Attempt = Call, earlyAt
	case "busy":
		g.Verdict = Busy
	case "held":
		g.Verdict = Held
	case "unsettled":
		g.Verdict = Unsettled
		g.Earlier = &Earlier{Revision: order.Revision(*earlier), Digest: *digest, Attempt: earlyAt, Request: request}
	default:
		g.Verdict = Done
	}
	return g, nil
}
