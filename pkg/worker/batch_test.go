package worker

import (
	"fmt"
	"testing"
	"time"

	"orderflow/pkg/event"
)

// A record in backoff would hold a partition up for long: its gap stays open, and what lies behind it is let go.
func TestGivingAwayDoesNotWaitForABackoff(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := newSchedule(limits{ready: 100, gap: 100, poll: 1, records: 100, bytes: 1 << 20}, 1, 0, nil)
	at := place{"main", 0}
	s.assign(at)
	p := s.partitions[at]
	for i, key := range []string{"slow", "ready", "waits", "done"} {
		s.add(p, &record{message: event.Message{Key: key, Offset: int64(i)}, key: key}, now)
	}
	started := map[string]*record{}
	for range 4 {
		r := s.probe()[0]
		started[r.key] = r
	}
	s.retry(started["ready"], now, now)
	s.retry(started["waits"], now.Add(time.Minute), now)
	s.finish(started["done"], now)
	s.revoke(at, now)
	if p.live != 1 || p.running != 1 || s.wake() != (time.Time{}) {
		t.Errorf("%d records left, %d of them running, wake at %v", p.live, p.running, s.wake())
	}
	s.finish(started["slow"], now)
	if last, dirty := s.remove(at, now); !dirty || last.offset != 1 || len(s.lanes) != 0 {
		t.Errorf("committed up to %d, %d lanes left", last.offset, len(s.lanes))
	}
}

func TestBatchLeavesWhenFullOrAfterTheLinger(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := newSchedule(limits{ready: 100, gap: 100, poll: 1, records: 100, bytes: 1 << 20}, 3, time.Second,
		func(m event.Message) string { return m.Key[:1] })
	at := place{"main", 0}
	s.assign(at)
	add := func(key string) {
		s.add(s.partitions[at], &record{message: event.Message{Key: key}, key: key}, now)
	}
	keys := func(batch []*record) (all string) {
		for _, r := range batch {
			all += fmt.Sprint(r.key, " ")
		}
		return all
	}
	add("a1")
	add("b1")
	add("a2")
	add("a1")
	if got := s.next(now); got != nil {
		t.Errorf("sent %s before the linger", keys(got))
	}
	add("a3")
	if got := keys(s.next(now)); got != "a1 a2 a3 " {
		t.Errorf("full batch is %q", got)
	}
	if wake := s.wake(); !wake.Equal(now.Add(time.Second)) {
		t.Errorf("wakes at %v", wake)
	}
	if got := keys(s.next(now.Add(time.Second))); got != "b1 " {
		t.Errorf("after the linger came %q", got)
	}
}

func TestProbesRotate(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := newSchedule(limits{ready: 100, gap: 100, poll: 1, records: 100, bytes: 1 << 20}, 1, 0, nil)
	at := place{"main", 0}
	s.assign(at)
	for i := range 5 {
		key := fmt.Sprint(i)
		s.add(s.partitions[at], &record{message: event.Message{Key: key, Offset: int64(i)}, key: key}, now)
	}
	seen := map[string]int{}
	for range 15 {
		r := s.probe()[0]
		seen[r.key]++
		s.retry(r, now.Add(time.Minute), now)
	}
	for key, count := range seen {
		if count != 3 || len(seen) != 5 {
			t.Errorf("key %s was probed %d times of 15, among %d keys", key, count, len(seen))
		}
	}
}
