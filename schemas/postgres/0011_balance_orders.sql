-- +goose Up

-- The balance holds the rows of orders and order_lines against what stands in orders.v1, too. Rows from before have nulls
-- here: of these it is only known whether the order is there, and at which revision.
alter table balance_published
    add column order_key  text,
    add column paid       numeric,
    add column discount   numeric,
    add column list_price numeric,
    add column lines      integer, -- how many; null: the amounts are not known
    add column line_sum   numeric; -- of line_weight

-- What the amounts of a line add to the sum that lines are compared by: each amount and each line weighs differently, and an
-- absent amount is not 0. store.LineSum computes the same of a record of orders.v1.
-- +goose StatementBegin
create function line_weight(line_no integer, quantity numeric, unit_price numeric, list_price numeric, discount numeric, amount numeric) returns numeric
language sql immutable parallel safe as $$
    select line_no * (coalesce(quantity, 1e-9) + 3 * coalesce(unit_price, 1e-9) + 5 * coalesce(list_price, 1e-9) + 7 * coalesce(discount, 1e-9) + 11 * coalesce(amount, 1e-9))
$$;
-- +goose StatementEnd

-- The orders of an hour, as analysts ask for them: one that no record brought is found by it.
create index orders_received on orders (source, received_at) where validated;

alter table balance_faults drop constraint balance_faults_fault_check;
alter table balance_faults add constraint balance_faults_fault_check check (fault in ('no_row', 'no_end', 'two_rows', 'stray_row', 'not_published',
    'published_twice', 'not_stored', 'no_order', 'old_order', 'amounts_differ', 'lines_differ', 'stray_order', 'open'));

-- Differences that a named person accepted, since nothing can mend them any more: they no longer keep their hour from being
-- complete, and stay visible as accepted. The audit has a line of each.
create table balance_accepted (
    source      text not null,
    hour        timestamptz not null,
    partition   integer not null,
    "offset"    bigint not null,
    fault       text not null,
    order_key   text not null,
    accepted_by text not null,
    reason      text not null,
    accepted_at timestamptz not null default now(),
    primary key (source, hour, partition, "offset", fault)
);

alter table balance_hours add column accepted bigint not null default 0; -- differences that a person accepted; not in faults

create or replace view analytics.balance with (security_barrier) as
select source, hour, received, refused, validated, published, delivered, persisted, duplicate, superseded, parked, discarded,
    open, missing, faults, faults = 0 as balanced, sums, complete, revision, checked_at, accepted
from public.balance_hours;
