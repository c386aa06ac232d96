package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

var balanceHour = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// offsetWorld is everything that may be true of one received offset.
type offsetWorld struct {
	rows                  int
	state                 string
	validated             bool
	refusedBy, excusedBy  bool // a letter of validate, one of persist
	copies                int
	freshRow, freshRecord bool // written after what is known
	currency, total       string
	order                 string // where its order's row stands: none, unvalidated, older, same, newer
	otherAmounts          bool   // than in orders.v1
	otherLines            bool
}

func drawOffset(t *rapid.T) offsetWorld {
	w := offsetWorld{
		rows:      rapid.SampledFrom([]int{1, 1, 1, 1, 0, 2}).Draw(t, "rows"),
		state:     rapid.SampledFrom([]string{"delivered", "persisted", "duplicate", "superseded", "parked", "discarded", ""}).Draw(t, "state"),
		validated: rapid.Bool().Draw(t, "validated"),
		refusedBy: rapid.Bool().Draw(t, "refused"), excusedBy: rapid.Bool().Draw(t, "excused"),
		copies:   rapid.SampledFrom([]int{1, 1, 1, 0, 2}).Draw(t, "copies"),
		freshRow: rapid.Bool().Draw(t, "fresh row"), freshRecord: rapid.Bool().Draw(t, "fresh record"),
		currency: rapid.SampledFrom([]string{"CNY", "USD"}).Draw(t, "currency"),
		total:    rapid.SampledFrom([]string{"", "0.1", "-3.25", "123456789012345678.12345678"}).Draw(t, "total"),
		order:    rapid.SampledFrom([]string{"same", "same", "same", "none", "unvalidated", "older", "newer"}).Draw(t, "order"),

		otherAmounts: rapid.Bool().Draw(t, "other amounts"), otherLines: rapid.Bool().Draw(t, "other lines"),
	}
	if w.rows == 0 {
		w.state, w.validated, w.refusedBy, w.excusedBy = "", false, false, false
	}
	return w
}

// tally is the definition of every count, offset by offset.
func (w *offsetWorld) tally(t *store.Tally, passed bool) (faults []store.Fault) {
	count := func(n *int64, so bool) {
		if so {
			*n++
		}
	}
	count(&t.Received, true)
	count(&t.Refused, w.rows > 0 && !w.validated && w.copies == 0 && w.refusedBy)
	count(&t.Validated, w.validated || w.copies > 0)
	count(&t.Published, w.copies > 0)
	ended := map[string]*int64{
		"delivered": &t.Delivered, "persisted": &t.Persisted, "duplicate": &t.Duplicate, "superseded": &t.Superseded, "parked": &t.Parked, "discarded": &t.Discarded,
	}[w.state]
	switch {
	case ended != nil:
		*ended++
	case passed && w.rows == 0:
		t.Missing++
		faults = append(faults, store.NoRow)
	case passed:
		t.Missing++
		faults = append(faults, store.NoEnd)
	default:
		t.Open++
	}
	unpublished, unstored := w.validated && w.copies == 0, w.copies > 0 && w.rows > 0 && !w.validated && !w.excusedBy
	for fault, so := range map[store.Fault]bool{
		store.TwoRows: w.rows > 1, store.PublishedTwice: w.copies > 1,
		store.NotPublished: unpublished && !w.freshRow, store.NotStored: unstored && !w.freshRecord,
		store.NoOrder:       w.order == "none" && w.stored(),
		store.OldOrder:      (w.order == "older" || w.order == "unvalidated") && w.stored() && (w.rows == 0 || w.validated),
		store.AmountsDiffer: w.order == "same" && w.copies > 0 && w.otherAmounts,
		store.LinesDiffer:   w.order == "same" && w.copies > 0 && w.otherLines,
	} {
		if so {
			faults = append(faults, fault)
		}
	}
	t.Faults += int64(len(faults))
	count(&t.Unsure, unpublished && w.freshRow || unstored && w.freshRecord)
	slices.Sort(faults)
	return faults
}

// stored tells whether PostgreSQL must have the order by now.
func (w *offsetWorld) stored() bool { return w.rows > 0 || w.copies > 0 && !w.freshRecord }

// known is the moment of the test: what is fresh came after it.
var known = time.Date(2026, 1, 2, 5, 0, 0, 0, time.UTC)

func (w *offsetWorld) write(s *shelf, partition int32, offset int64) {
	s.Helper()
	exec := func(sql string, args ...any) {
		if _, err := s.conn.Exec(s.Context(), sql, args...); err != nil {
			s.Fatal(err)
		}
	}
	at := func(fresh bool) time.Time {
		if fresh {
			return known.Add(time.Second)
		}
		return known
	}
	key := fmt.Sprintf("mall:S:%d-%d", partition, offset)
	for n := range w.rows {
		var validatedAt *time.Time
		if w.validated {
			validatedAt = &known
		}
		exec(`insert into received (source, partition, "offset", order_key, revision, received_at, validated_at, end_state, updated_at)
			values ('mall', $1, $2, $3, $4, $5, $6, nullif($7, ''), $8)`,
			partition, offset, key, int64(order.NewRevision(1, offset))+int64(n)<<40, balanceHour, validatedAt, w.state, at(w.freshRow))
	}
	for service, so := range map[string]bool{"validate": w.refusedBy, "persist": w.excusedBy} {
		if so {
			exec(`insert into dead_letters (service, code, order_key, revision, origin_topic, origin_partition, origin_offset, first_failed_at, failed_at,
				dlq_topic, dlq_partition, dlq_offset, state, updated_at) values ($1, 'x', $2, $3, 't', $4, $5, $6, $6, 'd', 0, 0, 'open', $6)`,
				service, key, int64(order.NewRevision(1, offset)), partition, offset, known)
		}
	}
	lines := []store.LineAmounts{{No: 1, Amounts: [5]decimal.NullDecimal{decimal.NewNullDecimal(decimal.RequireFromString("1.500"))}}, {No: 12}}
	if w.total != "" {
		lines[0].Amounts[1] = decimal.NewNullDecimal(decimal.RequireFromString(w.total))
	}
	if w.copies > 0 {
		exec(`insert into balance_published (source, partition, "offset", copies, currency, total, seen_at, order_key, paid, list_price, lines, line_sum)
			values ('mall', $1, $2, $3, $4, nullif($5, '')::numeric, $6, $7, 1.500, 2000, $8, $9::numeric)`,
			partition, offset, w.copies, w.currency, w.total, at(w.freshRecord), key, len(lines), store.LineSum(lines).String())
	}
	if w.order == "none" || w.order == "" {
		return
	}
	step := map[string]int64{"older": -1, "newer": 1}[w.order]
	currency, quantity := w.currency, "1.50"
	if w.otherAmounts {
		currency = "EUR"
	}
	if w.otherLines {
		quantity = "1.51"
	}
	exec(`insert into orders (order_key, source, revision, validated, state, currency, total, paid, list_price, received_at, updated_at, version)
		values ($1, 'mall', $2, $3, 'validated', $4, nullif($5, '')::numeric, 1.5, 2000.00, $6, $6, 1)`,
		key, int64(order.NewRevision(1, offset))+step, w.order != "unvalidated", currency, w.total, balanceHour)
	exec(`insert into order_lines (order_key, line_no, line_id, product, name, quantity, unit_price)
		values ($1, 1, '', '', '', $2::numeric, nullif($3, '')::numeric), ($1, 12, '', '', '', null, null)`, key, quantity, w.total)
}

// Whatever rows and records there are, each offset is counted as its definition says, every received one exactly once, and
// each that is at fault is named.
func TestEveryOffsetIsCountedOnce(t *testing.T) {
	s := openShelf(t)
	rapid.Check(t, func(t *rapid.T) {
		if _, err := s.conn.Exec(s.Context(), `truncate received, dead_letters, balance_published, orders, order_lines cascade`); err != nil {
			t.Fatal(err)
		}
		h := store.BalanceHour{Source: order.Mall, Hour: balanceHour, State: store.HourOpen, Generation: 1}
		k := store.Known{Passed: map[int32]int64{}, StoredAt: known, SeenAt: known}
		var want store.Tally
		wantFaults := map[string]bool{}
		sums := map[string]int64{}
		for partition := range int32(rapid.IntRange(1, 3).Draw(t, "partitions")) {
			r := store.OffsetRange{Partition: partition, First: rapid.Int64Range(0, 5).Draw(t, "first")}
			r.End = r.First + rapid.Int64Range(0, 6).Draw(t, "length")
			k.Passed[partition] = rapid.Int64Range(0, 12).Draw(t, "passed")
			h.Ranges = append(h.Ranges, r)
			for offset := max(0, r.First-1); offset <= r.End; offset++ { // neighbours belong to other hours
				w := drawOffset(t)
				w.write(s, partition, offset)
				if offset < r.First || offset >= r.End {
					continue
				}
				for _, fault := range w.tally(&want, offset < k.Passed[partition]) {
					wantFaults[fmt.Sprint(partition, offset, fault)] = true
				}
				if w.copies > 0 {
					sums[w.currency]++
				}
			}
		}
		got, err := s.store.CountHours(s.Context(), order.Mall, 1, []store.BalanceHour{h}, k)
		if err != nil {
			t.Fatal(err)
		}
		tally := got[0]
		for _, sum := range tally.Sums {
			if sums[sum.Currency] != sum.Records {
				t.Fatalf("%d records in %s, wanted %d", sum.Records, sum.Currency, sums[sum.Currency])
			}
		}
		if len(tally.Sums) != len(sums) {
			t.Fatalf("sums %v, wanted %v", tally.Sums, sums)
		}
		tally.Sums = nil
		if fmt.Sprint(tally) != fmt.Sprint(want) {
			t.Fatalf("counted %+v\nwanted  %+v", tally, want)
		}
		if ends := tally.Delivered + tally.Persisted + tally.Duplicate + tally.Superseded + tally.Parked + tally.Discarded; ends+tally.Open+tally.Missing != tally.Received {
			t.Fatalf("%+v does not add up", tally)
		}
		named, err := s.store.NameOffsets(s.Context(), &h, k, 1000)
		if err != nil {
			t.Fatal(err)
		}
		var open int64
		for _, f := range named {
			place := fmt.Sprint(f.Partition, f.Offset, f.Fault)
			switch {
			case f.Fault == store.StillOpen:
				open++
			case !wantFaults[place]:
				t.Fatalf("%s is named, and not at fault", place)
			}
			delete(wantFaults, place)
		}
		if len(wantFaults) > 0 || open != tally.Open {
			t.Fatalf("not named: %v; %d of %d open ones named", wantFaults, open, tally.Open)
		}
	})
}

func TestSumsAreExact(t *testing.T) {
	s := openShelf(t)
	var records []store.Published
	for n := range int64(30) {
		records = append(records, store.Published{Source: order.Mall, Offset: n, Currency: "CNY", Total: "999999999999999999.00000001"})
	}
	if err := s.store.AddPublished(t.Context(), records, nil); err != nil {
		t.Fatal(err)
	}
	h := store.BalanceHour{Source: order.Mall, Hour: balanceHour, Generation: 1, Ranges: []store.OffsetRange{{First: 0, End: 30}}}
	got, err := s.store.CountHours(t.Context(), order.Mall, 1, []store.BalanceHour{h}, store.Known{})
	if err != nil || len(got[0].Sums) != 1 || got[0].Sums[0] != (store.Sum{Currency: "CNY", Records: 30, Total: "29999999999999999970.00000030"}) {
		t.Errorf("%+v %v", got, err)
	}
}

// A record counts once however often its reader dies: what it saw and how far it came stand and fall together.
func TestPublishedRecordsCountOnce(t *testing.T) {
	s := openShelf(t)
	add := func(from, to int64, offsets ...int64) error {
		var records []store.Published
		for _, offset := range offsets {
			records = append(records, store.Published{Source: order.Mall, Partition: 1, Offset: offset, Currency: "CNY", Total: "1.10"})
		}
		return s.store.AddPublished(t.Context(), records, map[int32]store.Stretch{4: {From: from, To: to}})
	}
	const sql = `select "offset", copies from balance_published order by "offset"`
	if err := add(0, 3, 7, 8); err != nil {
		t.Fatal(err)
	}
	if err := add(0, 3, 7, 8); !errors.Is(err, store.ErrProgress) {
		t.Errorf("the same once more: %v", err)
	}
	s.want(sql, "7 1", "8 1")
	if err := add(3, 9, 8, 9, 9); err != nil {
		t.Fatal(err)
	}
	s.want(sql, "7 1", "8 2", "9 2")
	progress, err := s.store.PublishedProgress(t.Context())
	if err != nil || len(progress) != 1 || progress[4] != 9 {
		t.Errorf("%v %v", progress, err)
	}
}

func TestOnlyOneBalances(t *testing.T) {
	s, _ := open(t)
	first, err := s.HoldBalance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.HoldBalance(t.Context()); !errors.Is(err, store.ErrHeld) {
		t.Errorf("the second holder: %v", err)
	}
	if err := first.Check(t.Context()); err != nil {
		t.Error(err)
	}
	first.Release()
	second, err := s.HoldBalance(t.Context())
	if err != nil {
		t.Fatalf("after the first one ended: %v", err)
	}
	second.Release()
}

func TestFrozenRangesStay(t *testing.T) {
	s := openShelf(t)
	h := store.BalanceHour{Source: order.Mall, Hour: balanceHour, Generation: 1, State: store.HourOpen, Ranges: []store.OffsetRange{{First: 0, End: 5}, {Partition: 1, First: 2, End: 2}}}
	save := func(state store.HourState, end int64) {
		h.State, h.Ranges[0].End = state, end
		if err := s.store.SaveRanges(t.Context(), []store.BalanceHour{h}); err != nil {
			t.Fatal(err)
		}
	}
	save(store.HourOpen, 5)
	save(store.HourOpen, 6)
	save(store.HourFrozen, 7)
	save(store.HourOpen, 8)
	s.want(`select state, first_offset, end_offset from balance_hours join balance_ranges using (source, hour) order by partition`, "frozen 0 7", "frozen 2 2")
}

func TestStrayRows(t *testing.T) {
	s := openShelf(t)
	for _, w := range []struct {
		partition int32
		offset    int64
		fresh     bool
	}{{0, 4, false}, {0, 5, false}, {1, 9, true}, {7, 1, false}} {
		world := offsetWorld{rows: 1, state: "parked", freshRow: w.fresh}
		world.write(s, w.partition, w.offset)
	}
	stray, err := s.store.StrayRows(t.Context(), order.Mall, 1, map[int32]int64{0: 5, 1: 9}, known, 10)
	if err != nil || len(stray) != 1 || len(stray[balanceHour]) != 2 || stray[balanceHour][0].Offset != 5 || stray[balanceHour][1].Partition != 7 {
		t.Errorf("%+v %v", stray, err)
	}
}

// A report is planned before it is sent and noted after it was: a crash in between changes neither revision nor content.
func TestReportsAreNumberedOnce(t *testing.T) {
	s := openShelf(t)
	h := store.BalanceHour{Source: order.Mall, Hour: balanceHour, Generation: 1, State: store.HourOpen}
	if err := s.store.SaveRanges(t.Context(), []store.BalanceHour{h}); err != nil {
		t.Fatal(err)
	}
	plan := func(revision int, content string) bool {
		ok, err := s.store.PlanReport(t.Context(), order.Mall, balanceHour, revision, []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !plan(1, "a") || plan(1, "b") || plan(2, "c") {
		t.Error("only the first plan of revision 1 may stand")
	}
	for range 2 {
		if err := s.store.ReportSent(t.Context(), order.Mall, balanceHour, 1, []byte("digest"), true, known); err != nil {
			t.Fatal(err)
		}
	}
	s.want(`select revision, complete, pending is null, convert_from(told, 'UTF8') from balance_hours`, "1 true true digest")
	if plan(1, "d") || !plan(2, "e") {
		t.Error("the next plan is that of revision 2")
	}
	hours, err := s.store.BalanceHours(t.Context(), order.Mall, balanceHour)
	if err != nil || len(hours) != 1 || string(hours[0].Pending) != "e" || hours[0].Revision != 1 {
		t.Errorf("%+v %v", hours, err)
	}
}

// What a count costs must not grow with the table.
func TestCountingReadsOnlyTheHour(t *testing.T) {
	s := openShelf(t)
	sql := `insert into received (source, partition, "offset", order_key, revision, received_at, end_state, updated_at)
		select 'mall', n % 6, n / 6, 'mall:S:' || n, (1::bigint << 48) + n / 6, now(), 'delivered', now() from generate_series(0, 60000) n`
	orders := `insert into orders (order_key, source, revision, validated, state, received_at, updated_at, version) select order_key, source, revision, true, end_state,
		received_at - ("offset" || ' minutes')::interval, now(), 1 from received`
	lines := `insert into order_lines (order_key, line_no, line_id, product, name) select order_key, n, '', '', '' from orders, generate_series(1, 3) n`
	for _, statement := range []string{
		sql, orders, lines, `insert into balance_published (source, partition, "offset", copies, order_key, lines, line_sum) select source, partition, "offset", 1, order_key, 3, 0 from received`,
		`insert into dead_letters (service, code, order_key, revision, origin_topic, origin_partition, origin_offset, first_failed_at, failed_at, dlq_topic, dlq_partition,
			dlq_offset, state, updated_at) select 'persist', 'x', 'mall:S:' || n, n, 't', 0, n, now(), now(), 'd', 0, 0, 'open', now() from generate_series(0, 20000) n`, `analyze`,
	} {
		if _, err := s.conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	h := store.BalanceHour{Source: order.Mall, Hour: balanceHour, Generation: 1}
	for partition := range int32(6) {
		h.Ranges = append(h.Ranges, store.OffsetRange{Partition: partition, First: 500, End: 520})
	}
	s.wantNoScan(t, func(b *store.Store) error {
		if _, err := b.CountHours(t.Context(), order.Mall, 1, []store.BalanceHour{h}, store.Known{}); err != nil {
			return err
		}
		if _, err := b.StrayRows(t.Context(), order.Mall, 1, map[int32]int64{0: 99_999, 1: 99_999, 2: 99_999, 3: 99_999, 4: 99_999, 5: 99_999}, time.Now(), 10); err != nil {
			return err
		}
		if _, err := b.StrayOrders(t.Context(), order.Mall, 1, []time.Time{time.Now().Add(-5 * time.Hour)}, []int32{0, 1, 2, 3, 4, 5}, 10); err != nil {
			return err
		}
		_, err := b.NameOffsets(t.Context(), &h, store.Known{}, 10)
		return err
	})
}

func TestBalanceIsListedNewestFirst(t *testing.T) {
	s := openShelf(t)
	for n := range 5 {
		for _, source := range order.Sources {
			h := store.BalanceHour{Source: source, Hour: balanceHour.Add(time.Duration(n) * time.Hour), Generation: 1, Ranges: []store.OffsetRange{{First: 0, End: 1}}}
			if err := s.store.SaveRanges(t.Context(), []store.BalanceHour{h}); err != nil {
				t.Fatal(err)
			}
			h.State, h.Tally.Received, h.Tally.Faults = store.HourOpen, 1, 1
			if err := s.store.SaveTally(t.Context(), &h, []store.FaultyOffset{{Offset: 0, Fault: store.NoRow, OrderKey: "k"}, {Offset: 0, Fault: store.StillOpen}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var seen []string
	for cursor := ""; ; {
		views, next, err := s.store.Balance(t.Context(), store.BalanceFilter{From: balanceHour.Add(time.Hour), To: balanceHour.Add(4 * time.Hour)}, cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			seen = append(seen, fmt.Sprint(v.Hour.Hour(), v.Source))
			if len(v.Faults) != 2 || v.Faults[0].OrderKey != "k" || v.Faults[1].Fault != store.StillOpen || v.Tally.Received != 1 {
				t.Errorf("%+v", v)
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	if got := fmt.Sprint(seen); got != "[6procurement 6mall 6icbu 5procurement 5mall 5icbu 4procurement 4mall 4icbu]" {
		t.Error(got)
	}
	one, _, err := s.store.Balance(t.Context(), store.BalanceFilter{Source: order.ICBU}, "", 10)
	if err != nil || len(one) != 5 {
		t.Errorf("%d of one source, %v", len(one), err)
	}
	for _, f := range []func() error{
		func() error {
			_, _, err := s.store.Balance(t.Context(), store.BalanceFilter{Source: "x"}, "", 1)
			return err
		},
		func() error {
			_, _, err := s.store.Balance(t.Context(), store.BalanceFilter{}, "nonsense", 1)
			return err
		},
	} {
		if err := f(); !errors.Is(err, store.ErrFilter) {
			t.Error(err)
		}
	}
}
