-- +goose Up

-- A part of an order key is looked for in the index alone, and the letters there ever were are grouped from one: both read
-- every entry, but no letter with its record beside it.
drop index dead_letters_newest;
create index dead_letters_newest on dead_letters (failed_at, id) include (order_key, state);
drop index dead_letters_live;
create index dead_letters_live on dead_letters (failed_at, id) include (order_key) where state in ('open', 'failed_again');
create index dead_letters_causes on dead_letters (service, code, path, id) include (first_failed_at, failed_at, state);

-- How many letters of a finished job have each result, so that the list of jobs does not count them again: selected, sent,
-- would_pass, would_fail, fixed, failed_again, superseded, skipped, and how many were sent at all. Null: count.
alter table replay_jobs add column counts bigint[];
update replay_jobs j set counts = (
    select array[count(*) filter (where result = 'selected'), count(*) filter (where result = 'sent'),
        count(*) filter (where result = 'would_pass'), count(*) filter (where result = 'would_fail'),
        count(*) filter (where result = 'fixed'), count(*) filter (where result = 'failed_again'),
        count(*) filter (where result = 'superseded'), count(*) filter (where result = 'skipped'),
        count(*) filter (where sent_at is not null)]
    from replay_items i where i.job_id = j.id)
where finished_at is not null;
