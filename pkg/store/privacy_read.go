package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// Whoever reads what stands here writes it down first: a payload in clear is shown to nobody without a line in the audit.

// ClearOrder is what PostgreSQL holds of an order that points at a person, in clear.
type ClearOrder struct {
	Revision   order.Revision // that the document is of; 0: none
	Personal   *order.Personal
	Document   []byte
	Pseudonyms [3]string // buyer, phone, company; "" where there is none
	ErasedAt   time.Time // zero: never
	Err        error     // some of it cannot be opened: ErrSealed
}

// ClearOrder reads and decrypts one order, or ErrNotFound. Personal and Document are nil where there is none, or no more.
func (s *Store) ClearOrder(ctx context.Context, keys *privacy.Keys, key order.Key) (c ClearOrder, err error) {
	var personal, payload []byte
	var erasedAt *time.Time
	err = s.pool.QueryRow(ctx, `select coalesce(o.document_revision, 0), o.personal, o.payload, o.buyer_pseudonym, o.phone_pseudonym, o.company_pseudonym, e.erased_at
		from orders o left join erasures e using (order_key) where o.order_key = $1`, key).
		Scan(&c.Revision, &personal, &payload, &c.Pseudonyms[0], &c.Pseudonyms[1], &c.Pseudonyms[2], &erasedAt)
	if err != nil {
		return c, fmt.Errorf("read order in clear: %w", notFound(err))
	}
	c.ErasedAt = value(erasedAt)
	text, errPersonal := keys.Decrypt(personal, orderPlace("personal", key, c.Revision))
	if text != nil {
		c.Personal = &order.Personal{}
		if json.Unmarshal(text, c.Personal) != nil {
			c.Personal, errPersonal = nil, errors.New("personal data: not what was written")
		}
	}
	var errDocument error
	c.Document, errDocument = keys.Decrypt(payload, orderPlace("payload", key, c.Revision))
	c.Err = errors.Join(errPersonal, errDocument)
	return c, nil
}

// ClearLetter is the record of a letter in clear. Payload and headers are nil where they are gone.
type ClearLetter struct {
	ID       int64
	Service  string
	Code     string
	State    LetterState
	OrderKey order.Key
	Revision order.Revision // 0: the record's headers did not tell
	Topic    string         // that the record was first read from
	FailedAt time.Time
	Payload  []byte
	Headers  []event.Header
	Err      error // it cannot be opened: ErrSealed, or ErrGone
}

const selectClear = `select id, service, code, state, order_key, coalesce(revision, 0), origin_topic, failed_at, origin_partition, origin_offset, payload, headers from dead_letters `

// ClearLetter reads and decrypts one letter, or ErrNotFound.
func (s *Store) ClearLetter(ctx context.Context, keys *privacy.Keys, id int64) (ClearLetter, error) {
	letters, err := query(ctx, s, selectClear+`where id = $1`, scanClear(keys), id)
	if err == nil && len(letters) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return ClearLetter{}, fmt.Errorf("read letter in clear: %w", err)
	}
	return letters[0], nil
}

// NextClearLetter reads and decrypts the first letter of an order after that number, or ErrNotFound. One at a time: an
// order may have any number of letters of any size.
func (s *Store) NextClearLetter(ctx context.Context, keys *privacy.Keys, key order.Key, after int64) (ClearLetter, error) {
	letters, err := query(ctx, s, selectClear+`where order_key = $1 and id > $2 order by id limit 1`, scanClear(keys), key, after)
	if err == nil && len(letters) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return ClearLetter{}, fmt.Errorf("read letter in clear: %w", err)
	}
	return letters[0], nil
}

func scanClear(keys *privacy.Keys) pgx.RowToFunc[ClearLetter] {
	return func(row pgx.CollectableRow) (c ClearLetter, err error) {
		l := letterRow{}
		var payload, headers []byte
		err = row.Scan(&c.ID, &c.Service, &c.Code, &c.State, &c.OrderKey, &c.Revision, &c.Topic, &c.FailedAt, &l.originPartition, &l.originOffset, &payload, &headers)
		if err != nil {
			return c, err
		}
		l.service, l.originTopic = c.Service, c.Topic
		c.Payload, c.Headers, c.Err = openRecord(keys, &l, payload, headers)
		return c, nil
	}
}

// ClearRequest is what the ledger keeps of a call whose outcome is in doubt, in clear.
type ClearRequest struct {
	Partner  string
	Revision order.Revision
	Body     []byte
	Err      error // it cannot be opened: ErrSealed
}

// ClearRequests reads and decrypts what the ledger keeps of an order: few, and only while they are in doubt.
func (s *Store) ClearRequests(ctx context.Context, keys *privacy.Keys, key order.Key) ([]ClearRequest, error) {
	requests, err := query(ctx, s, `select partner, revision, request from deliveries where request is not null and order_key = $1 order by partner, revision limit 100`,
		func(row pgx.CollectableRow) (r ClearRequest, err error) {
			var sealed []byte
			if err := row.Scan(&r.Partner, &r.Revision, &sealed); err != nil {
				return r, err
			}
			r.Body, r.Err = keys.Decrypt(sealed, RequestPlace(key, r.Revision))
			return r, nil
		}, key)
	if err != nil {
		return nil, fmt.Errorf("read requests in clear: %w", err)
	}
	return requests, nil
}
