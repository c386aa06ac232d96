package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// Rotation seals everything that is encrypted at rest under the first of the payload keys, makes the pseudonyms anew under
// the first of the pseudonym keys, and puts digests that an earlier release left without a key under the content key. It keeps no state of its own: a row that is done is told by the id of its key, so a
// rotation that was cut off goes on where it stopped. It runs beside the services: a row that somebody wrote, locked or
// removed meanwhile is left alone and looked at again.
type Rotation struct {
	Store *Store
	Keys  *privacy.Keys
	// Progress is told after each batch how many rows are done in all; nil tells nobody.
	Progress func(done int)
}

// Rotated is what a rotation did.
type Rotated struct {
	Rows       int // sealed anew
	Unreadable int // left alone: damaged, or sealed under a key that is not ours
	Contested  int // left alone: written or locked by others at every attempt
	// Examples name some of the unreadable ones.
	Examples []string
}

const (
	rotateRows     = 500
	rotateBytes    = 16 << 20 // of the encrypted values of one batch
	rotatePasses   = 5
	rotatePause    = 200 * time.Millisecond // between passes, for what others hold
	rotateExamples = 10
)

// sealedRow is a row with its encrypted columns as they were read, and what they become.
type sealedRow struct {
	label  string // for people
	cursor []any  // its primary key
	places [][]byte
	was    [][]byte
	now    [][]byte

	version    int64     // of orders
	pseudonyms [3]string // of orders: buyer, phone, company
	channel    string    // of orders
}

// sealedTable is a table with encrypted columns.
type sealedTable struct {
	name    string
	held    string // condition of the rows with anything sealed
	pending string // condition of the rows to be done; $1 and $2 are the ids of the writing keys
	first   []any  // a primary key before every other
	next    string // $3 rows, $4 bytes, then the primary key after which to look
	scan    func(row pgx.CollectableRow) (sealedRow, error)
	write   func(rows []sealedRow) (sql string, args []any)
}

// Pending counts the rows that a rotation would seal anew.
func (r *Rotation) Pending(ctx context.Context) (rows int, err error) {
	for _, t := range sealedTables {
		var n int
		err := r.Store.unhurried(ctx, func(tx pgx.Tx) error {
			sql := "select count(*) from " + t.name + " where " + t.pending
			return tx.QueryRow(ctx, sql, r.Keys.PayloadKeyID(), r.Keys.PseudonymKeyID()).Scan(&n)
		})
		if err != nil {
			return 0, fmt.Errorf("count rows to rotate: %w", err)
		}
		rows += n
	}
	plain, err := r.Store.PlainDigests(ctx)
	return rows + plain, err
}

// Run rotates until nothing is left that it can do. What it returns beside an error was done for good.
func (r *Rotation) Run(ctx context.Context) (done Rotated, err error) {
	for pass := range rotatePasses {
		done.Unreadable, done.Contested, done.Examples = 0, 0, nil
		for i := range sealedTables {
			if err := r.table(ctx, &sealedTables[i], &done); err != nil {
				return done, fmt.Errorf("rotate %s: %w", sealedTables[i].name, err)
			}
		}
		for _, c := range digestColumns {
			if err := r.digests(ctx, c, &done); err != nil {
				return done, fmt.Errorf("rotate digests of %s: %w", c.table, err)
			}
		}
		if done.Contested == 0 || pass == rotatePasses-1 {
			break
		}
		select {
		case <-ctx.Done():
			return done, context.Cause(ctx)
		case <-time.After(rotatePause):
		}
	}
	return done, nil
}

func (r *Rotation) table(ctx context.Context, t *sealedTable, done *Rotated) error {
	for after := t.first; ; {
		rows, err := r.read(ctx, t, t.pending, after)
		if err != nil || len(rows) == 0 {
			return err
		}
		after = rows[len(rows)-1].cursor
		sealed := make([]sealedRow, 0, len(rows))
		for _, row := range rows {
			if err := r.reseal(&row); err != nil {
				done.Unreadable++
				exemplify(&done.Examples, row.label)
				continue
			}
			sealed = append(sealed, row)
		}
		if len(sealed) == 0 {
			continue
		}
		sql, args := t.write(sealed)
		tag, err := r.Store.pool.Exec(ctx, sql, args...)
		if err != nil && !serialization(err) {
			return err
		}
		written := int(tag.RowsAffected()) // 0 where another transaction came between
		done.Rows += written
		done.Contested += len(sealed) - written
		if r.Progress != nil {
			r.Progress(done.Rows)
		}
	}
}

func (r *Rotation) read(ctx context.Context, t *sealedTable, condition string, after []any) (rows []sealedRow, err error) {
	args := append([]any{r.Keys.PayloadKeyID(), r.Keys.PseudonymKeyID(), rotateRows, rotateBytes}, after...)
	err = r.Store.unhurried(ctx, func(tx pgx.Tx) error {
		found, err := tx.Query(ctx, fmt.Sprintf(t.next, condition), args...)
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(found, t.scan)
		return err
	})
	return rows, err
}

// reseal opens what is not under the writing key, and seals it again for the same place.
func (r *Rotation) reseal(row *sealedRow) error {
	row.now = make([][]byte, len(row.was))
	for i, sealed := range row.was {
		if sealed == nil || privacy.SealedUnder(sealed) == r.Keys.PayloadKeyID() {
			row.now[i] = sealed
			continue
		}
		plain, err := r.Keys.Decrypt(sealed, row.places[i])
		if err != nil {
			return err
		}
		row.now[i] = r.Keys.Encrypt(plain, row.places[i])
	}
	if row.version == 0 || row.was[0] == nil {
		return nil // no order, or one without personal data: its pseudonyms cannot be made again
	}
	plain, err := r.Keys.Decrypt(row.was[0], row.places[0])
	if err != nil {
		return err
	}
	var p order.Personal
	if err := json.Unmarshal(plain, &p); err != nil {
		return errors.New("personal data: not what was written")
	}
	row.pseudonyms = pseudonymsOf(r.Keys, row.channel, p)
	return nil
}

// unhurried runs statements that may read a whole table: the usual bound of a statement is for those that somebody waits for.
func (s *Store) unhurried(ctx context.Context, run func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local statement_timeout = 0"); err != nil {
			return err
		}
		return run(tx)
	})
}
