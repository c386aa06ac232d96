package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// KeyCount is how many rows of one column stand under one key. Column is "orders.payload" and the like, or
// "orders.pseudonyms" for pseudonyms whose clear value is kept beside them, "orders.pseudonyms (kept alone)" for those
// whose clear value is gone: nobody can make them anew.
type KeyCount struct {
	Column string
	KeyID  string // "" where the bytes are not of our format
	Rows   int
}

// Columns that hold pseudonyms in KeyCounts.
const (
	PseudonymColumn = "orders.pseudonyms"
	LonePseudonyms  = "orders.pseudonyms (kept alone)"
)

const (
	countOrders = `select sealed_key(personal), sealed_key(payload), split_part(buyer_pseudonym, '.', 1), split_part(phone_pseudonym, '.', 1),
		split_part(company_pseudonym, '.', 1), count(*) from orders group by 1, 2, 3, 4, 5`
	countLetters  = `select sealed_key(payload), sealed_key(headers), count(*) from dead_letters group by 1, 2`
	countContent  = `select sealed_key(sealed), count(*) from content_key group by 1`
	countRequests = `select sealed_key(request), count(*) from deliveries where request is not null group by 1`
)

// KeyCounts counts what stands under which key, in every encrypted column and in the pseudonyms. It reads the tables whole.
func (s *Store) KeyCounts(ctx context.Context) ([]KeyCount, error) {
	counts := map[KeyCount]int{} // by column and key
	add := func(column string, key *string, n int) {
		if key != nil && n > 0 {
			counts[KeyCount{Column: column, KeyID: *key}] += n
		}
	}
	var a, b *string
	var pseudonyms [3]string
	var n int
	err := s.unhurried(ctx, func(tx pgx.Tx) error {
		return cmp.Or(
			each(ctx, tx, countOrders, []any{&a, &b, &pseudonyms[0], &pseudonyms[1], &pseudonyms[2], &n}, func() {
				add("orders.personal", a, n)
				add("orders.payload", b, n)
				column := PseudonymColumn
				if a == nil {
					column = LonePseudonyms
				}
				ids := slices.Compact(slices.Sorted(slices.Values(pseudonyms[:])))
				for _, id := range slices.DeleteFunc(ids, func(id string) bool { return id == "" }) {
					add(column, &id, n)
				}
			}),
			each(ctx, tx, countLetters, []any{&a, &b, &n}, func() {
				add("dead_letters.payload", a, n)
				add("dead_letters.headers", b, n)
			}),
			each(ctx, tx, countRequests, []any{&a, &n}, func() { add("deliveries.request", a, n) }),
			each(ctx, tx, countContent, []any{&a, &n}, func() { add("content_key.sealed", a, n) }),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("count keys: %w", err)
	}
	all := make([]KeyCount, 0, len(counts))
	for count, rows := range counts {
		count.Rows = rows
		all = append(all, count)
	}
	slices.SortFunc(all, func(a, b KeyCount) int { return cmp.Or(cmp.Compare(a.KeyID, b.KeyID), cmp.Compare(a.Column, b.Column)) })
	return all, nil
}

func each(ctx context.Context, tx pgx.Tx, sql string, into []any, then func()) error {
	rows, err := tx.Query(ctx, sql)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, into, func() error {
		then()
		return nil
	})
	return err
}
