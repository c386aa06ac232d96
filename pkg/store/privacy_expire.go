package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// Expired is what was removed because its retention had passed.
type Expired struct {
	Orders   int // payloads and personal columns
	Letters  int // records of letters
	Requests int // what the ledger kept of a call in doubt
}

// ErrExpiring says that another process is removing expired payloads at this moment.
var ErrExpiring = errors.New("another process removes expired payloads just now")

const (
	expireRows = 500
	// expireLock is held during one batch only, so that a process that dies in between blocks nobody.
	expireLock = `select pg_try_advisory_xact_lock(hashtextextended('orderflow: expire', 0))`
)

// What is due, by its source. $2 is the retention and $3 the names of the known sources; $1 is one of them, or "" for all
// others. Amounts, lines, numbers, pseudonyms and the timeline stay: they have no retention.
//
// An order's time counts from its newest push. A letter's counts from its first failure; while it wants attention its
// record is what it would be mended with, so it has twice the time, and no more than that. Erased requests go at once,
// should a call that was under way have left one.
const (
	ofSource = `(source = $1 or $1 = '' and source <> all($3))`

	expireOrders = `with due as (
			select order_key from orders where (payload is not null or personal is not null) and ` + ofSource + ` and received_at < now() - $2::interval
			order by received_at limit $4 for update skip locked
		)
		update orders o set payload = null, personal = null, version = version + 1 from due where o.order_key = due.order_key`

	expireLetters = `with due as (
			select id from dead_letters where (payload is not null or headers is not null) and ` + ofSource + ` and first_failed_at < now() - $2::interval
				and (state in ('fixed', 'superseded', 'discarded') or first_failed_at < now() - 2 * $2::interval)
			order by first_failed_at limit $4 for update skip locked
		)
		update dead_letters d set payload = null, headers = null from due where d.id = due.id`

	expireRequests = `with due as (
			select partner, order_key, revision from deliveries
			cross join lateral (select split_part(order_key, ':', 1) as source) of_key
			where request is not null and ` + ofSource + ` and (claimed_at < now() - $2::interval or erased(order_key, revision))
			limit $4 for update of deliveries skip locked
		)
		update deliveries d set request = null, keep_until = null from due
		where d.partner = due.partner and d.order_key = due.order_key and d.revision = due.revision`
)

// Expire removes payloads and personal data whose retention has passed, in small transactions, each with its own line in
// the audit. What it returns beside an error is gone for good. It is safe beside the services, and beside itself: then it
// is ErrExpiring.
func (s *Store) Expire(ctx context.Context, kept privacy.Retention, by string, report func(Expired)) (Expired, error) {
	var total Expired
	for _, source := range append([]order.Source{""}, order.Sources...) {
		retention := kept.Of(source)
		if source == "" {
			retention = kept.Others()
		}
		for _, part := range []struct {
			sql, what string
			count     *int
		}{
			{expireOrders, "orders", &total.Orders}, {expireLetters, "letters", &total.Letters}, {expireRequests, "requests", &total.Requests},
		} {
			for {
				n, err := s.expireBatch(ctx, part.sql, part.what, source, retention, by)
				*part.count += n
				if err != nil {
					return total, fmt.Errorf("expire %s: %w", part.what, err)
				}
				if n > 0 && report != nil {
					report(total)
				}
				if n < expireRows {
					break
				}
			}
		}
	}
	return total, nil
}

func (s *Store) expireBatch(ctx context.Context, sql, what string, source order.Source, retention time.Duration, by string) (n int, err error) {
	err = s.unhurried(ctx, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, expireLock).Scan(&mine); err != nil {
			return err
		}
		if !mine {
			return ErrExpiring
		}
		tag, err := tx.Exec(ctx, sql, string(source), retention, order.Sources, expireRows)
		if err != nil {
			return err
		}
		if n = int(tag.RowsAffected()); n == 0 {
			return nil
		}
		of := string(source)
		if of == "" {
			of = "no known source"
		}
		return addAudit(ctx, tx, AuditEntry{Who: by, Action: "expire", Object: fmt.Sprintf("%d %s of %s", n, what, of), Reason: "kept " + retention.String()})
	})
	if err != nil {
		n = 0
	}
	return n, err
}
