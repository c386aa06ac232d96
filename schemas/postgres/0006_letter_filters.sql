-- +goose Up

-- What people ask of all the letters there ever were, and few or none fit: a walk through dead_letters_newest would not end
-- before its end.
create index dead_letters_code on dead_letters (code, failed_at, id);
create index dead_letters_shop on dead_letters (shop, failed_at, id);
create index dead_letters_source on dead_letters (source, failed_at, id);
create index dead_letters_total on dead_letters (total);

-- The groups are counted without a look at the letters.
drop index dead_letters_groups;
create index dead_letters_groups on dead_letters (service, code, path, failed_at, id) include (first_failed_at)
    where state in ('open', 'failed_again');
