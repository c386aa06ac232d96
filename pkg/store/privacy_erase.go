package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// Erasure is what an erasure removed, and what is left elsewhere.
type Erasure struct {
	Order     bool // whether the order's payload, personal columns or pseudonyms were still there
	Letters   int  // letters that lost their record
	Discarded int  // letters that wanted attention: without their record there is nothing left to send
	Requests  int  // what the ledger kept of a call in doubt
	UnderWay  int  // revisions of the order that have not ended: more copies of them may be written to Kafka
	Copies    []KafkaCopy
}

// KafkaCopy is a topic that holds records of an order, and when the last one that is known of was written.
type KafkaCopy struct {
	Topic   string
	Written time.Time
}

// AnalystsTopic holds no personal data, only pseudonyms.
const AnalystsTopic = "orders.v1"

const (
	eraseMark = `insert into erasures (order_key, revision, erased_at) select $1, greatest(
			(select max(revision) from orders where order_key = $1), (select max(revision) from received where order_key = $1),
			(select max(revision) from dead_letters where order_key = $1), (select max(revision) from deliveries where partner = any($2) and order_key = $1)), clock_timestamp()
		on conflict (order_key) do update set revision = greatest(erasures.revision, excluded.revision), erased_at = greatest(erasures.erased_at, excluded.erased_at)`

	eraseOrder = `update orders set payload = null, personal = null, buyer_pseudonym = '', phone_pseudonym = '', company_pseudonym = '', version = version + 1
		where order_key = $1 and (payload is not null or personal is not null or buyer_pseudonym || phone_pseudonym || company_pseudonym <> '')`

	eraseLetters = `update dead_letters set payload = null, headers = null where order_key = $1 and (payload is not null or headers is not null)`

	eraseRequests = `update deliveries set request = null, keep_until = null where partner = any($2) and order_key = $1 and request is not null`

	// Every partner that the ledger knows, each found by one look into its primary key.
	selectPartners = `with recursive known as (
			(select partner from deliveries order by partner limit 1)
			union all select (select d.partner from deliveries d where d.partner > known.partner order by d.partner limit 1) from known where known.partner is not null
		) select partner from known where partner is not null`

	discardErased = `update dead_letters set discarded_at = $2, discarded_by = $3, discard_reason = $4, updated_at = now(), state = 'discarded'
		where order_key = $1 and state not in ('fixed', 'superseded', 'discarded') returning id, coalesce(revision, 0)`

	selectCopies = `select topic, max(at) from (
			select $2 as topic, received_at as at from received where order_key = $1
			union all select topic, greatest(r.validated_at, e.at) from received r
				left join order_events e on e.order_key = r.order_key and e.revision = r.revision and e.step = 'replayed'
				cross join unnest($3::text[]) as topic where r.order_key = $1 and r.validated_at is not null
			union all select dlq_topic, failed_at from dead_letters where order_key = $1
			union all select d.service || '.replay.v1', i.sent_at from replay_items i join dead_letters d on d.id = i.letter_id where d.order_key = $1
		) copies where at is not null group by topic order by topic`
)

// Erase removes, by a person's request, everything personal that PostgreSQL holds of an order: payload, personal columns
// and pseudonyms, the records of its letters, the ledger's requests, digests that need no key to be tried. Amounts, lines, numbers and the timeline stay. Letters
// that want attention are discarded in the same name. What comes again of the revisions that were received until now is
// stored without anything personal; a later push is new data of its sender. Erasing again removes what came since, and
// else nothing. An unknown order is ErrNotFound.
func (s *Store) Erase(ctx context.Context, key order.Key, by, reason string) (e Erasure, err error) {
	for range maxRedo {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			e = Erasure{}
			return s.eraseIn(ctx, tx, key, by, reason, &e)
		})
		if !errors.Is(err, errConflict) && !serialization(err) {
			break
		}
	}
	if err != nil {
		return e, fmt.Errorf("erase order: %w", err)
	}
	return e, nil
}

// eraseIn locks the order first, as every writer does, and the ledger's own locks last: nobody takes them the other way.
func (s *Store) eraseIn(ctx context.Context, tx pgx.Tx, key order.Key, by, reason string, e *Erasure) error {
	tag, err := tx.Exec(ctx, `select from orders where order_key = $1 for update`, key)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	partners, err := lockLedgers(ctx, tx, key)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, eraseMark, key, partners); err != nil {
		return err
	}
	if err := s.discardErased(ctx, tx, key, by, reason, e); err != nil {
		return err
	}
	document, errO := tx.Exec(ctx, eraseOrder, key)
	letters, errL := tx.Exec(ctx, eraseLetters, key)
	requests, errR := tx.Exec(ctx, eraseRequests, key, partners)
	if err := cmp.Or(errO, errL, errR, hideDigests(ctx, tx, key, partners)); err != nil {
		return err
	}
	e.Order, e.Letters, e.Requests = document.RowsAffected() > 0, int(letters.RowsAffected()), int(requests.RowsAffected())
	if err := addAudit(ctx, tx, AuditEntry{Who: by, Action: "erase", Object: "order " + string(key), Reason: reason}); err != nil {
		return err
	}
	return leftOf(ctx, tx, key, e)
}

// discardErased gives up, in the name of who erases, the letters that lose what they could be mended with.
func (s *Store) discardErased(ctx context.Context, tx pgx.Tx, key order.Key, by, reason string, e *Erasure) error {
	now := time.Now()
	rows, err := tx.Query(ctx, discardErased, key, now, by, reason)
	if err != nil {
		return err
	}
	var facts []*Fact
	var id int64
	var revision order.Revision
	_, err = pgx.ForEachRow(rows, []any{&id, &revision}, func() error {
		e.Discarded++
		if revision != 0 {
			facts = append(facts, &Fact{
				Meta: event.Meta{OrderKey: key, Revision: revision}, Service: "orderctl",
				Discard: &Discard{LetterID: id, By: by, Reason: reason, At: now},
			})
		}
		return nil
	})
	if err != nil || len(facts) == 0 {
		return err
	}
	w := Writer{store: s, now: time.Now} // without keys: nothing is written that would be encrypted
	return w.applyIn(ctx, tx, nil, facts)
}

// lockLedgers takes the locks of the order in every partner's ledger, so that no bookkeeping that is under way comes after
// the erasure unseen: what waits for them finds the order erased (the trigger of table deliveries).
func lockLedgers(ctx context.Context, tx pgx.Tx, key order.Key) (partners []string, err error) {
	rows, err := tx.Query(ctx, selectPartners)
	if err != nil {
		return nil, err
	}
	if partners, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return nil, err
	}
	var locks []int64
	for _, partner := range partners {
		locks = append(locks, ledgerLock(partner, string(key)))
	}
	slices.Sort(locks)
	_, err = tx.Exec(ctx, lockOrders, locks)
	return partners, err
}

// leftOf tells what PostgreSQL knows of copies in Kafka.
func leftOf(ctx context.Context, tx pgx.Tx, key order.Key, e *Erasure) error {
	err := tx.QueryRow(ctx, `select count(*) from received where order_key = $1 and end_state is null`, key).Scan(&e.UnderWay)
	if err != nil {
		return err
	}
	validated := []string{event.Validated(key.Source()), AnalystsTopic}
	rows, err := tx.Query(ctx, selectCopies, key, event.Received(key.Source()), validated)
	if err != nil {
		return err
	}
	e.Copies, err = pgx.CollectRows(rows, pgx.RowToStructByPos[KafkaCopy])
	return err
}
