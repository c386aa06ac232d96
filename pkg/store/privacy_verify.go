package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// Verified is what a check of everything that is encrypted found.
type Verified struct {
	Rows       int // looked at
	Unreadable int // with a value that does not open: damaged, moved, or sealed under another key than ours, whatever its id
	Strange    int // whose pseudonyms are not those that our keys of these ids make of the clear values
	// Examples name some of the unreadable and the strange ones.
	Examples []string
}

// Sealed counts the rows that Verify looks at.
func (r *Rotation) Sealed(ctx context.Context) (rows int, err error) {
	for _, t := range sealedTables {
		var n int
		err := r.Store.unhurried(ctx, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, "select count(*) from "+t.name+" where "+t.held).Scan(&n)
		})
		if err != nil {
			return 0, fmt.Errorf("count encrypted rows: %w", err)
		}
		rows += n
	}
	return rows, nil
}

// Verify opens every encrypted value and makes every pseudonym anew whose clear value is there. A key id alone says nothing:
// two processes may have different keys under one id. It changes nothing, and what it returns beside an error was looked at.
func (r *Rotation) Verify(ctx context.Context) (v Verified, err error) {
	for i := range sealedTables {
		t := &sealedTables[i]
		for after := t.first; ; {
			rows, err := r.read(ctx, t, t.held+` and $1 || $2 <> ''`, after)
			if err != nil {
				return v, fmt.Errorf("verify %s: %w", t.name, err)
			}
			if len(rows) == 0 {
				break
			}
			after = rows[len(rows)-1].cursor
			for j := range rows {
				r.verify(&rows[j], &v)
			}
			if r.Progress != nil {
				r.Progress(v.Rows)
			}
		}
	}
	return v, nil
}

func (r *Rotation) verify(row *sealedRow, v *Verified) {
	v.Rows++
	for i, sealed := range row.was {
		plain, err := r.Keys.Decrypt(sealed, row.places[i])
		if err != nil {
			v.Unreadable++
			exemplify(&v.Examples, row.label)
			return
		}
		if i == 0 && row.version != 0 && plain != nil && !r.ours(plain, row) {
			v.Strange++
			exemplify(&v.Examples, row.label+" (pseudonyms)")
		}
	}
}

// ours tells whether the stored pseudonyms are those of the clear values, under any of our keys. One under a key that we do
// not have is not judged: KeyCounts tells of it.
func (r *Rotation) ours(personal []byte, row *sealedRow) bool {
	var p order.Personal
	if json.Unmarshal(personal, &p) != nil {
		return false
	}
	buyers := append(r.Keys.Pseudonyms(privacy.BuyerAt(row.channel), p.Account), r.Keys.Pseudonyms(privacy.FormerBuyer, p.Account)...)
	for i, all := range [3][]string{
		buyers, r.Keys.Pseudonyms(privacy.Phone, p.Phone), r.Keys.Pseudonyms(privacy.Company, p.Company),
	} {
		stored := row.pseudonyms[i]
		known := slices.Contains(r.Keys.PseudonymKeyIDs(), privacy.PseudonymUnder(stored))
		if stored != "" && known && !slices.Contains(all, stored) {
			return false
		}
	}
	return true
}

// exemplify keeps a few names of rows, for people.
func exemplify(examples *[]string, label string) {
	if len(*examples) < rotateExamples {
		*examples = append(*examples, label)
	}
}
