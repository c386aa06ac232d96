-- +goose Up

-- One row per order: the newest revision that passed validation. An order of which nothing passed yet stands here too, as
-- parked, with what could be read. Personal columns and the document are encrypted (pkg/privacy); their place, which is
-- authenticated, is the column's name, the order key and document_revision.
create table orders (
    order_key          text primary key,
    source             text not null,
    order_no           text not null default '',
    numbers            text[] not null default '{}', -- every number that people may ask for this order by
    original_no        text not null default '',     -- the sale that a return takes back
    revision           bigint not null,              -- the newest one that passed validation; while none did, the newest known
    validated          boolean not null,             -- whether any revision passed validation
    state              text not null check (state in ('validated', 'delivered', 'persisted', 'superseded', 'parked', 'discarded')),
    kind               text not null default '',
    shop               text not null default '',
    channel            text not null default '',
    status             text not null default '',
    currency           text not null default '',
    total              numeric,
    paid               numeric,
    discount           numeric,
    list_price         numeric,
    delivered_revision bigint,                       -- the newest one that its partner took, and what it amounted to
    delivered_total    numeric,
    delivered_digest   text not null default '',
    content_digest     text not null default '',     -- of revision
    content_revision   bigint,                       -- the one that brought this content; equal pushes came after it
    document_revision  bigint,                       -- the one that the columns below and the amounts above were read from
    buyer_pseudonym    text not null default '',
    phone_pseudonym    text not null default '',
    company_pseudonym  text not null default '',
    personal           bytea,
    payload            bytea,
    warnings           text[] not null default '{}',
    placed_at          timestamptz,
    paid_at            timestamptz,
    received_at        timestamptz not null,         -- of revision
    updated_at         timestamptz not null,
    version            bigint not null               -- counts the writes, so that no writer overwrites what it has not read
) with (fillfactor = 90);
alter table orders alter column payload set storage external, alter column personal set storage external;
create index orders_numbers on orders using gin (numbers);

-- The list of texts that were joined by the unit separator: parameters cannot be lists of lists.
-- +goose StatementBegin
create function unjoin(joined text) returns text[] language sql immutable parallel safe as $$
    select case when joined = '' then '{}' else string_to_array(joined, E'\x1f') end
$$;
-- +goose StatementEnd

create table order_lines (
    order_key  text not null,
    line_no    integer not null, -- from 1, in the document's order
    line_id    text not null,    -- the sender's own
    product    text not null,
    name       text not null,
    quantity   numeric,
    unit_price numeric,
    list_price numeric,
    discount   numeric,
    amount     numeric,
    primary key (order_key, line_no)
);

-- One row per record of a received topic, which is one revision of one order, with all that became of it. end_state is
-- null while it is under way; every row ends in exactly one state. The table of what wins stands in pkg/store/fold.go.
create table received (
    source            text not null,
    partition         integer not null,
    "offset"          bigint not null,
    order_key         text not null,
    revision          bigint not null, -- the topic's generation and the offset
    push_id           text not null default '',
    content_digest    text not null default '',
    received_at       timestamptz not null,
    validated_at      timestamptz,
    content           text check (content in ('new', 'duplicate', 'superseded')), -- beside what had passed validation before it
    content_other     bigint,          -- the revision that it repeats or that superseded it
    outcome           text check (outcome in ('delivered', 'duplicate', 'superseded')), -- of its delivery
    outcome_other     bigint,
    outcome_at        timestamptz,
    outcome_code      text not null default '',
    end_state         text check (end_state in ('delivered', 'persisted', 'duplicate', 'superseded', 'parked', 'discarded')),
    updated_at        timestamptz not null,
    primary key (order_key, revision)
) with (fillfactor = 80);
create unique index received_offset on received (source, partition, "offset", revision);

-- One row per step in the life of one revision of an order. Several services write it; the key makes a redelivery add
-- nothing. dedupe tells repeated steps of one revision apart (the attempt, the letter, the replay); '' where a step
-- happens once. code and detail are enumerated or a partner's own code, never text from a payload.
create table order_events (
    order_key text not null,
    revision  bigint not null,
    step      text not null check (step in ('received', 'validated', 'refused', 'claimed', 'attempt', 'delivered',
              'persisted', 'superseded', 'duplicate', 'dead_lettered', 'replayed', 'discarded')),
    dedupe    text not null default '',
    at        timestamptz not null,
    service   text not null,
    code      text not null default '',
    detail    text not null default '',
    primary key (order_key, revision, step, dedupe)
);

-- What `orderctl topics apply` found on the cluster: a worker refuses to start on another topic of the same name, whose
-- offsets would start again and make every new push look old.
create table topics (
    name        text primary key,
    topic_id    text not null,
    generation  integer not null,
    recorded_at timestamptz not null default now()
);
