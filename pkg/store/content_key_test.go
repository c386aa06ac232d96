package store_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

// plainly makes of a shelf what an earlier release would have left: the digests of an order without a key.
func (s *shelf) plainly(key order.Key, digest string) {
	s.Helper()
	for _, sql := range []string{
		`update orders set content_digest = $2, delivered_digest = $2 where order_key = $1`,
		`update received set content_digest = $2 where order_key = $1`, `update deliveries set digest = $2 where order_key = $1`,
	} {
		if _, err := s.conn.Exec(s.Context(), sql, key, digest); err != nil {
			s.Fatal(err)
		}
	}
}

// digested is a revision of an order with a digest such as validate writes, delivered; it gives the digest.
func (s *shelf) digested(key order.Key, n int64, content string) string {
	s.Helper()
	passed := validated(key, n, content)
	digest := order.Digest(passed.Validated.Document)
	passed.Meta.Digest = digest
	s.deliver(key, n, digest)
	outcome := delivery(key, n, digest, event.Delivered)
	s.apply(passed, outcome)
	return digest
}

func (s *shelf) intend(key order.Key, n int64, digest string) store.Grant {
	s.Helper()
	content, err := s.store.ContentKey(s.Context(), s.keys)
	if err != nil {
		s.Fatal(err)
	}
	grants, err := s.store.Ledger("okki", "okkisync", "a").Claim(s.Context(), []store.Intent{
		{OrderKey: key, Revision: rev(n), Digest: content.Keyed(digest), Plain: digest, Total: "1"},
	})
	if err != nil {
		s.Fatal(err)
	}
	return grants[0]
}

func (s *shelf) deliver(key order.Key, n int64, digest string) {
	s.Helper()
	s.end(key, n, s.intend(key, n, digest), store.Delivered)
}

func (s *shelf) end(key order.Key, n int64, grant store.Grant, ending store.Ending) {
	s.Helper()
	if grant.Verdict != store.Call {
		s.Fatalf("revision %d: %s (%s), wanted a call", n, grant.Verdict, grant.Delivery.Outcome)
	}
	_, err := s.store.Ledger("okki", "okkisync", "a").Settle(s.Context(), []store.Settlement{
		{OrderKey: key, Revision: rev(n), Attempt: grant.Attempt, Ending: ending, Request: s.keys.Encrypt([]byte("sent"), store.RequestPlace(key, rev(n)))},
	})
	if err != nil {
		s.Fatal(err)
	}
}

// traces looks through every column of every table and view for what tells a secret, or can be computed from it by anybody:
// the secret itself and its SHA-256, whole or the first 64 bits of it, as text, bytes or base64.
func (s *shelf) traces(secrets ...string) (found []string) {
	s.Helper()
	marks := map[string]string{}
	for _, secret := range secrets {
		sum := sha256.Sum256([]byte(secret))
		digest := hex.EncodeToString(sum[:])
		for _, mark := range []string{
			secret, hex.EncodeToString([]byte(secret)), digest[:16], hex.EncodeToString([]byte(digest[:16])),
			base64.StdEncoding.EncodeToString(sum[:])[:10], base64.RawURLEncoding.EncodeToString(sum[:])[:10],
		} {
			marks[strings.ToLower(mark)] = secret
		}
	}
	tables := s.rows(`select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'v', 'm', 'p') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') order by 1`)
	if len(tables) < 15 {
		s.Fatalf("only %v", tables)
	}
	for _, table := range tables {
		for _, row := range s.rows(`select lower(t::text) from ` + table + ` t`) {
			for mark, secret := range marks {
				if strings.Contains(row, mark) {
					found = append(found, fmt.Sprintf("%s tells %q", table, secret))
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// After an erasure nothing is left in any table that somebody without a key could try guesses on: neither what this release
// writes nor what an earlier one wrote, nor what comes again from Kafka.
func TestErasureLeavesNothingToGuessOn(t *testing.T) {
	for name, former := range map[string]bool{"of this release": false, "of an earlier release": true} {
		t.Run(name, func(t *testing.T) {
			s := openShelf(t)
			const key = order.Key("icbu:E1")
			secrets := []string{`{"content":"a"}`, `{"content":"bb"}`, "13812345678"}
			a := s.digested(key, 1, "a")
			b := order.Digest([]byte(secrets[1]))
			s.end(key, 2, s.intend(key, 2, b), store.Unknown) // in doubt
			if found := s.traces(secrets...); len(found) > 0 {
				t.Errorf("before the erasure: %v", found)
			}
			if former {
				s.plainly(key, a)
				s.rows(`update deliveries set digest = '` + b + `' where revision = ` + fmt.Sprint(int64(rev(2))))
				if found := s.traces(secrets...); len(found) != 4 {
					t.Fatalf("the search finds %v", found)
				}
			}
			if _, err := s.store.Erase(t.Context(), key, "anna", "x"); err != nil {
				t.Fatal(err)
			}
			if found := s.traces(secrets...); len(found) > 0 {
				t.Errorf("after the erasure: %v", found)
			}
			s.want(`select count(distinct digest), count(*) from deliveries`, "2 2") // different contents stay different
			again := validated(key, 1, "a")
			again.Meta.Digest = a
			letter := rejected(key, 2, "bb", 0)
			letter.Meta.Digest = b
			s.apply(again, delivery(key, 1, a, event.Delivered), letter)
			s.intend(key, 2, b)
			if found := s.traces(secrets...); len(found) > 0 {
				t.Errorf("after it all came again: %v", found)
			}
		})
	}
}

// What an earlier release wrote without a key is the same content still: a repeated push is a duplicate, a call in doubt is
// recognised, another content is another one. Also while a rotation has done a part of the rows, and after it.
func TestFormerDigestsCompare(t *testing.T) {
	for _, rotated := range []string{"not", "the ledger", "all"} {
		t.Run("rotated: "+rotated, func(t *testing.T) {
			s := openShelf(t)
			rotate := func() {
				switch rotated {
				case "the ledger":
					content, err := s.store.ContentKey(t.Context(), s.keys)
					if err != nil {
						t.Fatal(err)
					}
					for _, digest := range s.rows(`select distinct digest from deliveries`) {
						s.rows(`update deliveries set digest = '` + content.Keyed(digest) + `' where digest = '` + digest + `'`)
					}
				case "all":
					if done, err := (&store.Rotation{Store: s.store, Keys: s.keys}).Run(t.Context()); err != nil || done.Contested+done.Unreadable > 0 {
						t.Fatalf("%+v %v", done, err)
					}
					if n, err := s.store.PlainDigests(t.Context()); n != 0 || err != nil {
						t.Errorf("%d left, %v", n, err)
					}
				}
			}
			const key, doubt = order.Key("icbu:O1"), order.Key("icbu:O2")
			digest := s.digested(key, 1, "a")
			s.plainly(key, digest)
			s.end(doubt, 1, s.intend(doubt, 1, digest), store.Unknown)
			s.plainly(doubt, digest)
			rotate()

			if g := s.intend(key, 2, digest); g.Verdict != store.Done || g.Delivery.Outcome != event.Duplicate || g.Delivery.Other != rev(1) {
				t.Errorf("an equal push: %+v", g)
			}
			if g := s.intend(key, 3, order.Digest([]byte("other"))); g.Verdict != store.Call || g.MaybeTaken {
				t.Errorf("a changed push: %+v", g)
			}
			if g := s.intend(doubt, 1, digest); g.Verdict != store.Call || !g.MaybeTaken || g.HoldsOther {
				t.Errorf("the call in doubt: %+v", g)
			}
			equal := validated(key, 2, "a")
			equal.Meta.Digest = digest
			changed := validated(key, 3, "bb")
			changed.Meta.Digest = order.Digest(changed.Validated.Document)
			s.apply(equal)
			s.want(`select state, content_revision from orders where order_key = 'icbu:O1'`, fmt.Sprint("delivered ", rev(1)))
			s.apply(changed)
			s.want(`select revision, content from received where order_key = 'icbu:O1' order by 1`, fmt.Sprint(rev(1), " new"),
				fmt.Sprint(rev(2), " duplicate"), fmt.Sprint(rev(3), " new"))
			s.want(`select state, content_revision from orders where order_key = 'icbu:O1'`, fmt.Sprint("validated ", rev(3)))
			s.want(`select distinct left(digest, 5) from deliveries where order_key = 'icbu:O1'`, "hmac.")
		})
	}
}

// The key of the digests outlives those that are rotated: what is written before and after compares.
func TestContentKeyOutlivesARotation(t *testing.T) {
	s, url := open(t)
	both, onlyNew, onlyOld := rotatedKeys(t)
	var all sync.WaitGroup
	keyed := make([]string, 6)
	for i := range keyed { // each a process of its own; the first ones race for who makes the key
		all.Go(func() {
			process, err := store.Open(t.Context(), url)
			if err != nil {
				t.Error(err)
				return
			}
			defer process.Close()
			content, err := process.ContentKey(t.Context(), onlyOld)
			if err != nil {
				t.Error(err)
				return
			}
			keyed[i] = content.Keyed("d")
		})
	}
	all.Wait()
	if same := slices.Compact(slices.Clone(keyed)); len(same) != 1 || same[0] == "" {
		t.Fatalf("processes differ: %v", keyed)
	}
	if content, err := s.ContentKey(t.Context(), onlyNew); content != nil || err == nil || store.Classify(err) != store.Outage ||
		!strings.Contains(err.Error(), `PAYLOAD_KEYS lacks key "k"`) {
		t.Errorf("without its key: %v", err)
	}
	for _, err := range store.NewWriter(s, onlyNew).Apply(t.Context(), []store.Fact{validated("icbu:K1", 1, "a")}) {
		if err == nil || store.Classify(err) != store.Outage {
			t.Errorf("a record is blamed for a missing key: %v", err)
		}
	}
	if done, err := (&store.Rotation{Store: s, Keys: both}).Run(t.Context()); err != nil || done.Rows != 1 {
		t.Errorf("%+v %v", done, err)
	}
	if content, err := s.ContentKey(t.Context(), onlyNew); err != nil || content.Keyed("d") != keyed[0] {
		t.Errorf("after the rotation another key, %v", err)
	}
	if !strings.HasPrefix(keyed[0], privacy.KeyedPrefix) {
		t.Error(keyed[0])
	}
}
