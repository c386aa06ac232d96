package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
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

// What is due of source $1, whose retention is $2. Amounts, lines, numbers, pseudonyms and the timeline stay: they have no retention.
//
// An order's time counts from its newest push. A letter's counts from its first failure; while it wants attention its
// record is what it would be mended with, so it has twice the time, and no more than that. Erased requests go at once,
// should a call that was under way have left one.
const (
	ofOrders  = `(payload is not null or personal is not null)`
	ofLetters = `(payload is not null or headers is not null)`

	// The sources that stand in the indexes, each found by one look, whatever they are called.
	selectSources = `with recursive of_orders as (
			(select source from orders where ` + ofOrders + ` order by source limit 1)
			union all select (select o.source from orders o where ` + ofOrders + ` and o.source > f.source order by o.source limit 1) from of_orders f where f.source is not null
		), of_letters as (
			(select source from dead_letters where ` + ofLetters + ` order by source limit 1)
			union all select (select d.source from dead_letters d where ` + ofLetters + ` and d.source > f.source order by d.source limit 1) from of_letters f where f.source is not null
		)
		select source from of_orders where source is not null union select source from of_letters where source is not null
		union select split_part(order_key, ':', 1) from deliveries where request is not null`

	expireOrders = `with due as (
			select order_key from orders where ` + ofOrders + ` and source = $1 and received_at < now() - $2::interval
			order by received_at limit $3 for update skip locked
		)
		update orders o set payload = null, personal = null, version = version + 1 from due where o.order_key = due.order_key`

	expireLetters = `with due as (
			select id from dead_letters where ` + ofLetters + ` and source = $1 and first_failed_at < now() - $2::interval
				and (state in ('fixed', 'superseded', 'discarded') or first_failed_at < now() - 2 * $2::interval)
			order by first_failed_at limit $3 for update skip locked
		)
		update dead_letters d set payload = null, headers = null from due where d.id = due.id`

	expireRequests = `with due as (
			select partner, order_key, revision from deliveries
			where request is not null and split_part(order_key, ':', 1) = $1 and (claimed_at < now() - $2::interval or erased(order_key, revision))
			limit $3 for update skip locked
		)
		update deliveries d set request = null, keep_until = null from due
		where d.partner = due.partner and d.order_key = due.order_key and d.revision = due.revision`
)

// Expire removes payloads and personal data whose retention has passed, in small transactions, each with its own line in
// the audit. What it returns beside an error is gone for good. It is safe beside the services, and beside itself: then it
// is ErrExpiring.
func (s *Store) Expire(ctx context.Context, kept privacy.Retention, by, reason string, report func(Expired)) (Expired, error) {
	var total Expired
	sources, err := query(ctx, s, selectSources, pgx.RowTo[order.Source])
	if err != nil {
		return total, fmt.Errorf("expire: %w", err)
	}
	for _, source := range sources {
		for _, part := range []struct {
			sql, what string
			count     *int
		}{
			{expireOrders, "orders", &total.Orders}, {expireLetters, "letters", &total.Letters}, {expireRequests, "requests", &total.Requests},
		} {
			for {
				n, err := s.expireBatch(ctx, part.sql, part.what, source, kept.Of(source), by, reason)
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

func (s *Store) expireBatch(ctx context.Context, sql, what string, source order.Source, retention time.Duration, by, reason string) (n int, err error) {
	err = s.unhurried(ctx, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, expireLock).Scan(&mine); err != nil {
			return err
		}
		if !mine {
			return ErrExpiring
		}
		tag, err := tx.Exec(ctx, sql, string(source), retention, expireRows)
		if err != nil {
			return err
		}
		if n = int(tag.RowsAffected()); n == 0 {
			return nil
		}
		return addAudit(ctx, tx, AuditEntry{Who: by, Action: "expire", Object: fmt.Sprintf("%d %s of %s", n, what, cmp.Or(source, "no source")), Reason: strings.TrimSuffix("kept "+retention.String()+"; "+reason, "; ")})
	})
	if err != nil {
		n = 0
	}
	return n, err
}
