package worker

import (
	"container/heap"
	"slices"
	"strconv"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// limits bound what a schedule holds.
type limits struct {
	ready   int // lanes ready to run; beyond it nothing more needs to be read
	gap     int // records of a partition tracked from the first unfinished one on, finished or not
	records int // unfinished records of a partition
	bytes   int // bytes of unfinished records of all partitions
	poll    int // records of one poll: as many may still arrive after a partition was asked to pause
}

// schedule decides what runs next. Every order key has a lane; a lane runs one record at a time, in the order in which
// records were read; lanes run beside each other. It knows no Kafka and no clock, and one goroutine owns it.
type schedule struct {
	limits   limits
	maxBatch int
	linger   time.Duration
	groupBy  func(event.Message) string

	partitions map[place]*partition
	lanes      map[string]*lane
	ready      map[group]*bucket
	waiting    waiting
	idle       int    // lanes ready to run
	running    int    // lanes in a call
	turn       uint64 // counts tries, for the rotation of probes
	cohorts    uint64 // number of the newest cohort

	parked map[string]map[*lane]bool // by source that the guard holds: lanes that wait for the end of the hold
}

type laneState int

const (
	laneReady laneState = iota
	laneRunning
	laneWaiting
	laneParked
)

// lane holds the records of one order key, the oldest first. While the lane runs, its first record is in a call.
type lane struct {
	key   string
	queue []*record
	state laneState
	since time.Time // ready since
	due   time.Time // waiting until
	at    int       // index in the waiting heap
	in    *bucket   // where it is ready
	tried uint64    // turn of its last try
}

// group says which lanes may share a batch: those with the same label and, where that is set, of the same cohort.
type group struct {
	label  string
	cohort uint64
}

// bucket holds the ready lanes of one group, the longest ready first.
type bucket struct {
	group group
	lanes []*lane
}

func newSchedule(l limits, maxBatch int, linger time.Duration, groupBy func(event.Message) string) *schedule {
	return &schedule{
		limits: l, maxBatch: maxBatch, linger: linger, groupBy: groupBy,
		partitions: map[place]*partition{}, lanes: map[string]*lane{}, ready: map[group]*bucket{},
		parked: map[string]map[*lane]bool{},
	}
}

// laneKey is the message's key. Records without one share a lane per partition: nothing else is known about their order.
func laneKey(m event.Message) string {
	if m.Key == "" {
		return "\x00" + m.Topic + "/" + strconv.Itoa(int(m.Partition))
	}
	return m.Key
}

// add queues a record that was read from an assigned partition.
func (s *schedule) add(p *partition, r *record, now time.Time) {
	p.add(r)
	p.live++
	l := s.lanes[r.key]
	if l == nil {
		l = &lane{key: r.key}
		s.lanes[r.key] = l
		l.queue = append(l.queue, r)
		s.makeReady(l, now)
		return
	}
	l.queue = append(l.queue, r)
}

// next takes the next batch of lane heads, at most one record of a lane; nil when none is due.
func (s *schedule) next(now time.Time) []*record {
	for len(s.waiting) > 0 && !s.waiting[0].due.After(now) {
		l := heap.Pop(&s.waiting).(*lane)
		s.makeReady(l, now)
	}
	var best *bucket
	for _, b := range s.ready {
		if s.sendAt(b).After(now) {
			continue
		}
		if best == nil || b.lanes[0].since.Before(best.lanes[0].since) {
			best = b
		}
	}
	if best == nil {
		return nil
	}
	batch := make([]*record, min(len(best.lanes), s.maxBatch))
	for i := range batch {
		batch[i] = s.run(best.lanes[i])
	}
	s.idle -= len(batch)
	best.lanes = best.lanes[len(batch):]
	if len(best.lanes) == 0 {
		delete(s.ready, best.group)
	}
	return batch
}

// sendAt is when a batch of this bucket leaves: at once when full, else after the linger.
func (s *schedule) sendAt(b *bucket) time.Time {
	since := b.lanes[0].since
	if len(b.lanes) >= s.maxBatch || b.group.cohort != 0 {
		return since
	}
	return since.Add(s.linger)
}

// probe takes the record of the lane that was not tried for the longest time, whether it is ready or waits.
func (s *schedule) probe() []*record {
	var chosen *lane
	for _, l := range s.lanes {
		if l.state != laneRunning && l.state != laneParked && (chosen == nil || l.tried < chosen.tried) {
			chosen = l
		}
	}
	if chosen == nil {
		return nil
	}
	s.unlist(chosen)
	return []*record{s.run(chosen)}
}

// wake is when next may have something new to give; zero when nothing is waited for.
func (s *schedule) wake() time.Time {
	var at time.Time
	if len(s.waiting) > 0 {
		at = s.waiting[0].due
	}
	for _, b := range s.ready {
		at = earlier(at, s.sendAt(b))
	}
	return at
}

// finish ends a running record for good; its partition may then be committed past it.
func (s *schedule) finish(r *record, now time.Time) {
	r.part.finish(r)
	s.advance(r, now)
}

// retry lets a running record wait until due. A record of a partition that is going away is let go instead, and with it
// what follows in its lane.
func (s *schedule) retry(r *record, due, now time.Time) {
	if r.part.revoking || r.part.gone {
		for _, behind := range s.lanes[r.key].queue {
			if behind.part == r.part {
				behind.drop()
			}
		}
		s.advance(r, now)
		return
	}
	l := s.lanes[r.key]
	s.running--
	r.part.running--
	if !due.After(now) || s.parked[r.source] != nil { // a probe would take a lane in backoff
		s.makeReady(l, now)
		return
	}
	l.state, l.due = laneWaiting, due
	heap.Push(&s.waiting, l)
}

// hasten ends the wait of every lane whose last failure was not held against its record: the outage is over.
func (s *schedule) hasten(now time.Time) {
	for _, l := range s.waiting {
		if l.queue[0].blameless {
			l.due = now
		}
	}
	heap.Init(&s.waiting)
}

// advance moves a running lane past its head, and past what was dropped behind it.
func (s *schedule) advance(r *record, now time.Time) {
	l := s.lanes[r.key]
	s.running--
	r.part.running--
	if !r.dropped {
		r.part.live--
	}
	l.pop()
	for len(l.queue) > 0 && l.queue[0].dropped {
		l.pop()
	}
	if len(l.queue) == 0 {
		delete(s.lanes, l.key)
		return
	}
	s.makeReady(l, now)
}

func (l *lane) pop() {
	l.queue[0] = nil
	l.queue = l.queue[1:]
}

func (s *schedule) run(l *lane) *record {
	s.turn++
	l.state, l.tried, l.in = laneRunning, s.turn, nil
	s.running++
	head := l.queue[0]
	head.part.running++
	head.message.Newer = l.newer()
	return head
}

// newer is the greatest revision that waits behind the lane's head, if it is greater than the head's.
func (l *lane) newer() order.Revision {
	var newest order.Revision
	for _, r := range l.queue[1:] {
		if !r.dropped {
			newest = max(newest, r.revision)
		}
	}
	if newest <= l.queue[0].revision {
		return 0
	}
	return newest
}

func (s *schedule) makeReady(l *lane, now time.Time) {
	if s.park(l, now) {
		return
	}
	head := l.queue[0]
	g := group{cohort: head.cohort}
	if s.groupBy != nil {
		g.label = s.groupBy(head.message)
	}
	b := s.ready[g]
	if b == nil {
		b = &bucket{group: g}
		s.ready[g] = b
	}
	l.state, l.since, l.in = laneReady, now, b
	b.lanes = append(b.lanes, l)
	s.idle++
}

// unlist takes a lane that does not run out of the ready, the waiting or the parked ones.
func (s *schedule) unlist(l *lane) {
	if l.state == laneWaiting {
		heap.Remove(&s.waiting, l.at)
		return
	}
	if l.state == laneParked {
		delete(s.parked[l.queue[0].source], l)
		return
	}
	s.idle--
	i := slices.Index(l.in.lanes, l)
	l.in.lanes = slices.Delete(l.in.lanes, i, i+1)
	if len(l.in.lanes) == 0 {
		delete(s.ready, l.in.group)
	}
	l.in = nil
}

// waiting is a heap of lanes by due time.
type waiting []*lane

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w waiting) Swap(i, j int)      { w[i], w[j] = w[j], w[i]; w[i].at, w[j].at = i, j }
func (w *waiting) Push(x any)        { l := x.(*lane); l.at = len(*w); *w = append(*w, l) }
func (w *waiting) Pop() any {
	old := *w
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	return l
}

// earlier is the earlier of two times, where zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
