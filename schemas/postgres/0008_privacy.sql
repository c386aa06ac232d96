-- +goose Up

-- Orders whose personal data was erased on a person's request. What persist stores of a revision that is named here, or
-- that was received before erased_at, goes without its payload and without anything personal, however often and by whatever
-- way its record comes again. A push that was received later is new data of its sender, and is kept.
create table erasures (
    order_key text primary key,
    revision  bigint not null,      -- the greatest that was known
    erased_at timestamptz not null
);

-- Whether a revision of an order was erased. The record of a delivery does not tell when its push was received; the
-- row of received does, once it is there.
-- +goose StatementBegin
create function erased(of_order text, of_revision bigint) returns boolean language sql stable parallel safe as $$
    select exists (select from erasures e where e.order_key = of_order and (of_revision <= e.revision or exists (
        select from received r where r.order_key = of_order and r.revision = of_revision and r.received_at <= e.erased_at)))
$$;
-- +goose StatementEnd

-- The ledger keeps what was sent only while it is in doubt; a call that is under way while its order is erased must not
-- leave it behind. The condition is false on a delivery's normal way.
-- +goose StatementBegin
create function forget_erased_request() returns trigger language plpgsql as $$
begin
    if erased(new.order_key, new.revision) then
        new.request := null;
    end if;
    return new;
end
$$;
-- +goose StatementEnd
create trigger forget_erased_request before insert or update on deliveries
    for each row when (new.request is not null) execute function forget_erased_request();

-- The id of the key that a value is sealed under (pkg/privacy): the second byte is its length. '' where the bytes are not
-- of that format. Only the first bytes of a long value are read.
-- +goose StatementBegin
create function sealed_key(sealed bytea) returns text language sql immutable parallel safe as $$
    select case
        when sealed is null then null
        when octet_length(sealed) < 2 or get_byte(substring(sealed for 1), 0) <> 1 then ''
        else encode(substring(substring(sealed for 34) from 3 for get_byte(substring(sealed for 2), 1)), 'escape')
    end
$$;
-- +goose StatementEnd

-- What retention looks for. A row leaves its index when its bytes go.
create index orders_expiring on orders (source, received_at) where payload is not null or personal is not null;
create index dead_letters_expiring on dead_letters (source, first_failed_at) where payload is not null or headers is not null;
create index deliveries_requests on deliveries (partner, order_key, revision) where request is not null;
