package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"orderflow/pkg/event"
)

// batchCalls remembers the calls of a batch handler, by the shop that the key begins with.
type batchCalls struct {
	mu    sync.Mutex
	calls map[string][][]string
}

// shops are orders of two shops, "icbu:A..." and "icbu:B...".
func shops(n int) (in []event.Message) {
	for i := range n {
		for _, shop := range []string{"A", "B"} {
			in = append(in, event.Message{Topic: mainTopic, Key: "icbu:" + shop + string(rune('a'+i)), Value: []byte("0")})
		}
	}
	return in
}

// callsOf turns a worker into one that calls fails for each batch, and takes it where that gives no error.
func callsOf(b *bubble, fails func(shop string, call int, keys []string) error) *batchCalls {
	seen := &batchCalls{calls: map[string][][]string{}}
	b.worker.MaxBatch, b.worker.Linger = 100, 100*time.Millisecond
	b.worker.GroupBy = func(m event.Message) string { return m.Key[5:6] }
	b.worker.Handle = func(_ context.Context, in []event.Message) []Result {
		keys := make([]string, len(in))
		for i := range in {
			keys[i] = in[i].Key[5:]
		}
		slices.Sort(keys)
		shop := keys[0][:1]
		seen.mu.Lock()
		seen.calls[shop] = append(seen.calls[shop], keys)
		call := len(seen.calls[shop])
		seen.mu.Unlock()
		err := fails(shop, call, keys)
		results := make([]Result, len(in))
		for i := range in {
			if results[i].Err = err; err == nil {
				results[i] = b.done(in[i])
			}
		}
		return results
	}
	return seen
}

func (s *batchCalls) of(shop string) [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[shop]
}

// The partner may have taken a batch whose outcome nobody knows: only the identical one tells. New orders of its shop do
// not join it.
func TestBatchThatFailedAsAWholeIsTriedAgainAsItWas(t *testing.T) {
	var seen *batchCalls
	inBubble(t, nil, func(b *bubble) Handler {
		seen = callsOf(b, func(shop string, call int, _ []string) error {
			if shop == "A" && call <= 3 {
				return errors.New("500")
			}
			return nil
		})
		return nil
	}, func(b *bubble) {
		b.settle()
		b.send(shops(20)...)
		b.sleep(300 * time.Millisecond)
		b.send(event.Message{Topic: mainTopic, Key: "icbu:Anew", Value: []byte("0")})
		b.sleep(time.Minute)
		if b.count() != 41 || len(b.letters()) > 0 {
			t.Errorf("%d effects, letters %v", b.count(), b.letters())
		}
		first := seen.of("A")[0]
		if len(first) != 20 {
			t.Fatalf("the first batch has %d orders", len(first))
		}
		for _, keys := range seen.of("A") {
			if len(keys) > 1 && len(keys) != 10 && !slices.Equal(keys, first) {
				t.Errorf("a batch of %s", strings.Join(keys, " "))
			}
		}
	})
}

// An order that makes every batch fail which holds it is found, and only it is given up, however few attempts are allowed.
func TestCulpritOfABatchIsFoundByHalving(t *testing.T) {
	var seen *batchCalls
	inBubble(t, nil, func(b *bubble) Handler {
		b.worker.Settings.MaxAttempts = 2
		seen = callsOf(b, func(_ string, _ int, keys []string) error {
			if slices.Contains(keys, "Ak") {
				return errors.New("500")
			}
			return nil
		})
		return nil
	}, func(b *bubble) {
		b.settle()
		b.send(shops(26)...)
		for range 100 { // others go on being taken, which is what speaks against the culprit
			b.send(event.Message{Topic: mainTopic, Key: "icbu:Bz", Value: []byte("0")})
			b.sleep(5 * time.Second)
		}
		if got := b.letters(); !slices.Equal(got, []string{string(RetriesExhausted)}) {
			t.Errorf("letters %v", got)
		}
		if got := b.count(); got != 51+100 {
			t.Errorf("%d effects", got)
		}
		alone := func(keys []string) bool { return slices.Equal(keys, []string{"Ak"}) }
		// Each of 26, 13, 7, 4 and 2 orders twice, for the others' answer may come just after the failure; the culprit alone; and
		// the five halves without it.
		if calls := seen.of("A"); len(calls) > 16 || !slices.ContainsFunc(calls, alone) {
			t.Errorf("calls for the shop of the culprit: %v", calls)
		}
	})
}
