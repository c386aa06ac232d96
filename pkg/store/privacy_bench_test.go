package store_test

import (
	"fmt"
	"strings"
	"testing"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// BenchmarkRotate measures how fast orders with payloads of 2.8 KB are sealed anew; one operation is one order.
func BenchmarkRotate(b *testing.B) {
	s := openShelf(b)
	document := []byte(`{"content":"` + strings.Repeat("x", 2800) + `"}`)
	const batch = 500
	for n := 0; n < b.N; n += batch {
		var facts []store.Fact
		for i := n; i < min(n+batch, b.N); i++ {
			f := validated(order.Key(fmt.Sprintf("icbu:B%07d", i)), int64(i+1), "a")
			f.Validated.Document = document
			facts = append(facts, f)
		}
		s.apply(facts...)
	}
	both, _, _ := rotatedKeys(b)
	b.ResetTimer()
	done, err := (&store.Rotation{Store: s.store, Keys: both}).Run(b.Context())
	if err != nil || done.Rows != b.N {
		b.Fatalf("%+v %v", done, err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}
