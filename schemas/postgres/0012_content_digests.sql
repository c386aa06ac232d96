-- +goose Up

-- Digests of contents tell a repeated push. A plain one of a document of which somebody knows all but a phone number can be
-- guessed back into the number, so they stand under a key: 'hmac.' and the HMAC (pkg/privacy). The key is random, is made by
-- whoever needs it first and stays the same for ever, so that digests compare across a rotation of the other keys; it is
-- sealed under PAYLOAD_KEYS. Without this row, or where nobody can open it, equal pushes count as changed ones.
create table content_key (
    one     boolean primary key default true check (one),
    sealed  bytea not null,
    made_at timestamptz not null default now()
);

-- What earlier releases wrote without a key: put under it when its order is written again, and by "orderctl privacy rotate".
create index deliveries_plain on deliveries (order_key) where left(digest, 5) <> 'hmac.';
