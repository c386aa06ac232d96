package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// ErrNotFound says that there is no such row.
var ErrNotFound = errors.New("not found")

// ErrGone says that the bytes asked for were kept once: they were erased, or their retention has passed.
var ErrGone = errors.New("the record is gone: it was erased, or its retention has passed")

// OrderView is an order as people see it; totals are exact texts, empty where there is none.
type OrderView struct {
	Key               order.Key
	Source            order.Source
	OrderNo           string
	Revision          order.Revision
	State             State
	Total             string
	Currency          string
	DeliveredRevision order.Revision // 0: none
	DeliveredTotal    string
	PlacedAt          time.Time // zero: unknown
	ReceivedAt        time.Time
	UpdatedAt         time.Time
}

const selectOrder = `select order_key, source, order_no, revision, state, coalesce(total::text, ''), currency,
	coalesce(delivered_revision, 0), coalesce(delivered_total::text, ''), placed_at, received_at, updated_at from orders `

// The number is looked up before anything is sorted. PostgreSQL expects a number to belong to very many orders, and would
// walk through all of them in the order of their keys until it has found enough.
const ordersByNumber = `with numbered as materialized (` + selectOrder + `where numbers @> array[$1::text]
	union all ` + selectOrder + `where order_key = $1 and not numbers @> array[$1::text])
	select * from numbered where order_key > $2 order by order_key limit $3`

// Orders reads the orders of these keys; one that is not known is left out.
func (s *Store) Orders(ctx context.Context, keys []order.Key) ([]OrderView, error) {
	views, err := query(ctx, s, selectOrder+"where order_key = any($1) order by order_key", scanView, keys)
	if err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	return views, nil
}

// Order reads one order, or ErrNotFound.
func (s *Store) Order(ctx context.Context, key order.Key) (OrderView, error) {
	views, err := s.Orders(ctx, []order.Key{key})
	if err == nil && len(views) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return OrderView{}, err
	}
	return views[0], nil
}

// OrdersByNumber reads the orders that people know by a number, or by their key, at most 100.
func (s *Store) OrdersByNumber(ctx context.Context, number string) ([]OrderView, error) {
	views, _, err := s.OrdersNumbered(ctx, number, "", 100)
	return views, err
}

// OrdersNumbered lists the orders that people know by a number, or by their key, in the order of their keys, at most limit.
// Next is the cursor of what follows, "" at the end. A cursor that makes no sense is an ErrFilter.
func (s *Store) OrdersNumbered(ctx context.Context, number, cursor string, limit int) (views []OrderView, next string, err error) {
	after, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || !utf8.Valid(after) || bytes.ContainsRune(after, 0) {
		return nil, "", fmt.Errorf("%w: cursor: not one of ours", ErrFilter)
	}
	views, err = query(ctx, s, ordersByNumber, scanView, number, string(after), limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("read orders by number: %w", err)
	}
	if len(views) > limit {
		views = views[:limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(views[limit-1].Key))
	}
	return views, next, nil
}

func scanView(row pgx.CollectableRow) (v OrderView, err error) {
	var placedAt *time.Time
	err = row.Scan(&v.Key, &v.Source, &v.OrderNo, &v.Revision, &v.State, &v.Total, &v.Currency,
		&v.DeliveredRevision, &v.DeliveredTotal, &placedAt, &v.ReceivedAt, &v.UpdatedAt)
	v.PlacedAt = value(placedAt)
	return v, err
}

// Document reads and decrypts an order's document, or ErrNotFound while none passed validation.
func (s *Store) Document(ctx context.Context, keys *privacy.Keys, key order.Key) ([]byte, error) {
	document, _, err := s.DocumentOf(ctx, keys, key)
	return document, err
}

// DocumentOf is Document with the revision that brought it.
func (s *Store) DocumentOf(ctx context.Context, keys *privacy.Keys, key order.Key) (document []byte, of order.Revision, err error) {
	var sealed []byte
	var revision int64
	err = s.pool.QueryRow(ctx, `select payload, document_revision from orders where order_key = $1 and payload is not null`, key).Scan(&sealed, &revision)
	if err != nil {
		return nil, 0, fmt.Errorf("read document: %w", notFound(err))
	}
	plain, err := keys.Decrypt(sealed, orderPlace("payload", key, order.Revision(revision)))
	if err != nil {
		return nil, 0, fmt.Errorf("read document: %w", err)
	}
	return plain, order.Revision(revision), nil
}

// LetterRecord reads and decrypts the record of a letter: its bytes, and the headers of the letter that was written last.
func (s *Store) LetterRecord(ctx context.Context, keys *privacy.Keys, id int64) (payload []byte, headers []event.Header, err error) {
	var l letterRow
	var sealedPayload, sealedHeaders []byte
	err = s.pool.QueryRow(ctx, `select service, origin_topic, origin_partition, origin_offset, payload, headers from dead_letters where id = $1`, id).
		Scan(&l.service, &l.originTopic, &l.originPartition, &l.originOffset, &sealedPayload, &sealedHeaders)
	if err != nil {
		return nil, nil, fmt.Errorf("read letter: %w", notFound(err))
	}
	payload, headers, err = openRecord(keys, &l, sealedPayload, sealedHeaders)
	if err != nil {
		return nil, nil, fmt.Errorf("read letter: %w", err)
	}
	return payload, headers, nil
}

func notFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNotFound
	}
	return err
}
