-- +goose Up

-- What the balance process counts: per source and hour of receipt, how many records came in and what became of each. Only
-- services/balance writes here; all of it but balance_published and balance_ranges of closed hours can be made again.
--
-- Received is the length of the offset ranges and nothing else. The other counts are of offsets in these ranges; every
-- received offset is in exactly one of delivered, persisted, duplicate, superseded, parked, discarded, open and missing.
create table balance_hours (
    source      text not null,
    hour        timestamptz not null,           -- its start, by the broker's clock
    generation  integer not null,               -- of the received topic
    state       text not null check (state in ('open', 'frozen', 'closed')), -- frozen: the ranges are final; closed: nothing was open any more
    received    bigint not null default 0,
    refused     bigint not null default 0,      -- by validate, and not passed since
    validated   bigint not null default 0,
    published   bigint not null default 0,      -- offsets that stand in orders.v1, counted by a reader of its own
    delivered   bigint not null default 0,
    persisted   bigint not null default 0,
    duplicate   bigint not null default 0,
    superseded  bigint not null default 0,
    parked      bigint not null default 0,
    discarded   bigint not null default 0,
    open        bigint not null default 0,      -- under way
    missing     bigint not null default 0,      -- every service is past them, and nothing tells what became of them
    faults      bigint not null default 0,      -- offsets at fault, the missing ones included; 0: it balances
    unsure      bigint not null default 0,      -- offsets whose two witnesses differ, the later one perhaps on its way
    sums        jsonb not null default '[]',    -- [{currency, records, total as text}] of what was published
    checked_at  timestamptz,
    closed_at   timestamptz,
    revision    integer not null default 0,     -- of the completeness record that was written last; 0: none
    told        bytea,                          -- digest of what it said
    told_at     timestamptz,
    complete    boolean not null default false, -- as it said
    pending     bytea,                          -- what revision + 1 says, from before it is sent until it is acknowledged
    primary key (hour, source)
);
create index balance_hours_todo on balance_hours (source, hour) where state <> 'closed';

-- The offsets of an hour: from first_offset up to, but not, end_offset. They are final when the hour is frozen.
create table balance_ranges (
    source       text not null,
    hour         timestamptz not null,
    partition    integer not null,
    first_offset bigint not null,
    end_offset   bigint not null check (end_offset >= first_offset),
    primary key (source, hour, partition)
);

-- What the reader of orders.v1 saw: one row per received offset that was published, however often.
create table balance_published (
    source    text not null,
    partition integer not null,
    "offset"  bigint not null,                  -- of the received record
    copies    integer not null,                 -- 1, or somebody sees an order twice
    currency  text not null default '',
    total     numeric,                          -- null: the order has none, or the record could not be read
    seen_at   timestamptz not null default now(),
    primary key (source, partition, "offset")
);

-- How far that reader is in each partition of orders.v1; written with what it saw, in one transaction.
create table balance_progress (
    partition   integer primary key,
    next_offset bigint not null
);

-- Offsets that do not balance, and the first few of those that are open in an hour which should have been closed.
create table balance_faults (
    source    text not null,
    hour      timestamptz not null,
    partition integer not null,
    "offset"  bigint not null,
    fault     text not null check (fault in ('no_row', 'no_end', 'two_rows', 'stray_row', 'not_published', 'published_twice', 'not_stored', 'open')),
    order_key text not null default '',
    found_at  timestamptz not null default now(),
    primary key (source, hour, partition, "offset", fault)
);
