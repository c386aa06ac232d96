package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// ErrTooLittle says that what is left in Kafka does not reach the newest revision that PostgreSQL knows to have passed
// validation: an order made of it would be older than what was there.
var ErrTooLittle = errors.New("what is left does not reach the newest revision")

const (
	restoreBefore = `select numbers, delivered_revision, delivered_total::text, delivered_digest from orders where order_key = $1 for update`

	restoreNewest = `select coalesce(max(revision), 0) from received where order_key = $1 and validated_at is not null`

	// What earlier records told, and the facts of today no longer do.
	restoreKept = `update orders set numbers = (select array_agg(distinct n order by n) from (select n from unnest(numbers || $2::text[]) n limit $6) n),
		delivered_digest = case when delivered_revision is null then $5 else delivered_digest end,
		delivered_total = case when delivered_revision is null then $4::numeric else delivered_total end,
		delivered_revision = coalesce(delivered_revision, $3) where order_key = $1`
)

// Restore makes an order's row and lines again from facts about it, in one transaction, and adds rows of received that are
// lost; it says so in the audit, in the name of a person. Facts are all that Kafka still has of the order, those of one topic in
// that topic's order. What was erased by a person's request stays erased. Nothing is changed, and the error is ErrTooLittle, when the facts
// do not reach the newest revision.
func (w *Writer) Restore(ctx context.Context, key order.Key, facts []Fact, by, reason string) (revision order.Revision, err error) {
	content, err := w.store.ContentKey(ctx, w.keys)
	if err != nil {
		return 0, fmt.Errorf("restore order: %w", err)
	}
	inOrder := make([]*Fact, len(facts))
	for i := range facts {
		inOrder[i] = &facts[i]
	}
	inOrder = keyedFacts(content, inOrder)
	slices.SortStableFunc(inOrder, func(a, b *Fact) int { return cmp.Compare(restoreRank(a), restoreRank(b)) })
	for range maxRedo {
		err = pgx.BeginFunc(ctx, w.store.pool, func(tx pgx.Tx) error {
			revision, err = w.restoreIn(ctx, tx, content, key, inOrder)
			if err != nil {
				return err
			}
			return addAudit(ctx, tx, AuditEntry{Who: by, Action: "restore", Object: "order " + string(key), Reason: reason})
		})
		if !errors.Is(err, errConflict) && !serialization(err) {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("restore order: %w", err)
	}
	return revision, nil
}

// restoreRank is what comes first: a revision has to have passed validation before what came of it is judged.
func restoreRank(f *Fact) int {
	switch {
	case f.Validated != nil:
		return 1
	case f.Delivery != nil:
		return 2
	default:
		return 0
	}
}

func (w *Writer) restoreIn(ctx context.Context, tx pgx.Tx, content *privacy.ContentKey, key order.Key, facts []*Fact) (revision order.Revision, err error) {
	numbers := []string{}
	var deliveredRevision *int64
	var deliveredTotal *string
	var deliveredDigest string
	err = tx.QueryRow(ctx, restoreBefore, key).Scan(&numbers, &deliveredRevision, &deliveredTotal, &deliveredDigest)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return 0, err
	}
	if deliveredRevision == nil {
		deliveredTotal, deliveredDigest = nil, ""
	}
	var newest order.Revision
	if err := tx.QueryRow(ctx, restoreNewest, key).Scan(&newest); err != nil {
		return 0, err
	}
	for _, sql := range []string{`delete from orders where order_key = $1`, `delete from order_lines where order_key = $1`} {
		if _, err := tx.Exec(ctx, sql, key); err != nil {
			return 0, err
		}
	}
	if err := w.applyIn(ctx, tx, content, facts); err != nil {
		return 0, err
	}
	var validated bool
	err = tx.QueryRow(ctx, `select revision, validated from orders where order_key = $1`, key).Scan(&revision, &validated)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && newest > 0 && (!validated || revision < newest):
		return 0, ErrTooLittle
	case err != nil:
		return 0, err
	}
	_, err = tx.Exec(ctx, restoreKept, key, numbers, deliveredRevision, deliveredTotal, content.Keyed(deliveredDigest), maxNumbers)
	return revision, err
}
