package store_test

import (
	"testing"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// A day of 230,400 orders, counted as every check does. The rows are those of one busy source.
func BenchmarkCountDay(b *testing.B) {
	const offsets, partitions, hours = 230_400, 6, 24
	s := openShelf(b)
	for _, sql := range []string{
		`insert into received (source, partition, "offset", order_key, revision, received_at, validated_at, content, outcome, end_state, updated_at)
			select 'mall', n % 6, n / 6, 'mall:HQS0001:R' || n, (1::bigint << 48) + n / 6, now(), now(), 'new', 'delivered', 'delivered', now() - interval '1 hour'
			from generate_series(0, 230399) n`,
		`insert into balance_published (source, partition, "offset", copies, currency, total) select source, partition, "offset", 1, 'CNY', 10.05 from received`,
		`vacuum analyze`,
	} {
		if _, err := s.conn.Exec(b.Context(), sql); err != nil {
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
	for b.Loop() {
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
