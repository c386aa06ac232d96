package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// fillOrders gives each of fillLetters' orders its numbers, record and steps, and each letter a place in a replay job.
func (s *shelf) fillOrders() {
	s.Helper()
	for _, sql := range []string{
		`update orders set numbers = array[substr(order_key, 6), 'OKKI' || substr(order_key, 6)]`,
		`insert into received (source, partition, "offset", order_key, revision, received_at, updated_at)
			select 'icbu', revision % 6, revision, order_key, revision + (1::bigint << 48), now(), now() from orders`,
		`insert into order_events (order_key, revision, step, at, service)
			select order_key, revision, step, now(), 'validate' from orders cross join unnest(array['received', 'validated', 'refused']) step`,
		`insert into replay_jobs (state, filter, dry_run, rate, reason, created_by) select 'done', '{}', false, 0, '', 'ann' from generate_series(1, 2000)`,
		`insert into replay_items (job_id, letter_id, result, position) select 1 + id % 2000, id, 'fixed', id from dead_letters`,
		`insert into audit (who, action, object) select 'ann', 'discard', 'letter ' || id from dead_letters`,
	} {
		if _, err := s.conn.Exec(s.Context(), sql); err != nil {
			s.Fatal(err)
		}
	}
	if _, err := s.conn.Exec(s.Context(), `vacuum analyze`); err != nil {
		s.Fatal(err)
	}
}

// reads are what the console's addresses ask of PostgreSQL, by the question.
var reads = map[string]func(ctx context.Context, b *store.Store) error{
	"order by number": func(ctx context.Context, b *store.Store) error {
		views, err := b.OrdersByNumber(ctx, "OKKIP77")
		return wantOne(len(views), err)
	},
	"order by key": func(ctx context.Context, b *store.Store) error {
		_, err := b.Order(ctx, "icbu:P77")
		return err
	},
	"orders of a push": func(ctx context.Context, b *store.Store) error {
		_, err := b.Orders(ctx, hundredKeys())
		return err
	},
	"timeline": func(ctx context.Context, b *store.Store) error {
		lines, err := b.Timelines(ctx, []order.Key{"icbu:P77"}, 500)
		return wantOne(len(lines["icbu:P77"].Replays), err)
	},
	"timelines of a push": func(ctx context.Context, b *store.Store) error {
		_, err := b.Timelines(ctx, hundredKeys(), 500)
		return err
	},
	"receipt": func(ctx context.Context, b *store.Store) error {
		fates, err := b.Fates(ctx, order.ICBU, 1, []store.Place{{Partition: 77 % 6, Offset: 77}})
		return wantOne(len(fates), err)
	},
	"receipt of a batch": func(ctx context.Context, b *store.Store) error {
		var places []store.Place
		for n := range int64(100) {
			places = append(places, store.Place{Partition: int32(n % 6), Offset: n})
		}
		_, err := b.Fates(ctx, order.ICBU, 1, places)
		return err
	},
	"letter": func(ctx context.Context, b *store.Store) error {
		_, err := b.Letter(ctx, 77)
		return err
	},
	"replays of a letter": func(ctx context.Context, b *store.Store) error {
		_, err := b.LetterReplays(ctx, 77)
		return err
	},
	"jobs": func(ctx context.Context, b *store.Store) error {
		_, next, err := b.Replays(ctx, "", 50)
		_, _, errN := b.Replays(ctx, next, 50)
		return errors.Join(err, errN)
	},
	"job": func(ctx context.Context, b *store.Store) error {
		_, err := b.Replay(ctx, 77)
		return err
	},
	"letters of a job": func(ctx context.Context, b *store.Store) error {
		_, _, err := b.ReplayItems(ctx, 77, "", "", 50)
		_, _, errR := b.ReplayItems(ctx, 77, store.ItemFailedAgain, "", 50)
		return errors.Join(err, errR)
	},
	"audit": func(ctx context.Context, b *store.Store) error {
		_, next, err := b.Audit(ctx, "", 50)
		_, _, errN := b.Audit(ctx, next, 50)
		return errors.Join(err, errN)
	},
}

func wantOne(n int, err error) error {
	if err == nil && n != 1 {
		err = fmt.Errorf("%d rows instead of one", n)
	}
	return err
}

func hundredKeys() []order.Key {
	var keys []order.Key
	for n := range 100 {
		keys = append(keys, order.Key(fmt.Sprint("icbu:P", n)))
	}
	return keys
}

// Nothing that the console is asked reads a whole table.
func TestReadsUseIndexes(t *testing.T) {
	s := openShelf(t)
	s.fillLetters(50_000)
	s.fillOrders()
	for name, ask := range reads {
		t.Run(name, func(t *testing.T) {
			s.wantNoScan(t, func(b *store.Store) error { return ask(t.Context(), b) })
		})
	}
	at := time.Date(2026, 1, 1, 6, 50, 0, 0, time.UTC) // a few hundred letters failed since
	all := store.LetterStates
	for name, f := range map[string]store.LetterFilter{
		"live": {}, "service": {Service: "okkisync"}, "source": {Source: order.Mall}, "code": {Code: "bad_time"}, "path": {Path: "/items/*/amount"},
		"shop": {Shop: "S1"}, "order": {OrderKey: "icbu:P77"}, "since": {Since: at}, "until": {Until: at}, "amount": {MinAmount: decimal.NewNullDecimal(decimal.New(49_990, 0))},
		"part of a key": {Q: "P4999"}, "ids": {IDs: []int64{1, 11}}, "failed again": {States: []store.LetterState{store.LetterFailedAgain}},
	} {
		for _, states := range [][]store.LetterState{f.States, all} {
			f.States = states
			t.Run(fmt.Sprint("letters: ", name, " ", len(states)), func(t *testing.T) {
				s.wantNoScan(t, func(b *store.Store) error {
					_, next, err := b.Letters(t.Context(), f, "", 50)
					if err == nil && next != "" {
						_, _, err = b.Letters(t.Context(), f, next, 50)
					}
					return err
				})
			})
			if len(states) == len(all) && f.Since.IsZero() && f.OrderKey == "" && f.IDs == nil {
				continue // counting all there ever were reads them all
			}
			t.Run(fmt.Sprint("groups: ", name, " ", len(states)), func(t *testing.T) {
				s.wantNoScan(t, func(b *store.Store) error {
					_, err := b.LetterGroups(t.Context(), f)
					return err
				})
			})
		}
	}
}

// At a million orders PostgreSQL finds it cheaper to walk through all orders by their keys, until enough have a number, than to
// sort those that have it. Here the table is small, and sorting is made dear instead.
func TestANumberIsNeverLookedForOrderByOrder(t *testing.T) {
	s := openShelf(t)
	s.fillLetters(1000)
	s.fillOrders()
	if _, err := s.conn.Exec(t.Context(), `set enable_sort = off`); err != nil {
		t.Fatal(err)
	}
	s.wantNoScan(t, func(b *store.Store) error { return reads["order by number"](t.Context(), b) })
}

// A plan that was made while the tables were empty is not kept while they fill, as it would be in a console that was started
// before its first order came and is asked all day.
func TestReadsDoNotKeepThePlansOfEmptyTables(t *testing.T) {
	url := pgtest.New(t)
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(times int) {
		for range times {
			for _, name := range []string{"order by number", "order by key", "timeline", "receipt", "letter", "letters of a job", "audit"} {
				_ = reads[name](t.Context(), db) // nothing is found at first
			}
		}
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	// What was not moved to its place in the index yet makes it look dearer than a small table.
	if _, err := conn.Exec(t.Context(), `alter index orders_numbers set (fastupdate = off)`); err != nil {
		t.Fatal(err)
	}
	ask(10)
	for _, sql := range []string{ // autovacuum would tell the planner in time, or not
		`insert into orders (order_key, source, numbers, revision, validated, state, received_at, updated_at, version)
			select 'icbu:P' || n, 'icbu', array['P' || n, 'OKKI' || n], n, true, 'validated', now(), now(), 1 from generate_series(1, 20000) n`,
		`insert into received (source, partition, "offset", order_key, revision, received_at, updated_at)
			select 'icbu', n % 6, n, 'icbu:P' || n, n + (1::bigint << 48), now(), now() from generate_series(1, 20000) n`,
		`insert into order_events (order_key, revision, step, at, service) select 'icbu:P' || n, n, 'received', now(), 'ingest' from generate_series(1, 20000) n`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ask(10)
	db.Close()
	awaitStatistics(t, conn)
	rows, err := conn.Query(t.Context(), `select relname || ' ' || seq_tup_read from pg_stat_user_tables
		where relname in ('orders', 'received', 'order_events') and seq_tup_read > 0`)
	if err != nil {
		t.Fatal(err)
	}
	if scanned, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(scanned) > 0 {
		t.Errorf("rows read by whole tables: %v (%v)", scanned, err)
	}
}
