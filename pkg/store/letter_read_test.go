package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// fillLetters writes many letters at once; every tenth is open, every hundredth failed again, the others are fixed.
func (s *shelf) fillLetters(count int) {
	s.Helper()
	for _, sql := range []string{
		`insert into dead_letters (service, code, path, source, shop, order_key, revision, total, origin_topic, origin_partition, origin_offset,
			first_failed_at, failed_at, dlq_topic, dlq_partition, dlq_offset, state, updated_at)
		select (array['validate', 'okkisync', 'mallupload', 'persist'])[1 + n % 4], (array['bad_amount', 'bad_time', 'partner_rejected'])[1 + n % 3],
			'/items/' || n % 7 || '/amount', (array['icbu', 'mall'])[1 + n % 2], 'S' || n % 5, 'icbu:P' || n, n + 1, n, 'icbu.received.v1', 0, n,
			'2026-01-01'::timestamptz + n / 2 * interval '1 second', '2026-01-01'::timestamptz + n / 2 * interval '1 second', 'validate.dlq.v1', 0, n,
			case when n % 100 = 0 then 'failed_again' when n % 10 = 0 then 'open' else 'fixed' end, now() from generate_series(0, $1 - 1) as n`,
		`insert into orders (order_key, source, revision, validated, state, received_at, updated_at, version)
			select 'icbu:P' || n, 'icbu', n, false, 'parked', now(), now(), 1 from generate_series(0, $1 - 1) as n`,
	} {
		if _, err := s.conn.Exec(s.Context(), sql, count); err != nil {
			s.Fatal(err)
		}
	}
	if _, err := s.conn.Exec(s.Context(), `vacuum analyze dead_letters`); err != nil {
		s.Fatal(err)
	}
	if _, err := s.conn.Exec(s.Context(), `analyze orders`); err != nil {
		s.Fatal(err)
	}
}

func TestLettersPageByPage(t *testing.T) {
	s := openShelf(t)
	s.fillLetters(1000)
	var seen []int64
	cursor, pages := "", 0
	for {
		letters, next, err := s.store.Letters(t.Context(), store.LetterFilter{}, cursor, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			seen = append(seen, l.ID)
		}
		pages++
		if pages == 3 { // what comes later does not move the pages
			s.apply(refused("icbu:new", 5000, "a", 0))
		}
		if next == "" {
			break
		}
		cursor = next
	}
	if len(seen) != 100 || pages != 15 || !slices.IsSortedFunc(seen, func(a, b int64) int { return int(b - a) }) {
		t.Errorf("%d letters on %d pages: %v", len(seen), pages, seen)
	}
}

func TestLetterFilter(t *testing.T) {
	s := openShelf(t)
	s.fillLetters(1000)
	all := store.LetterStates
	at := time.Date(2026, 1, 1, 0, 0, 100, 0, time.UTC)
	for name, c := range map[string]struct {
		filter store.LetterFilter
		want   int
	}{
		"live":       {store.LetterFilter{}, 100},
		"all":        {store.LetterFilter{States: all}, 1000},
		"failed":     {store.LetterFilter{States: []store.LetterState{store.LetterFailedAgain}}, 10},
		"service":    {store.LetterFilter{Service: "okkisync", States: all}, 250},
		"code":       {store.LetterFilter{Code: "bad_time", States: all}, 333},
		"source":     {store.LetterFilter{Source: order.Mall, States: all}, 500},
		"shop":       {store.LetterFilter{Shop: "S1", States: all}, 200},
		"path":       {store.LetterFilter{Path: "/items/*/amount", States: all}, 1000},
		"exact path": {store.LetterFilter{Path: "/items/1/amount", States: all}, 0},
		"key":        {store.LetterFilter{OrderKey: "icbu:P17", States: all}, 1},
		"part":       {store.LetterFilter{Q: ":P99", States: all}, 11},
		"no pattern": {store.LetterFilter{Q: "%", States: all}, 0},
		"ids":        {store.LetterFilter{IDs: []int64{1, 2, 11, 5000}}, 2},
		"no ids":     {store.LetterFilter{IDs: []int64{}}, 0},
		"since":      {store.LetterFilter{Since: at, States: all}, 800},
		"until":      {store.LetterFilter{Until: at, States: all}, 200},
		"min amount": {store.LetterFilter{MinAmount: decimal.NewNullDecimal(decimal.RequireFromString("989.5"))}, 1},
		"together":   {store.LetterFilter{Service: "validate", Source: order.ICBU, Code: "bad_amount", Shop: "S0", Since: at, States: all}, 13},
	} {
		t.Run(name, func(t *testing.T) {
			letters, _, err := s.store.Letters(t.Context(), c.filter, "", 2000)
			if err != nil || len(letters) != c.want {
				t.Errorf("%d letters, wanted %d (%v)", len(letters), c.want, err)
			}
			groups, err := s.store.LetterGroups(t.Context(), c.filter)
			count := 0
			for _, g := range groups {
				count += g.Count
			}
			if err != nil || count != c.want {
				t.Errorf("%d letters in groups, wanted %d (%v)", count, c.want, err)
			}
		})
	}
	for name, f := range map[string]store.LetterFilter{
		"state": {States: []store.LetterState{"x'; drop table orders"}}, "nul": {Q: "a\x00"}, "long": {Shop: strings.Repeat("s", 2000)},
		"utf-8": {Code: "\xff"}, "digits": {MinAmount: decimal.NewNullDecimal(decimal.New(1, 1_000_000))},
	} {
		if _, _, err := s.store.Letters(t.Context(), f, "", 1); !errors.Is(err, store.ErrFilter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cursor := range []string{"!", "eA", strings.Repeat("A", 100), "MTIz"} {
		if _, _, err := s.store.Letters(t.Context(), store.LetterFilter{}, cursor, 1); !errors.Is(err, store.ErrFilter) {
			t.Errorf("cursor %s: %v", cursor, err)
		}
	}
}

func TestLetterGroups(t *testing.T) {
	s := openShelf(t)
	for n := range int64(3) {
		f := refused(order.Key(fmt.Sprint("icbu:P", n)), n+1, "a", 0)
		f.Letter.Path = fmt.Sprintf("/items/%d/price", n*12)
		s.apply(f)
	}
	s.apply(rejected("icbu:P7", 7, "a", 0))
	groups, err := s.store.LetterGroups(t.Context(), store.LetterFilter{})
	at := epoch.Add(3 * time.Minute)
	want := []store.LetterGroup{
		{"validate", "bad_amount", "/items/*/price", 3, at.Add(time.Second), at.Add(3 * time.Second), 3},
		{"okkisync", "partner_rejected", "/amount", 1, at.Add(7 * time.Second), at.Add(7 * time.Second), 4},
	}
	if err != nil || fmt.Sprint(groups) != fmt.Sprint(want) {
		t.Errorf("groups %+v (%v)\nwant %+v", groups, err, want)
	}
	l, err := s.store.Letter(t.Context(), 4)
	if err != nil || l.Service != "okkisync" || l.OrderKey != "icbu:P7" || l.Revision != rev(7) || l.State != store.LetterOpen || l.OriginOffset != 7 {
		t.Errorf("letter %+v (%v)", l, err)
	}
	if _, err := s.store.Letter(t.Context(), 99); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown letter: %v", err)
	}
}

// What people and the console ask must not read whole tables once these are big.
func TestLetterQueriesUseIndexes(t *testing.T) {
	s := openShelf(t)
	s.fillLetters(100_000)
	at := time.Date(2026, 1, 1, 6, 0, 0, 0, time.UTC)
	for name, f := range map[string]store.LetterFilter{
		"live": {}, "all": {States: store.LetterStates}, "service": {Service: "okkisync"}, "service, all": {Service: "okkisync", States: store.LetterStates},
		"order": {OrderKey: "icbu:P17", States: store.LetterStates}, "code and time": {Code: "bad_time", Since: at, Until: at.Add(time.Minute)},
		"part of a key": {Q: "P9990"}, "ids": {IDs: []int64{1, 11}}, "group": {Service: "validate", Code: "bad_amount", Path: "/items/*/amount"},
	} {
		t.Run(name, func(t *testing.T) {
			next := ""
			s.wantNoScan(t, func(b *store.Store) (err error) {
				_, next, err = b.Letters(t.Context(), f, "", 50)
				return err
			})
			if next != "" {
				s.wantNoScan(t, func(b *store.Store) error {
					_, _, err := b.Letters(t.Context(), f, next, 50)
					return err
				})
			}
		})
	}
	for name, f := range map[string]store.LetterFilter{"groups": {}, "groups of a service": {Service: "okkisync"}} {
		t.Run(name, func(t *testing.T) {
			s.wantNoScan(t, func(b *store.Store) error {
				_, err := b.LetterGroups(t.Context(), f)
				return err
			})
		})
	}
}
