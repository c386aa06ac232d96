package store_test

import (
	"fmt"
	"testing"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// BenchmarkLedger claims and settles batches of new orders, one after the other.
func BenchmarkLedger(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			k := openBook(b)
			intents, settlements := make([]store.Intent, size), make([]store.Settlement, size)
			for n := 0; b.Loop(); n++ {
				for i := range intents {
					number := order.Key(fmt.Sprintf("mall:S1:%d", n*size+i))
					intents[i] = store.Intent{OrderKey: number, Revision: 1, Digest: "hmac.A", Plain: "A", Total: "450.00"}
				}
				grants, err := k.a.Claim(b.Context(), intents)
				if err != nil {
					b.Fatal(err)
				}
				for i, grant := range grants {
					settlements[i] = store.Settlement{OrderKey: intents[i].OrderKey, Revision: 1, Attempt: grant.Attempt, Ending: store.Delivered}
				}
				if _, err := k.a.Settle(b.Context(), settlements); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "orders/s")
		})
	}
}
