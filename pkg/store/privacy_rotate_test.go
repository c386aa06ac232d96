package store_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

func oneKey(id string, fill byte) string {
	return id + "=" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, 32))
}

func keysOf(t testing.TB, payload, pseudonym string) *privacy.Keys {
	t.Helper()
	keys, err := privacy.New(privacy.Settings{PseudonymKeys: pseudonym, PayloadKeys: payload})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// rotated are keys with new ones before those that a shelf writes with.
func rotatedKeys(t testing.TB) (both, onlyNew, onlyOld *privacy.Keys) {
	return keysOf(t, oneKey("k2", 6)+","+oneKey("k", 5), oneKey("p2", 6)+","+oneKey("p", 5)),
		keysOf(t, oneKey("k2", 6), oneKey("p2", 6)), testKeys(t)
}

// stock fills a shelf with everything that is encrypted at rest: n orders, each with a letter, and a request in doubt.
func (s *shelf) stock(n int) {
	s.Helper()
	var facts []store.Fact
	for i := range int64(n) {
		key := order.Key(fmt.Sprintf("icbu:R%04d", i))
		facts = append(facts, validated(key, i+1, "a"), rejected(key, i+1, "a", 0))
	}
	s.apply(facts...)
	ledger := s.store.Ledger("okki", "okkisync", "o1")
	for i := range int64(n) {
		key := order.Key(fmt.Sprintf("icbu:R%04d", i))
		grants, err := ledger.Claim(s.Context(), []store.Intent{{OrderKey: key, Revision: rev(i + 1), Digest: "hmac.a", Total: "1"}})
		if err != nil || grants[0].Verdict != store.Call {
			s.Fatalf("claim: %+v %v", grants, err)
		}
		_, err = ledger.Settle(s.Context(), []store.Settlement{{
			OrderKey: key, Revision: rev(i + 1), Attempt: grants[0].Attempt, Ending: store.Unknown, Request: s.keys.Encrypt([]byte("sent"), store.RequestPlace(key, rev(i+1))),
		}})
		if err != nil {
			s.Fatal(err)
		}
	}
}

// opens wants all of the first n orders of stock to be readable with keys.
func (s *shelf) opens(keys *privacy.Keys, n int) {
	s.Helper()
	for i := range n {
		key := order.Key(fmt.Sprintf("icbu:R%04d", i))
		c, err := s.store.ClearOrder(s.Context(), keys, key)
		if err != nil || c.Err != nil || c.Personal == nil || c.Personal.Phone != "13812345678" || string(c.Document) != `{"content":"a"}` {
			s.Fatalf("%s: %+v %v", key, c, err)
		}
		if want := keys.Pseudonym(privacy.Phone, "13812345678"); c.Pseudonyms[1] != want {
			s.Fatalf("%s: pseudonym %q, want %q", key, c.Pseudonyms[1], want)
		}
		l, err := s.store.NextClearLetter(s.Context(), keys, key, 0)
		if err != nil || l.Err != nil || string(l.Payload) != `{"refused":1}` || len(l.Headers) != 1 {
			s.Fatalf("letter of %s: %+v %v", key, l, err)
		}
		requests, err := s.store.ClearRequests(s.Context(), keys, key)
		if err != nil || len(requests) != 1 || requests[0].Err != nil || string(requests[0].Body) != "sent" {
			s.Fatalf("request of %s: %+v %v", key, requests, err)
		}
	}
}

func (s *shelf) counts() (all []string) {
	s.Helper()
	counts, err := s.store.KeyCounts(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for _, c := range counts {
		all = append(all, fmt.Sprint(c.KeyID, " ", c.Column, " ", c.Rows))
	}
	return all
}

func under(payload, pseudonym string, n int) []string {
	var all []string
	all = append(all, payload+" content_key.sealed 1")
	for _, column := range []string{"dead_letters.headers", "dead_letters.payload", "deliveries.request", "orders.payload", "orders.personal"} {
		all = append(all, fmt.Sprint(payload, " ", column, " ", n))
	}
	return append(all, fmt.Sprint(pseudonym, " orders.pseudonyms ", n))
}

func TestRotate(t *testing.T) {
	s := openShelf(t)
	const n = 30
	s.stock(n)
	s.apply(refused("mall:S:1", 99, "", 0)) // an order without any document
	both, onlyNew, onlyOld := rotatedKeys(t)
	if got := s.counts(); !slices.Contains(got, "k orders.payload 30") || !slices.Contains(got, "p orders.pseudonyms 30") {
		t.Fatalf("before: %v", got)
	}
	amounts := s.rows(`select order_key, revision, state, total::text, updated_at from orders order by order_key`)
	rotation := store.Rotation{Store: s.store, Keys: both}
	if pending, err := rotation.Pending(t.Context()); err != nil || pending != 3*n+2 {
		t.Errorf("%d rows to be done, %v", pending, err)
	}
	told := 0
	rotation.Progress = func(done int) { told = done }
	done, err := rotation.Run(t.Context())
	if err != nil || done.Rows != 3*n+2 || done.Unreadable != 0 || done.Contested != 0 || told != 3*n+2 {
		t.Fatalf("%+v, told %d, %v", done, told, err)
	}
	s.opens(onlyNew, n)
	if c, err := s.store.ClearOrder(t.Context(), onlyOld, "icbu:R0000"); err != nil || !errors.Is(c.Err, privacy.ErrSealed) {
		t.Errorf("the old key opens what was rotated: %+v %v", c, err)
	}
	for _, line := range s.counts() {
		if !strings.HasPrefix(line, "k2 ") && !strings.HasPrefix(line, "p2 ") {
			t.Errorf("left: %s", line)
		}
	}
	if after := s.rows(`select order_key, revision, state, total::text, updated_at from orders order by order_key`); !slices.Equal(amounts, after) {
		t.Error("the rotation changed more than what is sealed")
	}
	if again, err := rotation.Run(t.Context()); err != nil || again.Rows != 0 {
		t.Errorf("once more: %+v %v", again, err)
	}
}

// A rotation that dies leaves each row whole, under one key or the other, and the next one does the rest and no more.
func TestRotateCutOff(t *testing.T) {
	s := openShelf(t)
	const n = 700 // more than one batch
	s.stock(n)
	both, onlyNew, _ := rotatedKeys(t)
	ctx, die := context.WithCancel(t.Context())
	cut, err := (&store.Rotation{Store: s.store, Keys: both, Progress: func(int) { die() }}).Run(ctx)
	if !errors.Is(err, context.Canceled) || cut.Rows == 0 || cut.Rows >= 3*n {
		t.Fatalf("cut off: %+v %v", cut, err)
	}
	for i := range n { // whichever key it is, row by row all of it is readable
		c, err := s.store.ClearOrder(t.Context(), both, order.Key(fmt.Sprintf("icbu:R%04d", i)))
		if err != nil || c.Err != nil || c.Personal == nil {
			t.Fatalf("%+v %v", c, err)
		}
	}
	s.want(`select count(*) from orders where sealed_key(payload) <> sealed_key(personal)`, "0")
	rest, err := (&store.Rotation{Store: s.store, Keys: both}).Run(t.Context())
	if err != nil || cut.Rows+rest.Rows != 3*n+1 {
		t.Errorf("%d and then %d of %d: %v", cut.Rows, rest.Rows, 3*n+1, err)
	}
	s.opens(onlyNew, n)
	if got := s.counts(); !slices.Equal(got, under("k2", "p2", n)) {
		t.Errorf("%v", got)
	}
}

// Rows that no key of ours opens are left as they are, named, and keep nobody else from being done.
func TestRotateWithoutTheOldKey(t *testing.T) {
	s := openShelf(t)
	s.stock(3)
	_, onlyNew, onlyOld := rotatedKeys(t)
	done, err := (&store.Rotation{Store: s.store, Keys: onlyNew}).Run(t.Context())
	if err != nil || done.Rows != 0 || done.Unreadable != 10 || !slices.Contains(done.Examples, "order icbu:R0001") {
		t.Errorf("%+v %v", done, err)
	}
	s.opens(onlyOld, 3)
	// A flipped bit is another byte, whatever stood there: what is sealed is random, and any fixed byte may be there already.
	s.want(`update orders set payload = set_byte(payload, 39, get_byte(payload, 39) # 1) where order_key = 'icbu:R0001' returning 1`, "1")
	both, _, _ := rotatedKeys(t)
	done, err = (&store.Rotation{Store: s.store, Keys: both}).Run(t.Context())
	if err != nil || done.Rows != 9 || done.Unreadable != 1 {
		t.Errorf("a damaged row: %+v %v", done, err)
	}
}

// What a worker writes while a rotation is under way is never overwritten: at the end every order holds the newest
// document, wherever the rotation stood when it came.
func TestRotateBesideWriters(t *testing.T) {
	s := openShelf(t)
	const orders, rounds = 40, 25
	key := func(k int64) order.Key { return order.Key(fmt.Sprintf("icbu:W%02d", k)) }
	write := func(w *store.Writer, n int64) {
		var facts []store.Fact
		for k := range int64(orders) {
			offset := n*orders + k + 1
			facts = append(facts, validated(key(k), offset, fmt.Sprint("d", n)), rejected(key(k), k+1, "d0", int(n)))
		}
		for _, err := range w.Apply(t.Context(), facts) {
			if err != nil {
				t.Error(err)
			}
		}
	}
	write(s.Writer, 0)
	both, onlyNew, _ := rotatedKeys(t)
	old := store.NewWriter(s.store, s.keys) // a service that was not restarted yet
	fresh := store.NewWriter(s.store, both)
	var writing, rotating sync.WaitGroup
	stop := make(chan struct{})
	for range 2 { // two at once, which must not harm each other either
		rotating.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if done, err := (&store.Rotation{Store: s.store, Keys: both}).Run(t.Context()); err != nil || done.Unreadable > 0 {
					t.Errorf("%+v %v", done, err)
					return
				}
			}
		})
	}
	writing.Go(func() {
		for n := range int64(rounds) {
			write([]*store.Writer{old, fresh}[n%2], n+1)
		}
	})
	writing.Wait()
	close(stop)
	rotating.Wait()
	if done, err := (&store.Rotation{Store: s.store, Keys: both}).Run(t.Context()); err != nil || done.Unreadable+done.Contested > 0 {
		t.Fatalf("%+v %v", done, err)
	}
	for k := range int64(orders) {
		c, err := s.store.ClearOrder(t.Context(), onlyNew, key(k))
		if want := fmt.Sprintf(`{"content":"d%d"}`, rounds); err != nil || c.Err != nil || string(c.Document) != want || c.Revision != rev(rounds*orders+k+1) {
			t.Errorf("%s: %s at %d, want %s; %v %v", key(k), c.Document, c.Revision, want, err, c.Err)
		}
		l, err := s.store.NextClearLetter(t.Context(), onlyNew, key(k), 0)
		if err != nil || l.Err != nil || l.Payload == nil {
			t.Errorf("letter: %+v %v", l, err)
		}
	}
	s.want(`select distinct failed_replays from dead_letters`, fmt.Sprint(rounds))
	s.want(`select count(*) from orders where order_key like 'icbu:W%' and state is not null`, fmt.Sprint(orders))
}

// What is erased or expires while a rotation has it in hand does not come back with what the rotation writes.
func TestRotateBesideErasure(t *testing.T) {
	s := openShelf(t)
	const n = 60
	s.stock(n)
	both, _, _ := rotatedKeys(t)
	back := keysOf(t, oneKey("k", 5)+","+oneKey("k2", 6), oneKey("p", 5)+","+oneKey("p2", 6))
	stop := make(chan struct{})
	var rotating sync.WaitGroup
	rotating.Go(func() {
		for i := 0; ; i++ { // there and back, so that there is always something to do
			select {
			case <-stop:
				return
			default:
			}
			if _, err := (&store.Rotation{Store: s.store, Keys: []*privacy.Keys{both, back}[i%2]}).Run(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range n {
		key := order.Key(fmt.Sprintf("icbu:R%04d", i))
		if i%2 == 0 {
			if _, err := s.store.Erase(t.Context(), key, "anna", "x"); err != nil {
				t.Error(err)
			}
			continue
		}
		s.want(`update orders set received_at = now() - interval '1 year', version = version + 1 where order_key = '`+string(key)+`' returning 1`, "1")
		if _, err := s.store.Expire(t.Context(), retention(t, "2160h"), "persist", "", nil); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	rotating.Wait()
	if _, err := s.store.Expire(t.Context(), retention(t, "2160h"), "persist", "", nil); err != nil { // rows that were locked
		t.Error(err)
	}
	s.want(`select count(*) from orders where payload is not null or personal is not null`, "0")
	s.want(`select count(*) from orders where buyer_pseudonym || phone_pseudonym <> ''`, fmt.Sprint(n/2))
	for i := 0; i < n; i += 2 {
		if left := s.personalLeft(order.Key(fmt.Sprintf("icbu:R%04d", i))); len(left) > 0 {
			t.Errorf("came back: %v", left)
		}
	}
}

// What comes between the reading and the writing of a batch wins, in every table, whoever writes it.
func TestRotateOvertaken(t *testing.T) {
	key := order.Key("icbu:R0000")
	for name, c := range map[string]struct {
		between func(s *shelf)
		holds   string // a query
		want    []string
	}{
		"a newer document and letter": {
			func(s *shelf) { s.apply(validated(key, 10, "newer"), rejected(key, 1, "a", 1)) },
			`select o.document_revision, d.failed_replays from orders o join dead_letters d using (order_key)`,
			[]string{fmt.Sprint(rev(10), " 1")},
		},
		"an erasure": {
			func(s *shelf) {
				if _, err := s.store.Erase(t.Context(), key, "anna", "x"); err != nil {
					t.Error(err)
				}
			},
			`select count(*), o.buyer_pseudonym || o.phone_pseudonym from orders o, dead_letters d, deliveries l
				where coalesce(o.payload, o.personal, d.payload, d.headers, l.request) is null group by 2`,
			[]string{"1 "},
		},
		"the retention": {
			func(s *shelf) {
				s.rows(`update orders set received_at = now() - interval '1 year'`)
				s.rows(`update dead_letters set first_failed_at = now() - interval '1 year'`)
				s.rows(`update deliveries set claimed_at = now() - interval '1 year'`)
				if _, err := s.store.Expire(t.Context(), retention(t, "2160h"), "x", "", nil); err != nil {
					t.Error(err)
				}
			},
			`select count(*) from orders o, dead_letters d, deliveries l where coalesce(o.payload, o.personal, d.payload, d.headers, l.request) is null`,
			[]string{"1"},
		},
	} {
		for _, table := range []string{"orders", "dead_letters", "deliveries"} {
			t.Run(name+" before "+table, func(t *testing.T) {
				s := openShelf(t)
				s.stock(1)
				both, _, _ := rotatedKeys(t)
				once := sync.OnceFunc(func() { c.between(s) })
				traced := s.store.Traced(t, func(sql string, _ []any) {
					if strings.Contains(sql, "with mine as") && strings.Contains(sql, "update "+table+" ") {
						once()
					}
				})
				if done, err := (&store.Rotation{Store: traced, Keys: both}).Run(t.Context()); err != nil || done.Contested+done.Unreadable > 0 {
					t.Errorf("%+v %v", done, err)
				}
				s.want(c.holds, c.want...)
				read, err := s.store.ClearOrder(t.Context(), both, key)
				if err != nil || read.Err != nil {
					t.Errorf("%+v %v", read, err)
				}
				if l, err := s.store.NextClearLetter(t.Context(), both, key, 0); err != nil || l.Err != nil && !errors.Is(l.Err, store.ErrGone) {
					t.Errorf("%+v %v", l, err)
				}
			})
		}
	}
}
