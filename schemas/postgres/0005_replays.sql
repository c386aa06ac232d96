-- +goose Up

-- What people ask of the letters: the newest ones that want attention, those of one service, all of them. The states stand
-- in the index's condition, so that the list of open letters does not grow with what was settled long ago.
create index dead_letters_live on dead_letters (failed_at, id) where state in ('open', 'failed_again');
create index dead_letters_groups on dead_letters (service, code, path, failed_at, id) where state in ('open', 'failed_again');
create index dead_letters_newest on dead_letters (failed_at, id);
create index dead_letters_service on dead_letters (service, failed_at, id);

-- A replay job is worked on by the one console that holds its lease. finished_at is set once every letter of the job has
-- its result, also after it was cancelled.
alter table replay_jobs
    add column selected    integer not null default 0,
    add column left_out    integer not null default 0, -- matched the filter, but failed too many replays
    add column changed_at  timestamptz not null default now(), -- of the state
    add column approved_at timestamptz,
    add column started_at  timestamptz,
    add column resumed_at  timestamptz,                -- results before it do not count for stopping by itself
    add column lease_owner text not null default '',
    add column lease_until timestamptz;                -- by this server's clock

-- result   selected: not sent yet; sent: under way, without a result; all others are final
-- replay   the number that the record travels under, one more than the replays that have failed before. It is written
--          before the record is produced, so that whoever produces it after a crash uses the same number
alter table replay_items
    add column position    integer not null default 0, -- letters of one order stand in the order of their revisions
    add column replay      integer not null default 0,
    add column code        text not null default '',   -- why it failed, or was skipped
    add column path        text not null default '',
    add column sent_at     timestamptz,
    add column partition   integer,                    -- where in the replay topic it lies; null while Kafka has not said so
    add column "offset"    bigint;
create index replay_items_position on replay_items (job_id, position);
create index replay_items_results on replay_items (job_id, result, position);
create index replay_items_unproduced on replay_items (job_id, position) where result = 'sent' and partition is null;
