package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// history draws what may happen to one order: the facts of the validated topic in their order, and all others, which have
// none. What a replay does to one topic may come after anything else.
func history(t *rapid.T, key order.Key) (passed, others []store.Fact) {
	var replayed []store.Fact
	for n := range int64(rapid.IntRange(1, 4).Draw(t, "pushes")) {
		n++
		digest := rapid.SampledFrom([]string{"a", "a", "bb"}).Draw(t, "digest")
		switch rapid.SampledFrom([]string{"passed", "passed", "refused", "refused twice", "passed at last"}).Draw(t, "validation") {
		case "refused":
			others = append(others, refused(key, n, digest, 0))
			continue
		case "refused twice":
			others = append(others, refused(key, n, digest, 0), refused(key, n, digest, 1))
			continue
		case "passed at last":
			others = append(others, refused(key, n, digest, 0))
			fixed := validated(key, n, digest)
			fixed.Meta.ReplayJob = "1"
			replayed = append(replayed, fixed)
		default:
			passed = append(passed, validated(key, n, digest))
		}
		if key.Source() == order.Procurement {
			continue
		}
		for replay := range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "rejections") {
			others = append(others, rejected(key, n, digest, replay))
		}
		for _, outcome := range rapid.SampledFrom([][]event.Outcome{nil, nil, {event.Delivered}, {event.Duplicate}, {event.Superseded, event.Delivered}}).Draw(t, "outcomes") {
			others = append(others, delivery(key, n, digest, outcome))
		}
	}
	for _, f := range replayed { // it passes at any time, maybe after newer ones
		passed = slices.Insert(passed, rapid.IntRange(0, len(passed)).Draw(t, "at"), f)
	}
	return passed, others
}

// interleave draws an order of arrival in which some facts come again.
func interleave(t *rapid.T, passed, others []store.Fact) []store.Fact {
	arrived := slices.Clone(others)
	for _, f := range others {
		if rapid.IntRange(0, 3).Draw(t, "again") == 0 {
			arrived = append(arrived, f)
		}
	}
	arrived = rapid.Permutation(arrived).Draw(t, "others")
	if n := len(passed); n > 0 && rapid.Bool().Draw(t, "redelivered") {
		passed = slices.Concat(passed, passed[rapid.IntRange(0, n-1).Draw(t, "from"):])
	}
	at := 0
	for _, f := range passed {
		at = rapid.IntRange(at, len(arrived)).Draw(t, "at")
		arrived = slices.Insert(arrived, at, f)
		at++
	}
	return arrived
}

// dump is all that is stored about an order, as text that does not name the order.
func (s *shelf) dump(key order.Key) string {
	all := s.rows(`select 'order', revision, validated, state, order_no, array_remove(numbers, split_part(order_key, ':', 2)), total::text, currency, delivered_revision, delivered_total::text,
		delivered_digest, content_digest, content_revision, document_revision, received_at from orders where order_key = $1`, key)
	all = append(all, s.rows(`select 'line', line_no, name from order_lines where order_key = $1 order by line_no`, key)...)
	all = append(all, s.rows(`select 'received', revision, push_id, content_digest, received_at, validated_at, content, content_other, outcome,
		outcome_other, outcome_at, end_state from received where order_key = $1 order by revision`, key)...)
	all = append(all, s.rows(`select 'event', revision, step, dedupe, at, service, code, detail from order_events where order_key = $1
		order by revision, step, dedupe`, key)...)
	all = append(all, s.rows(`select 'letter', service, revision, code, failed_replays, first_failed_at, failed_at, dlq_offset, state from dead_letters
		where order_key = $1 order by service, revision`, key)...)
	if document, err := s.store.Document(s.Context(), s.keys, key); err == nil {
		all = append(all, string(document))
	}
	return strings.Join(all, "\n")
}

// The order in which facts of different topics arrive, how they are cut into batches, and what is delivered again do not
// show in the final rows.
func TestArrivalDoesNotShow(t *testing.T) {
	s := openShelf(t)
	count := 0
	rapid.Check(t, func(t *rapid.T) {
		count++
		source := rapid.SampledFrom(order.Sources).Draw(t, "source")
		partition := int32(count)
		var dumps [2]string
		passed, others := history(t, order.Key(source+":template"))
		for i := range dumps {
			key := order.Key(fmt.Sprintf("%s:%d-%d", source, count, i))
			arrival := slices.Concat(passed, others)
			if i > 0 {
				arrival = interleave(t, passed, others)
			}
			for len(arrival) > 0 {
				n := 1
				if i > 0 {
					n = rapid.IntRange(1, len(arrival)).Draw(t, "batch")
				}
				batch := make([]store.Fact, n)
				for j, f := range arrival[:n] {
					batch[j] = moveTo(f, key, partition*2+int32(i))
				}
				for _, err := range s.Apply(s.Context(), batch) {
					if err != nil {
						t.Fatal(err)
					}
				}
				arrival = arrival[n:]
			}
			dumps[i] = s.dump(key)
		}
		if dumps[0] != dumps[1] {
			t.Fatalf("topic by topic:\n%s\n\nas they came:\n%s", dumps[0], dumps[1])
		}
	})
	s.want(`select count(*) from received where end_state is null and outcome is not null`, "0")
	s.want(`select count(*) from received where end_state is null and validated_at is null`, "0")
	s.want(`select count(*) from received where end_state is null and source = 'procurement'`, "0")
}

// moveTo gives a fact to another order.
func moveTo(f store.Fact, key order.Key, partition int32) store.Fact {
	f.Meta.OrderKey, f.Meta.ReceivedPartition = key, partition
	if f.Letter != nil {
		l := *f.Letter
		l.Origin.Partition = partition
		f.Letter = &l
	}
	return f
}

// Two processes that write the same orders at once lose nothing.
func TestTwoWritersAtOnce(t *testing.T) {
	s := openShelf(t)
	var wg sync.WaitGroup
	const orders, rounds = 20, 6
	for writer := range 2 {
		wg.Go(func() {
			for n := range int64(rounds) {
				var facts []store.Fact
				for k := range int64(orders) {
					key := order.Key(fmt.Sprint("icbu:", k))
					offset := k*rounds + n + 1
					if writer == 0 {
						facts = append(facts, validated(key, offset, fmt.Sprint("d", n)))
					} else {
						facts = append(facts, delivery(key, offset, fmt.Sprint("d", n), event.Delivered))
					}
				}
				for _, err := range s.Apply(t.Context(), facts) {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	s.want(`select state, count(*) from orders where revision = delivered_revision group by state`, fmt.Sprint("delivered ", orders))
	s.want(`select end_state, count(*) from received group by end_state`, fmt.Sprint("delivered ", orders*rounds))
}
