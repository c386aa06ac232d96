-- +goose Up

-- One row per dead letter. The record that failed first is its identity, so that a letter that fails again after a replay
-- stays the same letter. The record's bytes and headers are encrypted (pkg/privacy); their place is the column's name, the
-- service and the origin's coordinates. Clear columns hold codes and pointers, never a value of the record.
create table dead_letters (
    id               bigint generated always as identity primary key,
    service          text not null,
    code             text not null,
    path             text not null default '',  -- JSON pointer to the field at fault
    detail           text not null default '',  -- a partner's own code
    class            text not null default '',
    message          text not null default '',
    source           text not null default '',
    shop             text not null default '',
    order_key        text not null default '',
    revision         bigint,                    -- null where the record's headers did not tell
    total            numeric,                   -- what could be read of the record, for filters
    origin_topic     text not null,
    origin_partition integer not null,
    origin_offset    bigint not null,
    origin_at        timestamptz,
    attempts         integer not null default 0,
    first_failed_at  timestamptz not null,
    failed_at        timestamptz not null,
    failed_replays   integer not null default 0, -- how many replays the record had behind it when it failed last
    sent_replays     integer not null default 0, -- how many replays were sent
    dlq_topic        text not null,             -- where the letter that was written last lies
    dlq_partition    integer not null,
    dlq_offset       bigint not null,
    worker_version   text not null default '',
    payload          bytea,
    headers          bytea,                     -- a JSON list of {key, value} with the value in base64
    state            text not null check (state in ('open', 'replaying', 'fixed', 'failed_again', 'superseded', 'discarded')),
    discarded_at     timestamptz,
    discarded_by     text not null default '',
    discard_reason   text not null default '',
    updated_at       timestamptz not null,
    unique (service, origin_topic, origin_partition, origin_offset)
);
alter table dead_letters alter column payload set storage external, alter column headers set storage external;
create index dead_letters_order on dead_letters (order_key, revision);
create index dead_letters_todo on dead_letters (state, failed_at, id);

create table replay_jobs (
    id          bigint generated always as identity primary key,
    state       text not null check (state in ('planned', 'waiting_approval', 'running', 'paused', 'stopped', 'cancelled', 'done')),
    filter      jsonb not null,
    dry_run     boolean not null,
    rate        integer not null,               -- letters a second; 0: as fast as they go
    reason      text not null,
    created_by  text not null,
    approved_by text not null default '',
    created_at  timestamptz not null default now(),
    finished_at timestamptz
);

create table replay_items (
    job_id    bigint not null references replay_jobs (id),
    letter_id bigint not null references dead_letters (id),
    result    text not null check (result in ('selected', 'would_pass', 'would_fail', 'sent', 'fixed', 'failed_again', 'superseded', 'skipped')),
    at        timestamptz not null default now(),
    primary key (job_id, letter_id)
);
create index replay_items_letter on replay_items (letter_id);

-- Who did what. Rows are only ever added.
create table audit (
    id     bigint generated always as identity primary key,
    at     timestamptz not null default now(),
    who    text not null,
    action text not null,
    object text not null,                       -- such as the number of a letter or a job
    reason text not null default ''
);
-- +goose StatementBegin
create function audit_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'audit is append only';
end
$$;
-- +goose StatementEnd
create trigger audit_is_append_only before update or delete or truncate on audit
    for each statement execute function audit_is_append_only();
