package store

import (
	"strconv"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// sealedTables are all tables with encrypted columns. A row is written only if it still is what was read: by its version
// in orders, elsewhere by the beginning of its sealed values, which holds a random nonce. Rows that somebody holds are
// skipped: waiting for them with others in hand could end in a deadlock.
var sealedTables = []sealedTable{
	{
		name: "orders",
		held: `(payload is not null or personal is not null)`,
		pending: `(sealed_key(payload) <> $1 or sealed_key(personal) <> $1 or personal is not null and (
			buyer_pseudonym <> '' and split_part(buyer_pseudonym, '.', 1) <> $2 or phone_pseudonym <> '' and split_part(phone_pseudonym, '.', 1) <> $2
			or company_pseudonym <> '' and split_part(company_pseudonym, '.', 1) <> $2))`,
		first: []any{""},
		next: `with next as (
			select order_key, coalesce(octet_length(payload), 0) + coalesce(octet_length(personal), 0) as size
			from orders where order_key > $5 and %s order by order_key limit $3
		), sized as (select *, sum(size) over (order by order_key) - size as before from next)
		select o.order_key, o.version, coalesce(o.document_revision, 0), o.personal, o.payload,
			o.buyer_pseudonym, o.phone_pseudonym, o.company_pseudonym, o.channel
		from sized s join orders o using (order_key) where s.before < $4 order by order_key`,
		scan: scanSealedOrder, write: writeSealedOrders,
	},
	{
		name:    "dead_letters",
		held:    `(payload is not null or headers is not null)`,
		pending: `(sealed_key(payload) <> $1 or sealed_key(headers) <> $1) and $2 <> ''`,
		first:   []any{int64(0)},
		next: `with next as (
			select id, coalesce(octet_length(payload), 0) + coalesce(octet_length(headers), 0) as size
			from dead_letters where id > $5 and %s order by id limit $3
		), sized as (select *, sum(size) over (order by id) - size as before from next)
		select d.id, d.service, d.origin_topic, d.origin_partition, d.origin_offset, d.payload, d.headers
		from sized s join dead_letters d using (id) where s.before < $4 order by id`,
		scan: scanSealedLetter, write: writeSealedLetters,
	},
	{
		name:    "deliveries",
		held:    `request is not null`,
		pending: `request is not null and sealed_key(request) <> $1 and $2 <> ''`,
		first:   []any{"", "", int64(0)},
		next: `with next as (
			select partner, order_key, revision, octet_length(request) as size
			from deliveries where (partner, order_key, revision) > ($5, $6, $7) and %s order by partner, order_key, revision limit $3
		), sized as (select *, sum(size) over (order by partner, order_key, revision) - size as before from next)
		select d.partner, d.order_key, d.revision, d.request
		from sized s join deliveries d using (partner, order_key, revision) where s.before < $4 and d.request is not null
		order by partner, order_key, revision`,
		scan: scanSealedRequest, write: writeSealedRequests,
	},
	{
		name:    "content_key",
		held:    `sealed is not null`,
		pending: `sealed_key(sealed) <> $1 and $2 <> ''`,
		first:   []any{false},
		next:    `select sealed from content_key where one > $5 and %s limit least($3::bigint, $4::bigint)`,
		scan:    scanSealedContentKey, write: writeSealedContentKey,
	},
}

func scanSealedOrder(row pgx.CollectableRow) (sealedRow, error) {
	var key order.Key
	var revision order.Revision
	r := sealedRow{was: make([][]byte, 2)}
	err := row.Scan(&key, &r.version, &revision, &r.was[0], &r.was[1], &r.pseudonyms[0], &r.pseudonyms[1], &r.pseudonyms[2], &r.channel)
	r.label, r.cursor = "order "+string(key), []any{string(key)}
	r.places = [][]byte{orderPlace("personal", key, revision), orderPlace("payload", key, revision)}
	return r, err
}

func writeSealedOrders(rows []sealedRow) (string, []any) {
	values := []any{
		column(rows, func(r sealedRow) any { return r.cursor[0] }), column(rows, func(r sealedRow) int64 { return r.version }),
		sealedColumn(rows, 0), sealedColumn(rows, 1), column(rows, func(r sealedRow) string { return r.pseudonyms[0] }),
		column(rows, func(r sealedRow) string { return r.pseudonyms[1] }), column(rows, func(r sealedRow) string { return r.pseudonyms[2] }),
	}
	return `with mine as (
			select n.*
			from unnest($1::text[], $2::bigint[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::text[])
				as n (order_key, version, personal, payload, buyer, phone, company)
			join orders o on o.order_key = n.order_key and o.version = n.version for update of o skip locked
		)
		update orders o set personal = m.personal, payload = m.payload, buyer_pseudonym = m.buyer, phone_pseudonym = m.phone,
			company_pseudonym = m.company, version = o.version + 1
		from mine m where o.order_key = m.order_key and o.version = m.version`, values
}

func scanSealedLetter(row pgx.CollectableRow) (sealedRow, error) {
	var l letterRow
	r := sealedRow{was: make([][]byte, 2)}
	err := row.Scan(&l.id, &l.service, &l.originTopic, &l.originPartition, &l.originOffset, &r.was[0], &r.was[1])
	r.label, r.cursor = "letter "+strconv.FormatInt(l.id, 10), []any{l.id}
	r.places = [][]byte{letterPlace("payload", &l), letterPlace("headers", &l)}
	return r, err
}

func writeSealedLetters(rows []sealedRow) (string, []any) {
	values := []any{
		column(rows, func(r sealedRow) any { return r.cursor[0] }), prefixColumn(rows, 0), prefixColumn(rows, 1),
		sealedColumn(rows, 0), sealedColumn(rows, 1),
	}
	return `with mine as (
			select n.* from unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[]) as n (id, old_payload, old_headers, payload, headers)
			join dead_letters d on d.id = n.id and substring(d.payload for octet_length(n.old_payload)) is not distinct from n.old_payload
				and substring(d.headers for octet_length(n.old_headers)) is not distinct from n.old_headers
			for update of d skip locked
		)
		update dead_letters d set payload = m.payload, headers = m.headers from mine m where d.id = m.id`, values
}

func scanSealedRequest(row pgx.CollectableRow) (sealedRow, error) {
	var partner string
	var key order.Key
	var revision order.Revision
	r := sealedRow{was: make([][]byte, 1)}
	err := row.Scan(&partner, &key, &revision, &r.was[0])
	r.label, r.cursor = "request to "+partner+" of order "+string(key), []any{partner, string(key), int64(revision)}
	r.places = [][]byte{RequestPlace(key, revision)}
	return r, err
}

func writeSealedRequests(rows []sealedRow) (string, []any) {
	values := []any{
		column(rows, func(r sealedRow) any { return r.cursor[0] }), column(rows, func(r sealedRow) any { return r.cursor[1] }),
		column(rows, func(r sealedRow) any { return r.cursor[2] }), prefixColumn(rows, 0), sealedColumn(rows, 0),
	}
	return `with mine as (
			select n.* from unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::bytea[]) as n (partner, order_key, revision, old_request, request)
			join deliveries d using (partner, order_key, revision) where substring(d.request for octet_length(n.old_request)) = n.old_request
			for update of d skip locked
		)
		update deliveries d set request = m.request from mine m
		where d.partner = m.partner and d.order_key = m.order_key and d.revision = m.revision`, values
}

func scanSealedContentKey(row pgx.CollectableRow) (sealedRow, error) {
	r := sealedRow{label: "the content key", cursor: []any{true}, places: [][]byte{contentPlace()}, was: make([][]byte, 1)}
	return r, row.Scan(&r.was[0])
}

func writeSealedContentKey(rows []sealedRow) (string, []any) {
	return `update content_key set sealed = $2 where sealed = $1`, []any{rows[0].was[0], rows[0].now[0]}
}

func sealedColumn(rows []sealedRow, i int) [][]byte {
	return column(rows, func(r sealedRow) []byte { return r.now[i] })
}

func prefixColumn(rows []sealedRow, i int) [][]byte {
	return column(rows, func(r sealedRow) []byte { return privacy.SealPrefix(r.was[i]) })
}

// RequestPlace is where an encrypted request of the ledger belongs.
func RequestPlace(key order.Key, revision order.Revision) []byte {
	return privacy.Place("deliveries.request", string(key), strconv.FormatInt(int64(revision), 10))
}

// pseudonymsOf are the pseudonyms that orders keeps: of the buyer, the phone and the company.
func pseudonymsOf(keys *privacy.Keys, channel string, p order.Personal) [3]string {
	return [3]string{keys.Pseudonym(privacy.BuyerAt(channel), p.Account), keys.Pseudonym(privacy.Phone, p.Phone), keys.Pseudonym(privacy.Company, p.Company)}
}
