-- +goose Up

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
