package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// A day of 230,400 orders of three lines each, counted as every check does. The rows are those of one busy source.
func BenchmarkCountDay(b *testing.B) {
	const offsets, partitions, hours = 230_400, 6, 24
	s := openShelf(b)
	price := decimal.NewNullDecimal(decimal.RequireFromString("3.35"))
	var line []store.LineAmounts
	for n := range 3 {
		line = append(line, store.LineAmounts{No: n + 1, Amounts: [5]decimal.NullDecimal{decimal.NewNullDecimal(decimal.NewFromInt(1)), price, {}, {}, price}})
	}
	for _, sql := range []string{
		`insert into received (source, partition, "offset", order_key, revision, received_at, validated_at, content, outcome, end_state, updated_at)
			select 'mall', n % 6, n / 6, 'mall:HQS0001:R' || n, (1::bigint << 48) + n / 6, now(), now(), 'new', 'delivered', 'delivered', now() - interval '1 hour'
			from generate_series(0, 230399) n`,
		`insert into orders (order_key, source, revision, validated, state, currency, total, received_at, updated_at, version)
			select order_key, source, revision, true, end_state, 'CNY', 10.05, $1::timestamptz + "offset" / 1600 * interval '1 hour', now(), 1 from received`,
		`insert into order_lines (order_key, line_no, line_id, product, name, quantity, unit_price, amount)
			select order_key, n, '', '', '', 1, 3.35, 3.35 from orders, generate_series(1, 3) n`,
		`insert into balance_published (source, partition, "offset", copies, currency, total, order_key, lines, line_sum)
			select source, partition, "offset", 1, 'CNY', 10.05, order_key, 3, ` + store.LineSum(line).String() + ` from received`,
		`vacuum analyze`,
	} {
		var args []any
		if strings.Contains(sql, "$1") {
			args = append(args, balanceHour)
		}
		if _, err := s.conn.Exec(b.Context(), sql, args...); err != nil {
			b.Fatal(err)
		}
	}
	var day []store.BalanceHour
	passed := map[int32]int64{}
	for n := range int64(hours) {
		h := store.BalanceHour{Source: order.Mall, Generation: 1, Hour: balanceHour.Add(time.Duration(n) * time.Hour)}
		const each = offsets / partitions / hours
		for partition := range int32(partitions) {
			h.Ranges = append(h.Ranges, store.OffsetRange{Partition: partition, First: n * each, End: (n + 1) * each})
			passed[partition] = offsets
		}
		day = append(day, h)
	}
	var starts []time.Time
	for i := range day {
		starts = append(starts, day[i].Hour)
	}
	for b.Loop() {
		stray, err := s.store.StrayOrders(b.Context(), order.Mall, 1, starts, []int32{0, 1, 2, 3, 4, 5}, 100)
		if err != nil || len(stray) > 0 {
			b.Fatal(len(stray), err)
		}
		now := time.Now()
		tallies, err := s.store.CountHours(b.Context(), order.Mall, 1, day, store.Known{Passed: passed, StoredAt: now, SeenAt: now})
		if err != nil {
			b.Fatal(err)
		}
		for _, t := range tallies {
			if t.Delivered != offsets/hours || t.Faults != 0 {
				b.Fatalf("%+v", t)
			}
		}
	}
	b.ReportMetric(float64(offsets)*float64(b.N)/b.Elapsed().Seconds(), "offsets/s")
}
