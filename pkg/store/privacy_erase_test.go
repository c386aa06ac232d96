package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

// personalLeft tells what of an order is still there, revision by revision.
func (s *shelf) personalLeft(key order.Key) []string {
	s.Helper()
	return s.rows(`select 'order' from orders where order_key = $1 and (payload is not null or personal is not null or buyer_pseudonym || phone_pseudonym || company_pseudonym <> '')
		union all select 'letter ' || revision from dead_letters where order_key = $1 and (payload is not null or headers is not null)
		union all select 'request ' || revision from deliveries where order_key = $1 and request is not null`, key)
}

func TestErase(t *testing.T) {
	s := openShelf(t)
	s.stock(2)
	const amounts = `select total::text, order_no, numbers, revision, document_revision, received_at, (select count(*) from order_lines l where l.order_key = o.order_key) from orders o order by order_key`
	before := s.rows(amounts)
	e, err := s.store.Erase(t.Context(), "icbu:R0000", "anna", "request 7")
	if err != nil || !e.Order || e.Letters != 1 || e.Discarded != 1 || e.Requests != 1 {
		t.Fatalf("%+v %v", e, err)
	}
	var topics []string
	for _, c := range e.Copies {
		topics = append(topics, c.Topic)
		if c.Written.Before(epoch) || c.Written.After(epoch.Add(time.Hour)) {
			t.Errorf("%s: written %s", c.Topic, c.Written)
		}
	}
	if want := []string{"icbu.received.v1", "icbu.validated.v1", "okkisync.dlq.v1", "orders.v1"}; !slices.Equal(topics, want) {
		t.Errorf("copies in %v, want %v", topics, want)
	}
	if left := s.personalLeft("icbu:R0000"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if after := s.rows(amounts); !slices.Equal(after, before) {
		t.Errorf("amounts changed:\n%v\n%v", before, after)
	}
	if other := s.personalLeft("icbu:R0001"); len(other) != 3 {
		t.Errorf("of another order there is left: %v", other)
	}
	s.want(`select state, discarded_by, discard_reason from dead_letters where order_key = 'icbu:R0000'`, "discarded anna request 7")
	s.want(`select state, end_state from orders join received using (order_key) where order_key = 'icbu:R0000'`, "discarded discarded")
	s.want(`select who, action, object, reason from audit`, "anna erase order icbu:R0000 request 7")
	if _, err := s.store.ClearLetter(t.Context(), s.keys, 1); err != nil {
		t.Error(err)
	}
	if l, err := s.store.NextClearLetter(t.Context(), s.keys, "icbu:R0000", 0); err != nil || !errors.Is(l.Err, store.ErrGone) {
		t.Errorf("the letter's record: %+v %v", l, err)
	}
	again, err := s.store.Erase(t.Context(), "icbu:R0000", "anna", "request 7")
	if err != nil || again.Order || again.Letters+again.Discarded+again.Requests > 0 || len(again.Copies) != 4 {
		t.Errorf("once more: %+v %v", again, err)
	}
	if _, err := s.store.Erase(t.Context(), "icbu:none", "anna", "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown order: %v", err)
	}
}

// Erased data does not come back, whatever is delivered again, replayed, was on its way or is rebuilt from Kafka, in
// whatever order and batches; what the sender pushes after the erasure is new data and is kept, also with equal content.
func TestErasedStaysErased(t *testing.T) {
	s := openShelf(t)
	erasedAt := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	count := 0
	rapid.Check(t, func(t *rapid.T) {
		count++
		key := order.Key(fmt.Sprintf("%s:E%d", rapid.SampledFrom(order.Sources).Draw(t, "source"), count))
		passed, others := history(t, key)
		known := interleave(t, passed, others)
		known = known[:rapid.IntRange(1, len(known)).Draw(t, "known")]
		for i := range known {
			known[i] = moveTo(known[i], key, int32(count))
		}
		apply := func(facts []store.Fact) {
			for len(facts) > 0 {
				n := rapid.IntRange(1, len(facts)).Draw(t, "batch")
				for _, err := range s.Apply(s.Context(), facts[:n]) {
					if err != nil {
						t.Fatal(err)
					}
				}
				facts = facts[n:]
			}
		}
		apply(known)
		if _, err := s.store.Erase(s.Context(), key, "anna", "x"); err != nil {
			t.Fatal(err)
		}
		exec(t, s, `update erasures set erased_at = $2 where order_key = $1`, key, erasedAt)
		if rapid.Bool().Draw(t, "rebuilt") {
			for _, table := range []string{"orders", "order_lines", "received", "order_events", "dead_letters"} {
				exec(t, s, `delete from `+table+` where order_key = $1`, key)
			}
		}
		after := interleave(t, passed, others) // with what was on its way when the order was erased
		for i := range after {
			after[i] = moveTo(after[i], key, int32(count))
		}
		newer := validated(key, 9, rapid.SampledFrom([]string{"a", "bb", "new"}).Draw(t, "newer"))
		newer.Meta.ReceivedAt = erasedAt.Add(time.Second)
		newest := rapid.Bool().Draw(t, "pushed again")
		if !newest {
			apply(after)
			if left := s.personalLeft(key); len(left) > 0 {
				t.Fatalf("came back: %v", left)
			}
			return
		}
		refusal := refused(key, 8, "n", 0)
		refusal.Meta.ReceivedAt = erasedAt.Add(time.Second)
		refusal = moveTo(refusal, key, int32(count))
		at := rapid.IntRange(0, len(after)).Draw(t, "at")
		apply(slices.Insert(after, at, moveTo(newer, key, int32(count)), refusal))
		want := []string{"order", fmt.Sprint("letter ", rev(8))}
		if left := s.personalLeft(key); !slices.Equal(left, want) {
			t.Fatalf("left %v, want %v", left, want)
		}
		c, err := s.store.ClearOrder(s.Context(), s.keys, key)
		if err != nil || c.Err != nil || c.Revision != rev(9) || string(c.Document) != string(newer.Validated.Document) {
			t.Fatalf("the new push: %+v %v", c, err)
		}
	})
}

func exec(t *rapid.T, s *shelf, sql string, args ...any) {
	if _, err := s.conn.Exec(s.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// A call that is under way while its order is erased leaves no request behind, not even where the push was not known yet.
func TestErasedRequest(t *testing.T) {
	s := openShelf(t)
	ledger := s.store.Ledger("okki", "okkisync", "o1")
	// call has one claim settled as unknown, after what comes between.
	call := func(key order.Key, n int64, between func()) {
		t.Helper()
		grants, err := ledger.Claim(t.Context(), []store.Intent{{OrderKey: key, Revision: rev(n), Digest: fmt.Sprint(n), Total: "1"}})
		if err != nil || grants[0].Verdict != store.Call {
			t.Fatalf("%+v %v", grants, err)
		}
		between()
		settled, err := ledger.Settle(t.Context(), []store.Settlement{{
			OrderKey: key, Revision: rev(n), Attempt: grants[0].Attempt, Ending: store.Unknown, Request: []byte("sealed"),
		}})
		if err != nil || settled[0].Status != store.Kept {
			t.Fatalf("%+v %v", settled, err)
		}
	}
	erase := func(key order.Key) {
		t.Helper()
		if _, err := s.store.Erase(t.Context(), key, "anna", "x"); err != nil {
			t.Fatal(err)
		}
	}
	s.apply(validated("icbu:P1", 1, "a"), validated("icbu:P2", 2, "a"), validated("icbu:P3", 4, "a"))
	call("icbu:P1", 1, func() { erase("icbu:P1") })
	s.want(`select state, request is null from deliveries`, "unknown true")

	erase("icbu:P2")
	call("icbu:P2", 3, func() {}) // received before the erasure, but persist has not heard of it
	s.want(`select order_key from deliveries where request is not null`, "icbu:P2")
	s.apply(validated("icbu:P2", 3, "b"))
	if expired, err := s.store.Expire(t.Context(), retention(t, "2160h"), "persist", "", nil); err != nil || expired.Requests != 1 {
		t.Errorf("%+v %v", expired, err)
	}
	s.want(`select count(*) from deliveries where request is not null`, "0")

	erase("icbu:P3")
	s.want(`update erasures set erased_at = '2026-01-02 03:04:10+0' where order_key = 'icbu:P3' returning 1`, "1")
	s.apply(validated("icbu:P3", 9, "c"))
	call("icbu:P3", 9, func() {}) // pushed after the erasure: kept
	s.want(`select order_key from deliveries where request is not null`, "icbu:P3")
}

// The erasure waits for a transaction of a worker that is under way, and then finds what it wrote.
func TestEraseWaitsForWriters(t *testing.T) {
	s := openShelf(t)
	s.apply(validated("icbu:P1", 1, "a"))
	url := s.conn.Config().ConnString()
	other, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close(t.Context()) }()
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select from orders where order_key = 'icbu:P1' for update`); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.store.Erase(t.Context(), "icbu:P1", "anna", "x")
		ended <- err
	}()
	for deadline := time.Now().Add(time.Minute); len(s.rows(`select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%for update%'`)) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the erasure does not wait")
		}
	}
	if _, err := tx.Exec(t.Context(), `update orders set payload = 'later', version = version + 1 where order_key = 'icbu:P1'`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if left := s.personalLeft("icbu:P1"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func retention(t testing.TB, text string) privacy.Retention {
	t.Helper()
	r, err := privacy.ParseRetention(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestExpire(t *testing.T) {
	s := openShelf(t)
	s.stock(3)
	s.apply(validated("procurement:Q1", 50, "a"), validated("mall:S:1", 51, "a"), validated("icbu:young", 52, "a"))
	fixed := rejected("icbu:R0001", 2, "a", 0)
	s.apply(fixed, delivery("icbu:R0001", 2, "a", event.Delivered)) // its letter is fixed
	s.want(`select state from dead_letters order by id`, "open", "fixed", "open")
	age := func(sql string) {
		t.Helper()
		if _, err := s.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	age(`update orders set received_at = now() - interval '89 days'`)
	age(`update orders set received_at = now() - interval '91 days' where order_key in ('icbu:R0000', 'icbu:R0001', 'procurement:Q1')`)
	age(`update dead_letters set first_failed_at = now() - interval '91 days'`)
	age(`update dead_letters set first_failed_at = now() - interval '181 days' where order_key = 'icbu:R0002'`)
	age(`update deliveries set claimed_at = now() - interval '91 days' where order_key = 'icbu:R0000'`)
	const amounts = `select order_key, total::text, state, phone_pseudonym, updated_at, received_at from orders order by 1`
	before := s.rows(amounts)
	kept := retention(t, "2160h,procurement=2400h")
	expired, err := s.store.Expire(t.Context(), kept, "persist", "", nil)
	if err != nil || expired != (store.Expired{Orders: 2, Letters: 2, Requests: 1}) {
		t.Errorf("%+v %v", expired, err)
	}
	s.want(`select order_key from orders where payload is null and personal is null order by 1`, "icbu:R0000", "icbu:R0001")
	s.want(`select order_key, state from dead_letters where payload is null and headers is null order by 1`, "icbu:R0001 fixed", "icbu:R0002 open")
	if after := s.rows(amounts); !slices.Equal(after, before) {
		t.Errorf("amounts, states or pseudonyms changed:\n%v\n%v", before, after)
	}
	s.want(`select who, action, object, reason from audit order by id`, "persist expire 2 orders of icbu kept 2160h0m0s",
		"persist expire 2 letters of icbu kept 2160h0m0s", "persist expire 1 requests of icbu kept 2160h0m0s")
	if again, err := s.store.Expire(t.Context(), kept, "persist", "", nil); err != nil || again != (store.Expired{}) {
		t.Errorf("once more: %+v %v", again, err)
	}
	s.want(`select count(*) from audit`, "3")
	// A redelivery brings nothing back, a new push of the same content does.
	s.apply(validated("icbu:R0000", 1, "a"))
	s.want(`select payload is null from orders where order_key = 'icbu:R0000'`, "true")
	s.apply(validated("icbu:R0000", 60, "a"))
	s.want(`select payload is null, document_revision = revision, content_revision = revision from orders where order_key = 'icbu:R0000'`, "false true false")
}

// Only one process removes at a time, in batches that the indexes serve.
func TestExpireLocksAndPlans(t *testing.T) {
	s := openShelf(t)
	s.stock(600)
	for _, sql := range []string{`update orders set received_at = now() - interval '1 year'`, `update dead_letters set first_failed_at = now() - interval '1 day'`} {
		if _, err := s.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := s.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), store.ExpireLock); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.Expire(t.Context(), retention(t, "2160h"), "b", "", nil); !errors.Is(err, store.ErrExpiring) {
		t.Errorf("beside another one: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	var told []int
	if expired, err := s.store.Expire(t.Context(), retention(t, "2160h"), "b", "", func(e store.Expired) { told = append(told, e.Orders) }); err != nil || expired.Orders != 600 {
		t.Errorf("%+v %v", expired, err)
	}
	if !slices.Equal(told, []int{500, 600}) {
		t.Errorf("told %v", told) // 600 letters stay: they are young
	}
	if _, err := s.conn.Exec(t.Context(), `set enable_seqscan = off`); err != nil { // the tables are small
		t.Fatal(err)
	}
	s.wantNoScan(t, func(b *store.Store) error {
		_, err := b.Expire(t.Context(), retention(t, "2160h"), "b", "", nil)
		return err
	})
}
