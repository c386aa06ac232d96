package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// digestColumn is a column with digests of contents. Those that begin otherwise than privacy.KeyedPrefix were written by an
// earlier release, which had no key for them.
type digestColumn struct{ table, column, key string }

var digestColumns = []digestColumn{
	{"orders", "content_digest", "order_key"},
	{"orders", "delivered_digest", "order_key"},
	{"received", "content_digest", "order_key, revision"},
	{"deliveries", "digest", "partner, order_key, revision"},
}

// plain is the condition of a digest without a key.
func (c digestColumn) plain() string {
	return fmt.Sprintf("left(%[1]s, 5) <> 'hmac.' and %[1]s <> ''", c.column)
}

// hideDigests puts the plain digests of an order under a key that is thrown away: among themselves they tell equal contents
// still, beside everything else they are new.
func hideDigests(ctx context.Context, tx pgx.Tx, key order.Key, partners []string) error {
	lost := rand.Text()
	for _, c := range digestColumns {
		sql := fmt.Sprintf(`update %s set %s = 'hmac.' || left(encode(sha256(convert_to($2 || %[2]s, 'UTF8')), 'hex'), 36) where order_key = $1 and %s`, c.table, c.column, c.plain())
		args := []any{key, lost}
		if c.table == "deliveries" {
			sql, args = sql+` and partner = any($3)`, append(args, partners)
		}
		if _, err := tx.Exec(ctx, sql, args...); err != nil {
			return err
		}
	}
	return nil
}

// PlainDigests counts the digests without a key: a rotation puts them under it. It reads the tables whole.
func (s *Store) PlainDigests(ctx context.Context) (n int, err error) {
	counts := make([]string, len(digestColumns))
	for i, c := range digestColumns {
		counts[i] = fmt.Sprintf("(select count(*) from %s where %s)", c.table, c.plain())
	}
	err = s.unhurried(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "select "+strings.Join(counts, " + ")).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count digests without a key: %w", err)
	}
	return n, nil
}

// plainDigest is one digest of one order.
type plainDigest struct{ key, digest string }

// digests puts the plain digests of a column under the content key, order by order.
func (r *Rotation) digests(ctx context.Context, c digestColumn, done *Rotated) error {
	next := fmt.Sprintf(`select order_key, %s from %s where order_key > $1 and %s order by order_key fetch first %d rows with ties`, c.column, c.table, c.plain(), rotateRows)
	// Rows that somebody holds are skipped, as by the rest of a rotation.
	write := fmt.Sprintf(`with mine as (
			select %[3]s, n.keyed from %[1]s t
			join (select distinct * from unnest($1::text[], $2::text[], $3::text[]) as u (order_key, plain, keyed)) n using (order_key)
			where t.%[2]s = n.plain and %[4]s for update of t skip locked
		)
		update %[1]s t set %[2]s = mine.keyed%[5]s from mine where (%[6]s) = (%[7]s)`,
		c.table, c.column, c.key, c.plain(), c.versioned(), c.keyOf("t"), c.keyOf("mine"))
	for after := ""; ; {
		var found []plainDigest
		err := r.Store.unhurried(ctx, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, next, after)
			if err != nil {
				return err
			}
			found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d plainDigest, err error) { return d, row.Scan(&d.key, &d.digest) })
			return err
		})
		if err != nil || len(found) == 0 {
			return err
		}
		after = found[len(found)-1].key
		content, err := r.Store.ContentKey(ctx, r.Keys)
		if errors.Is(err, privacy.ErrSealed) {
			done.Unreadable += len(found)
			continue
		}
		if err != nil {
			return err
		}
		tag, err := r.Store.pool.Exec(ctx, write, column(found, func(d plainDigest) string { return d.key }),
			column(found, func(d plainDigest) string { return d.digest }), column(found, func(d plainDigest) string { return content.Keyed(d.digest) }))
		if err != nil && !serialization(err) {
			return err
		}
		written := int(tag.RowsAffected())
		done.Rows += written
		done.Contested += max(0, len(found)-written)
		if r.Progress != nil {
			r.Progress(done.Rows)
		}
	}
}

// versioned counts the write where the table counts them.
func (c digestColumn) versioned() string {
	if c.table == "orders" {
		return ", version = version + 1"
	}
	return ""
}

// keyOf is the primary key, of the table of that name in a statement.
func (c digestColumn) keyOf(name string) string {
	return name + "." + strings.ReplaceAll(c.key, ", ", ", "+name+".")
}
