package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// left is what Kafka has of an order, as orderctl reads it: what was received, what passed, how deliveries ended.
func left(passed, others []store.Fact) []store.Fact {
	var all []store.Fact
	seen := map[order.Revision]bool{}
	for _, f := range slices.Concat(passed, others) {
		if !seen[f.Meta.Revision] {
			seen[f.Meta.Revision] = true
			m := f.Meta
			m.Digest, m.ReplayJob = "", ""
			all = append(all, store.Fact{Meta: m, Service: "ingest"})
		}
		if f.Delivery != nil {
			all = append(all, f)
		}
	}
	return append(all, passed...)
}

// Whatever somebody did to the rows of an order: made again, they are what persist had made of the same records.
func TestRestoreMakesWhatPersistMade(t *testing.T) {
	s := openShelf(t)
	if _, err := s.conn.Exec(t.Context(), `create table kept (order_key text, numbers text[])`); err != nil {
		t.Fatal(err)
	}
	count := 0
	rapid.Check(t, func(t *rapid.T) {
		count++
		source := rapid.SampledFrom(order.Sources).Draw(t, "source")
		passed, others := history(t, order.Key(source+":template"))
		if len(passed) == 0 {
			passed = append(passed, validated(order.Key(source+":template"), 9, "a"))
		}
		key := order.Key(fmt.Sprintf("%s:%d", source, count))
		for _, all := range []*[]store.Fact{&passed, &others} {
			for i, f := range *all {
				(*all)[i] = moveTo(f, key, int32(count))
			}
		}
		for _, f := range slices.Concat(passed, others) {
			if err := s.Apply(s.Context(), []store.Fact{f})[0]; err != nil {
				t.Fatal(err)
			}
		}
		want := s.dump(key)
		exec := func(sql string) {
			if _, err := s.conn.Exec(s.Context(), sql, key); err != nil {
				t.Fatal(err)
			}
		}
		exec(`insert into kept select order_key, numbers from orders where order_key = $1`)
		for _, harm := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			`delete from orders where order_key = $1`, `delete from received where order_key = $1`, `delete from order_lines where order_key = $1`,
			`delete from received where order_key = $1 and revision = (select min(revision) from received where order_key = $1)`,
			`delete from received where order_key = $1 and revision = (select max(revision) from received where order_key = $1)`,
			`update orders set total = 7, delivered_total = 8, state = 'parked', content_digest = 'x' where order_key = $1`,
			`update orders set revision = revision - 1, validated = false where order_key = $1`,
			`insert into order_lines select order_key, line_no + 10, line_id, product, name from order_lines where order_key = $1`,
		}), 1, 3, rapid.ID[string]).Draw(t, "harm") {
			exec(harm)
		}
		if _, err := s.Restore(s.Context(), key, left(passed, others), "vera", "a test"); err != nil {
			t.Fatal(err)
		}
		// Numbers of refused pushes are known by the row only.
		exec(`update orders set numbers = kept.numbers from kept where orders.order_key = $1 and kept.order_key = orders.order_key`)
		if got := s.dump(key); got != want {
			t.Fatalf("made again:\n%s\n\nas persist made it:\n%s", got, want)
		}
	})
	if len(s.rows(`select from audit where action = 'restore' and who = 'vera'`)) == 0 {
		t.Error("nothing in the audit")
	}
}

// An order is not made again from less than there was, and an erased one stays erased.
func TestRestoreKeepsWhatItMust(t *testing.T) {
	s := openShelf(t)
	const key = order.Key("icbu:P1")
	first, second := validated(key, 1, "a"), validated(key, 2, "bb")
	s.apply(first, delivery(key, 1, "a", event.Delivered), second)
	before := s.dump(key)
	for name, facts := range map[string][]store.Fact{"nothing": nil, "the older one": {first}} {
		if _, err := s.Restore(t.Context(), key, facts, "vera", "r"); !errors.Is(err, store.ErrTooLittle) {
			t.Errorf("%s: %v", name, err)
		}
		if got := s.dump(key); got != before {
			t.Errorf("%s changed it:\n%s", name, got)
		}
	}
	s.want(`select count(*) from audit`, "0")
	if revision, err := s.Restore(t.Context(), key, []store.Fact{second}, "vera", "r"); err != nil || revision != rev(2) {
		t.Errorf("%d %v", revision, err)
	}
	s.want(`select delivered_revision, numbers from orders`, fmt.Sprint(int64(rev(1)), " [NOa NObb P1 X1]")) // as it was told before
	if _, err := s.store.Erase(t.Context(), key, "somebody", "a request"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Restore(t.Context(), key, []store.Fact{first, second}, "vera", "r"); err != nil {
		t.Fatal(err)
	}
	s.want(`select payload is null, personal is null, phone_pseudonym, total::text from orders`, "true true  102.10")
	if text := strings.Join(s.rows(`select action, object, reason from audit order by id`), "\n"); text != "restore order icbu:P1 r\nerase order icbu:P1 a request\nrestore order icbu:P1 r" {
		t.Error(text)
	}
}
