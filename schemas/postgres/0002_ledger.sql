-- +goose Up

-- The ledger of deliveries to a partner: one row per order and revision that was meant for it. A row is written before a
-- call and settled after it, so that no crash leaves a call unaccounted for. Only the partner workers write here.
--
-- state     claimed: held by its owner until lease_until, or let go where that is null (nothing reached the partner);
--           unknown: let go after a call whose outcome nobody knows; settled: outcome says how it ended
-- outcome   delivered, duplicate and superseded are final. After refused or conflict (parked as a letter) the same revision
--           may be claimed again: a replay
-- doubtful  a call with this content may have reached the partner, and no definite answer has come since
-- dirty     a late call of an older revision may have overwritten what this one put there: if it is the order's newest, it
--           has to be sent once more
create table deliveries (
    partner        text not null,
    order_key      text not null,
    revision       bigint not null,
    digest         text not null,
    state          text not null check (state in ('claimed', 'unknown', 'settled')),
    outcome        text check (outcome in ('delivered', 'duplicate', 'superseded', 'refused', 'conflict')),
    other_revision bigint,                          -- the one that superseded this one, or that it repeats
    code           text not null default '',        -- the partner's own code
    total          numeric,
    owner          text not null,
    lease_until    timestamptz,                     -- by this server's clock; set only while claimed
    attempts       integer not null default 0,      -- claims for a call so far; the present one's number is its fencing token
    unknowns       integer not null default 0,      -- how many of them ended without a known outcome
    takeovers      integer not null default 0,      -- how often a former owner came back after its claim was taken over
    doubtful       boolean not null default false,
    dirty          boolean not null default false,
    request        bytea,                           -- what was sent, encrypted; kept only while it is unresolved
    claimed_at     timestamptz not null,
    settled_at     timestamptz,
    took_ms        bigint not null default 0,       -- length of the last call
    primary key (partner, order_key, revision),
    check ((state = 'settled') = (outcome is not null)),
    check (lease_until is null or state = 'claimed'),
    check (state <> 'settled' or request is null)
) with (fillfactor = 80);
