-- +goose Up

-- For those who like SQL better than Kafka: what orders.v1 says, under the same names, and nothing else. The views run with
-- their owner's rights; orderflow_analyst may read them and no table. Not here: documents, personal columns, and what is
-- known of an order that never passed validation. Province and city stand in orders.v1 only: here they are encrypted.

-- A role belongs to the whole server: another database may have made it, or be making it at this moment.
-- +goose StatementBegin
do $$
begin
    if not exists (select from pg_roles where rolname = 'orderflow_analyst') then
        create role orderflow_analyst nologin;
    end if;
exception
    when duplicate_object or unique_violation then null;
    when insufficient_privilege then
        raise exception 'the role orderflow_analyst is missing and user % may not create it: let a superuser run "create role orderflow_analyst nologin", then migrate again', current_user
            using errcode = 'insufficient_privilege';
end
$$;
-- +goose StatementEnd

create schema analytics;

create view analytics.orders with (security_barrier) as
select order_key, source, revision, order_key || '@' || revision as event_id, kind, order_no, nullif(original_no, '') as original_order_no,
    nullif(shop, '') as shop, nullif(channel, '') as channel, nullif(status, '') as status, state, currency, total, paid, discount, list_price, delivered_total,
    nullif(buyer_pseudonym, '') as buyer_pseudonym, nullif(phone_pseudonym, '') as phone_pseudonym, nullif(company_pseudonym, '') as company_pseudonym,
    placed_at, paid_at, received_at, updated_at, warnings
from public.orders
where validated;

create view analytics.order_lines with (security_barrier) as
select order_key, line_no, nullif(line_id, '') as line_id, nullif(product, '') as product, nullif(name, '') as name,
    quantity, unit_price, list_price, discount, amount
from public.order_lines;

-- complete and revision are what orders.completeness.v1 said last; the counts are those of the last check.
create view analytics.balance with (security_barrier) as
select source, hour, received, refused, validated, published, delivered, persisted, duplicate, superseded, parked, discarded,
    open, missing, faults, faults = 0 as balanced, sums, complete, revision, checked_at
from public.balance_hours;

revoke all on schema analytics from public;
grant usage on schema analytics to orderflow_analyst;
grant select on analytics.orders, analytics.order_lines, analytics.balance to orderflow_analyst;
