-- +goose Up

-- The balance holds the rows of orders and order_lines against what stands in orders.v1, too. Rows from before have nulls
-- here: of these it is only known whether the order is there, and at which revision.
alter table balance_published
    add column order_key text,
    add column amounts   text, -- currency, total, paid, discount and list price, see order_amounts
    add column lines     text; -- digest of the amounts of all lines, see line_amounts

-- What amounts to the same reads the same: pkg/store/balance_amounts.go writes these texts of a record of orders.v1.
-- +goose StatementBegin
create function order_amounts(currency text, total numeric, paid numeric, discount numeric, list_price numeric) returns text
language sql immutable parallel safe as $$
    select currency || ' ' || coalesce(trim_scale(total)::text, '-') || ' ' || coalesce(trim_scale(paid)::text, '-') || ' '
        || coalesce(trim_scale(discount)::text, '-') || ' ' || coalesce(trim_scale(list_price)::text, '-')
$$;
create function line_amounts(line_no integer, quantity numeric, unit_price numeric, list_price numeric, discount numeric, amount numeric) returns text
language sql immutable parallel safe as $$
    select line_no || ' ' || coalesce(trim_scale(quantity)::text, '-') || ' ' || coalesce(trim_scale(unit_price)::text, '-') || ' '
        || coalesce(trim_scale(list_price)::text, '-') || ' ' || coalesce(trim_scale(discount)::text, '-') || ' ' || coalesce(trim_scale(amount)::text, '-')
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
