-- +goose Up

-- A frozen worker's call may come after a newer revision was delivered and committed: nothing brings that record back, so
-- what was sent is kept (encrypted) as long as such a call is to be expected, and the ledger says what is to be sent again.
--
-- A row that was delivered and is being sent once more keeps its outcome while it is claimed or unknown: whatever becomes
-- of that call, the record ended before and its outcome was published.
--
-- mend_after  set when the row becomes dirty, null once its content was sent again: not to be tried before that time
-- mends       how often that failed
-- keep_until  set where the request of a settled row is kept: removed after that time, unless the order is to be mended
--
-- None of these columns, nor unknowns, changes on a delivery's normal way, so that the indexes cost it nothing.
alter table deliveries
    add column mend_after timestamptz,
    add column mends integer not null default 0,
    add column keep_until timestamptz,
    drop constraint deliveries_check,
    drop constraint deliveries_check2,
    add check (case state when 'settled' then outcome is not null else coalesce(outcome in ('delivered', 'duplicate'), true) end),
    add check (state <> 'settled' or request is null or keep_until is not null);

create index deliveries_mend on deliveries (partner, order_key, revision) where mend_after is not null;
create index deliveries_keep on deliveries (keep_until) where keep_until is not null;
create index deliveries_unknown on deliveries (partner, order_key, revision) where unknowns > 0;
