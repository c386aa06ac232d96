package store

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// Every table is written by one statement per batch, from one array a column, sorted by key so that two writers cannot
// deadlock. An order's row goes first, and only if its version is the one that was read: whoever wrote in between wins,
// and the batch is done again.
const (
	writeDocuments = `insert into orders as o (order_key, source, order_no, numbers, original_no, revision, validated, state, kind, shop,
		channel, status, currency, total, paid, discount, list_price, delivered_revision, delivered_total, delivered_digest,
		content_digest, content_revision, document_revision, buyer_pseudonym, phone_pseudonym, company_pseudonym, personal, payload,
		warnings, placed_at, paid_at, received_at, updated_at, version)
	select order_key, source, order_no, ` + list + `(numbers), original_no, revision, validated, state, kind, shop,
		channel, status, currency, total::numeric, paid::numeric, discount::numeric, list_price::numeric,
		delivered_revision, delivered_total::numeric, delivered_digest,
		content_digest, content_revision, document_revision, buyer_pseudonym, phone_pseudonym, company_pseudonym, personal, payload,
		` + list + `(warnings), placed_at, paid_at, received_at, now(), version + 1
	from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bool[], $8::text[], $9::text[], $10::text[],
		$11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bigint[], $19::text[], $20::text[],
		$21::text[], $22::bigint[], $23::bigint[], $24::text[], $25::text[], $26::text[], $27::bytea[], $28::bytea[],
		$29::text[], $30::timestamptz[], $31::timestamptz[], $32::timestamptz[], $33::bigint[])
	as n (order_key, source, order_no, numbers, original_no, revision, validated, state, kind, shop,
		channel, status, currency, total, paid, discount, list_price, delivered_revision, delivered_total, delivered_digest,
		content_digest, content_revision, document_revision, buyer_pseudonym, phone_pseudonym, company_pseudonym, personal, payload,
		warnings, placed_at, paid_at, received_at, version)
	on conflict (order_key) do update set order_no = excluded.order_no, numbers = excluded.numbers, original_no = excluded.original_no,
		revision = excluded.revision, validated = excluded.validated, state = excluded.state, kind = excluded.kind, shop = excluded.shop,
		channel = excluded.channel, status = excluded.status, currency = excluded.currency, total = excluded.total, paid = excluded.paid,
		discount = excluded.discount, list_price = excluded.list_price, delivered_revision = excluded.delivered_revision,
		delivered_total = excluded.delivered_total, delivered_digest = excluded.delivered_digest, content_digest = excluded.content_digest,
		content_revision = excluded.content_revision, document_revision = excluded.document_revision,
		buyer_pseudonym = excluded.buyer_pseudonym, phone_pseudonym = excluded.phone_pseudonym,
		company_pseudonym = excluded.company_pseudonym, personal = excluded.personal, payload = excluded.payload,
		warnings = excluded.warnings, placed_at = excluded.placed_at, paid_at = excluded.paid_at, received_at = excluded.received_at,
		updated_at = excluded.updated_at, version = excluded.version
	where o.version = excluded.version - 1`

	writeStates = `update orders as o set revision = n.revision, state = n.state, delivered_revision = n.delivered_revision,
		delivered_total = n.delivered_total::numeric, delivered_digest = n.delivered_digest, content_digest = n.content_digest,
		received_at = n.received_at, numbers = coalesce(` + list + `(n.numbers), o.numbers), updated_at = now(), version = o.version + 1
	from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::text[])
	as n (order_key, version, revision, state, delivered_revision, delivered_total, delivered_digest, content_digest, received_at, numbers)
	where o.order_key = n.order_key and o.version = n.version`

	deleteLines = `delete from order_lines where order_key = any($1)`

	writeLines = `insert into order_lines (order_key, line_no, line_id, product, name, quantity, unit_price, list_price, discount, amount)
	select order_key, line_no, line_id, product, name, quantity::numeric, unit_price::numeric, list_price::numeric, discount::numeric, amount::numeric
	from unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
	as n (order_key, line_no, line_id, product, name, quantity, unit_price, list_price, discount, amount)`

	// list is a function of the migrations: the text[] of texts joined by listSeparator. An array of arrays cannot be
	// unnested by one level.
	list          = `unjoin`
	listSeparator = "\x1f"
)

// documentRow is an orders row whose document is written too.
type documentRow struct {
	*orderRow
	order.Order
	personal, payload []byte
}

func sealDocument(keys *privacy.Keys, o *orderRow) documentRow {
	row := documentRow{orderRow: o}
	switch {
	case o.document != nil:
		row.Order = o.document.Order
		row.personal = keys.Encrypt(personalJSON(row.Personal), orderPlace("personal", o.key, o.documentRevision))
		row.payload = keys.Encrypt(o.document.Document, orderPlace("payload", o.key, o.documentRevision))
	case o.excerpt != nil:
		row.OrderNo, row.Shop, row.Total = o.excerpt.OrderNo, o.excerpt.Shop, o.excerpt.Total
	}
	if row.OrderNo == "" {
		row.OrderNo = numberOfKey(o.key)
	}
	return row
}

// orderPlace is where an encrypted column of orders belongs.
func orderPlace(column string, key order.Key, revision order.Revision) []byte {
	return privacy.Place("orders."+column, string(key), strconv.FormatInt(int64(revision), 10))
}

func personalJSON(p order.Personal) []byte {
	if p == (order.Personal{}) {
		return nil
	}
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of strings
	}
	return text
}

// queueOrders queues the writing of the orders' rows; what it returns counts the rows that must be written.
func queueOrders(batch *pgx.Batch, keys *privacy.Keys, orders []*orderRow, written *int64) (wanted int64) {
	var documents []documentRow
	var states []*orderRow
	for _, o := range orders {
		if o.document != nil || o.excerpt != nil || o.version == 0 {
			documents = append(documents, sealDocument(keys, o))
		} else {
			states = append(states, o)
		}
	}
	if len(documents) > 0 {
		batch.Queue(writeDocuments, documentColumns(keys, documents)...).Exec(countInto(written))
		queueLines(batch, documents)
	}
	if len(states) > 0 {
		batch.Queue(writeStates, stateColumns(states)...).Exec(countInto(written))
	}
	return int64(len(documents) + len(states))
}

func documentColumns(keys *privacy.Keys, rows []documentRow) []any {
	return []any{
		column(rows, func(r documentRow) string { return string(r.key) }),
		column(rows, func(r documentRow) string { return string(r.source) }),
		column(rows, func(r documentRow) string { return r.OrderNo }),
		column(rows, func(r documentRow) string { return strings.Join(r.numbers, listSeparator) }),
		column(rows, func(r documentRow) string { return r.OriginalNo }),
		column(rows, func(r documentRow) int64 { return int64(r.revision) }),
		column(rows, func(r documentRow) bool { return r.validated }),
		column(rows, func(r documentRow) string { return string(r.state) }),
		column(rows, func(r documentRow) string { return string(r.Kind) }),
		column(rows, func(r documentRow) string { return r.Shop }),
		column(rows, func(r documentRow) string { return r.Channel }),
		column(rows, func(r documentRow) string { return r.Status }),
		column(rows, func(r documentRow) string { return r.Currency }),
		column(rows, func(r documentRow) *string { return amount(r.Total) }),
		column(rows, func(r documentRow) *string { return amount(r.Paid) }),
		column(rows, func(r documentRow) *string { return amount(r.Discount) }),
		column(rows, func(r documentRow) *string { return amount(r.ListPrice) }),
		column(rows, func(r documentRow) *int64 { return null(int64(r.deliveredRevision)) }),
		column(rows, func(r documentRow) *string { return null(r.deliveredTotal) }),
		column(rows, func(r documentRow) string { return r.deliveredDigest }),
		column(rows, func(r documentRow) string { return r.contentDigest }),
		column(rows, func(r documentRow) *int64 { return null(int64(r.contentRevision)) }),
		column(rows, func(r documentRow) *int64 { return null(int64(r.documentRevision)) }),
		column(rows, func(r documentRow) string { return keys.Pseudonym(privacy.BuyerAt(r.Channel), r.Personal.Account) }),
		column(rows, func(r documentRow) string { return keys.Pseudonym(privacy.Phone, r.Personal.Phone) }),
		column(rows, func(r documentRow) string { return keys.Pseudonym(privacy.Company, r.Personal.Company) }),
		column(rows, func(r documentRow) []byte { return r.personal }),
		column(rows, func(r documentRow) []byte { return r.payload }),
		column(rows, func(r documentRow) string { return strings.Join(r.Warnings, listSeparator) }),
		column(rows, func(r documentRow) *time.Time { return nullTime(r.PlacedAt) }),
		column(rows, func(r documentRow) *time.Time { return nullTime(r.PaidAt) }),
		column(rows, func(r documentRow) time.Time { return r.receivedAt }),
		column(rows, func(r documentRow) int64 { return r.version }),
	}
}

func stateColumns(rows []*orderRow) []any {
	return []any{
		column(rows, func(r *orderRow) string { return string(r.key) }),
		column(rows, func(r *orderRow) int64 { return r.version }),
		column(rows, func(r *orderRow) int64 { return int64(r.revision) }),
		column(rows, func(r *orderRow) string { return string(r.state) }),
		column(rows, func(r *orderRow) *int64 { return null(int64(r.deliveredRevision)) }),
		column(rows, func(r *orderRow) *string { return null(r.deliveredTotal) }),
		column(rows, func(r *orderRow) string { return r.deliveredDigest }),
		column(rows, func(r *orderRow) string { return r.contentDigest }),
		column(rows, func(r *orderRow) time.Time { return r.receivedAt }),
		column(rows, func(r *orderRow) *string {
			if !r.renumbered {
				return nil
			}
			return new(strings.Join(r.numbers, listSeparator))
		}),
	}
}

type lineRow struct {
	key order.Key
	order.Line
}

// queueLines replaces the lines of orders whose document is written.
func queueLines(batch *pgx.Batch, documents []documentRow) {
	var rows []lineRow
	for _, d := range documents {
		for _, line := range d.Lines {
			rows = append(rows, lineRow{d.key, line})
		}
	}
	// Those of new orders too: lines whose order somebody else has deleted are no reason to refuse the next push.
	batch.Queue(deleteLines, column(documents, func(d documentRow) string { return string(d.key) }))
	if len(rows) == 0 {
		return
	}
	batch.Queue(writeLines,
		column(rows, func(r lineRow) string { return string(r.key) }),
		column(rows, func(r lineRow) int32 { return int32(r.No) }),
		column(rows, func(r lineRow) string { return r.ID }),
		column(rows, func(r lineRow) string { return r.Product }),
		column(rows, func(r lineRow) string { return r.Name }),
		column(rows, func(r lineRow) *string { return amount(r.Quantity) }),
		column(rows, func(r lineRow) *string { return amount(r.UnitPrice) }),
		column(rows, func(r lineRow) *string { return amount(r.ListPrice) }),
		column(rows, func(r lineRow) *string { return amount(r.Discount) }),
		column(rows, func(r lineRow) *string { return amount(r.Amount) }),
	)
}

// amount is the exact text of an amount, with the places that it was sent with.
func amount(d decimal.NullDecimal) *string {
	if !d.Valid {
		return nil
	}
	text := d.Decimal.StringFixed(max(0, -d.Decimal.Exponent()))
	return &text
}
