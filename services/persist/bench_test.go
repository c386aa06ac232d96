package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// BenchmarkKeep measures what persist does from bytes to the committed transaction, as the loop drives it: batches of
// maxBatch, inFlight at once. One order is one validated document with its lines; "delivered" adds its delivery, which
// comes in a later batch.
func BenchmarkKeep(b *testing.B) {
	for _, from := range []order.Source{order.Procurement, order.Mall} {
		b.Run(string(from), func(b *testing.B) {
			k := freshBench(b)
			body := example(b, string(from)+"/good-seed.json")
			template := validated(b, from, body, 1)
			b.SetBytes(int64(len(template.Value)))
			batches := make([][2][]event.Message, (b.N+maxBatch-1)/maxBatch)
			for i := range b.N {
				m := copyOf(b, template, int64(i+1))
				pair := &batches[i/maxBatch]
				pair[0] = append(pair[0], m)
				if from == order.Mall {
					pair[1] = append(pair[1], delivered(b, "mallupload", m, event.Delivered, "450.00"))
				}
			}
			var next sync.Mutex
			b.ResetTimer()
			var workers sync.WaitGroup
			for range inFlight {
				workers.Go(func() {
					for {
						next.Lock()
						if len(batches) == 0 {
							next.Unlock()
							return
						}
						pair := batches[0]
						batches = batches[1:]
						next.Unlock()
						for _, batch := range pair {
							for _, r := range k.handle(b.Context(), batch) {
								if r.Err != nil {
									b.Error(r.Err)
								}
							}
						}
					}
				})
			}
			workers.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
		})
	}
}

// copyOf is the message of another order with the same content but for its number.
func copyOf(b *testing.B, m event.Message, n int64) event.Message {
	meta, err := m.Meta()
	if err != nil {
		b.Fatal(err)
	}
	i := strings.LastIndexByte(m.Key, ':')
	number := fmt.Sprintf("N%09d", n)
	meta.OrderKey = order.Key(m.Key[:i+1] + number)
	meta.Revision, meta.ReceivedOffset = order.NewRevision(1, n), n
	value := []byte(strings.Replace(string(m.Value), m.Key[i+1:], number, 1))
	c := event.New(m.Topic, "validate", meta, receivedAt, "application/json", value)
	c.Timestamp = m.Timestamp
	return c
}
