package worker

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/event"
)

// board drives a schedule at random and knows, independently of it, what was read, tried, finished and committed.
type board struct {
	s         *schedule
	now       time.Time
	log       map[place][]event.Message // what lies in the topics
	read      map[place]int64           // next offset to read, of assigned partitions
	finished  map[place]map[int64]bool  // by the present assignment
	committed map[place]int64
	running   []*record
	arrival   map[*record]int
	lastTried map[string]int // per key: arrival of the newest record tried
	paused    map[place]bool
}

var boardPlaces = []place{{"main", 0}, {"main", 1}, {"replay", 0}}

func newBoard(t *rapid.T) *board {
	b := &board{
		now: time.Unix(1e9, 0), log: map[place][]event.Message{}, read: map[place]int64{}, finished: map[place]map[int64]bool{},
		committed: map[place]int64{}, arrival: map[*record]int{}, lastTried: map[string]int{}, paused: map[place]bool{},
	}
	gap := rapid.IntRange(1, 30).Draw(t, "gap")
	limits := limits{ready: 100, gap: gap, poll: max(1, gap/2), records: 20, bytes: 1000}
	var groupBy func(event.Message) string
	if rapid.Bool().Draw(t, "grouped") {
		groupBy = func(m event.Message) string { return m.Key[:1] }
	}
	linger := time.Duration(rapid.IntRange(0, 3).Draw(t, "linger")) * time.Second
	b.s = newSchedule(limits, rapid.IntRange(1, 5).Draw(t, "batch"), linger, groupBy)
	for _, at := range boardPlaces {
		b.assign(at)
	}
	return b
}

func (b *board) assign(at place) {
	b.s.assign(at)
	b.read[at], b.finished[at], b.paused[at] = b.committed[at], map[int64]bool{}, false
}

// poll reads up to a poll's worth of records, first those that lie in the topic already.
func (b *board) poll(t *rapid.T) {
	at := rapid.SampledFrom(boardPlaces).Draw(t, "partition")
	if p := b.s.partitions[at]; p == nil || p.revoking || b.paused[at] {
		return
	}
	for range rapid.IntRange(1, b.s.limits.poll).Draw(t, "records") {
		offset := b.read[at]
		if int(offset) == len(b.log[at]) {
			key := rapid.SampledFrom([]string{"a1", "a2", "a3", "b1", "b2", "c1"}).Draw(t, "key")
			b.log[at] = append(b.log[at], event.Message{Topic: at.topic, Partition: at.partition, Offset: offset, Key: key})
		}
		r := &record{message: b.log[at][offset], key: b.log[at][offset].Key, size: rapid.IntRange(0, 90).Draw(t, "size")}
		if at.topic != "replay" {
			r.source = r.key[:1]
		}
		b.arrival[r] = len(b.arrival)
		b.s.add(b.s.partitions[at], r, b.now)
		b.read[at]++
	}
	b.throttle()
}

func (b *board) throttle() {
	pause, resume := b.s.throttle()
	for _, at := range pause {
		b.paused[at] = true
	}
	for _, at := range resume {
		b.paused[at] = false
	}
}

func (b *board) take(t *rapid.T) { b.started(t, b.s.next(b.now)) }

func (b *board) probe(t *rapid.T) {
	batch := b.s.probe()
	if len(batch) > 1 {
		t.Fatalf("a probe of %d records", len(batch))
	}
	b.started(t, batch)
}

func (b *board) started(t *rapid.T, batch []*record) {
	if len(batch) > b.s.maxBatch {
		t.Fatalf("a batch of %d, at most %d allowed", len(batch), b.s.maxBatch)
	}
	for i, r := range batch {
		if slices.ContainsFunc(b.running, func(o *record) bool { return o.key == r.key }) {
			t.Fatalf("two records of key %s run at once", r.key)
		}
		b.running = append(b.running, r)
		if b.arrival[r] < b.lastTried[r.key] {
			t.Fatalf("key %s: record %d tried after %d", r.key, b.arrival[r], b.lastTried[r.key])
		}
		b.lastTried[r.key] = b.arrival[r]
		if b.s.groupBy != nil && len(batch) > 1 && r.key[:1] != batch[0].key[:1] {
			t.Fatalf("keys %s and %s share a batch", batch[0].key, r.key)
		}
		if r.cohort != batch[0].cohort {
			t.Fatalf("record %d of a batch of %d is of another cohort", i, len(batch))
		}
		for _, o := range r.part.queue {
			if o.key == r.key && o.message.Offset < r.message.Offset && !o.done {
				t.Fatalf("key %s: offset %d started before %d is done", r.key, r.message.Offset, o.message.Offset)
			}
		}
		if r.part.gone || r.dropped {
			t.Fatalf("started a record of a partition that was given away")
		}
	}
}

// end ends one running record: done, or another try.
func (b *board) end(t *rapid.T) {
	if len(b.running) == 0 {
		return
	}
	i := rapid.IntRange(0, len(b.running)-1).Draw(t, "which")
	r := b.running[i]
	b.running = slices.Delete(b.running, i, i+1)
	if rapid.Bool().Draw(t, "retry") {
		if rapid.Bool().Draw(t, "bind") {
			b.s.cohorts++
			r.cohort = b.s.cohorts
		}
		b.s.retry(r, b.now.Add(time.Duration(rapid.IntRange(-1, 5).Draw(t, "wait"))*time.Second), b.now)
		return
	}
	b.finish(r)
}

func (b *board) finish(r *record) {
	at, offset := r.part.place, r.message.Offset
	if b.s.partitions[at] == r.part {
		b.finished[at][offset] = true
	}
	b.s.finish(r, b.now)
	b.throttle()
}

func (b *board) commit(*rapid.T) {
	offsets := b.s.uncommitted()
	for at, p := range offsets {
		b.committed[at] = p.offset
	}
	b.s.committed(offsets)
}

func (b *board) giveAway(t *rapid.T) {
	at := rapid.SampledFrom(boardPlaces).Draw(t, "partition")
	p := b.s.partitions[at]
	switch {
	case p == nil:
		b.assign(at)
	case !p.revoking:
		b.s.revoke(at, b.now)
	default:
		if last, dirty := b.s.remove(at, b.now); dirty {
			b.committed[at] = last.offset
		}
	}
}

func (b *board) check(t *rapid.T) {
	queued := 0
	for at, p := range b.s.partitions {
		want := b.committed[at]
		for b.finished[at][want] {
			want++
		}
		if got := p.progress.offset; got != want && (got != -1 || want != b.committed[at]) {
			t.Fatalf("%v: may be committed up to %d, the finished prefix ends at %d", at, got, want)
		}
		if len(p.queue) > b.s.limits.gap {
			t.Fatalf("%v: %d records tracked, at most %d allowed", at, len(p.queue), b.s.limits.gap)
		}
	}
	idle, running := 0, 0
	live := map[*partition]int{}
	for key, l := range b.s.lanes {
		queued += len(l.queue)
		for _, r := range l.queue {
			if !r.dropped {
				live[r.part]++
			}
		}
		switch {
		case len(l.queue) == 0:
			t.Fatalf("lane %s is empty and was kept", key)
		case l.state == laneReady:
			idle++
		case l.state == laneRunning:
			running++
		}
	}
	if idle != b.s.idle || running != b.s.running || running != len(b.running) {
		t.Fatalf("counted %d ready and %d running lanes, the schedule says %d and %d, %d run", idle, running, b.s.idle, b.s.running, len(b.running))
	}
	for at, p := range b.s.partitions {
		if live[p] != p.live {
			t.Fatalf("%v: %d records in the lanes, the partition says %d", at, live[p], p.live)
		}
	}
	if queued == 0 && len(b.s.ready)+len(b.s.waiting) > 0 {
		t.Fatal("lanes are listed that hold nothing")
	}
}

// drain finishes everything that is assigned.
func (b *board) drain(t *rapid.T) {
	for len(b.s.lanes) > 0 {
		b.started(t, b.s.next(b.now))
		if len(b.running) == 0 {
			wake := b.s.wake()
			if wake.IsZero() || !wake.After(b.now) {
				t.Fatalf("stuck: %d lanes, nothing runs, next wake %v at %v", len(b.s.lanes), wake, b.now)
			}
			b.now = wake
			continue
		}
		for len(b.running) > 0 {
			r := b.running[0]
			b.running = b.running[1:]
			b.finish(r)
		}
	}
}

func TestLanesUnderRandomOrders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBoard(t)
		t.Repeat(map[string]func(*rapid.T){
			"poll": b.poll, "poll more": b.poll, "take": b.take, "end": b.end, "end more": b.end, "probe": b.probe,
			"commit": b.commit, "give away": b.giveAway,
			"hasten": func(*rapid.T) { b.s.hasten(b.now) },
			"tick": func(t *rapid.T) {
				b.now = b.now.Add(time.Duration(rapid.IntRange(1, 3).Draw(t, "seconds")) * time.Second)
			},
			"": b.check,
		})
		b.drain(t)
		for at, p := range b.s.partitions {
			if !p.revoking && p.progress.offset != b.read[at] && b.read[at] > b.committed[at] {
				t.Fatalf("%v: read up to %d, all finished, but only %d may be committed", at, b.read[at], p.progress.offset)
			}
		}
	})
}

// When partitions are given away and all goes well, nothing is left finished behind a gap: it would be done again.
func TestGivingAwayClosesTheGaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBoard(t)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			rapid.SampledFrom([]func(*rapid.T){b.poll, b.poll, b.take, func(t *rapid.T) {
				if len(b.running) > 0 {
					i := rapid.IntRange(0, len(b.running)-1).Draw(t, "which")
					r := b.running[i]
					b.running = slices.Delete(b.running, i, i+1)
					b.finish(r)
				}
			}}).Draw(t, "step")(t)
		}
		for _, at := range boardPlaces {
			b.s.revoke(at, b.now)
			b.check(t)
		}
		b.drain(t)
		for at, p := range b.s.partitions {
			for offset := range b.finished[at] {
				if offset >= p.progress.offset {
					t.Fatalf("%v: %d is finished, but only %d may be committed", at, offset, p.progress.offset)
				}
			}
		}
	})
}
