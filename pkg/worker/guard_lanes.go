package worker

import (
	"cmp"
	"slices"
	"time"
)

// guardMark is what the guard wants of a record.
type guardMark int

const (
	unmarked guardMark = iota
	waitsForRound
	onTrial     // runs in a round: nothing else of a held source is started
	failedRound // had a bad verdict in a round; if the others passed, it gets its letter and is not counted once more
)

// heldSource is what the lanes keep of a hold: the records whose letters were not written, with those on trial, and how the
// round under way goes. The records that were tried last are the last.
//
// The first round begins with the hold and tries nothing: it adds what was under way by then to the window. Of records that
// run beside each other those that fail often end first, so that a window may be full of them though most will pass. It ends
// by the time of the next one: a call may take minutes, and somebody must be told by then.
type heldSource struct {
	records       []*record
	first, round  bool
	failed, total int // of the round
}

// withhold tells the guard what became of a record. True: no letter may be written of it, or it is on trial and has no
// verdict; it is back in its lane until the next round. The attempt does not count against it.
//
// A round asks the handler, for nothing else can judge. A partner's refusal has no effect there; its acceptance is the
// record's delivery, and settled like any other.
//
// What an earlier hold counted among the few that fail has its letter even in the first round of the next one: counted
// twice, it could make that fail, and where holds follow each other closely it would be withheld by all of them.
func (l *loop) withhold(r *record, d decision, now time.Time) bool {
	h := l.held[r.source]
	switch {
	case r.source == "" || r.mark == failedRound && (h == nil || h.first):
		return false
	case r.mark == onTrial:
		return l.tried(h, r, d, now)
	case d.again:
		return false
	case h != nil:
		h.total++
		if d.fault == nil {
			return false
		}
		h.failed++
	case !l.guard.fold(r.source, d.fault != nil):
		return false
	default:
		h = &heldSource{first: true, round: true}
		h.failed, h.total = l.guard.count(r.source)
		l.held[r.source] = h
		l.guard.hold(r.source, now)
		l.lanes.hold(r.source, now)
	}
	r.mark = failedRound
	h.records = append(h.records, r)
	l.lanes.retry(r, now, now) // the lane parks
	return true
}

// tried takes the verdict over a record on trial.
func (l *loop) tried(h *heldSource, r *record, d decision, now time.Time) bool {
	r.mark = waitsForRound
	if !d.again {
		h.total++
		if d.fault == nil {
			r.mark = unmarked
			return false
		}
		h.failed++
		r.mark = failedRound
	}
	l.lanes.retry(r, now, now)
	return true
}

// judgeHeld begins the rounds that are due and ends those whose records all have their verdict, and tells when the next
// round is due.
func (l *loop) judgeHeld(now time.Time) (wake time.Time) {
	if l.stopping {
		return time.Time{}
	}
	for source, h := range l.held {
		if !h.round && l.guard.due(source, now) {
			l.beginRound(source, h, now)
		}
		if h.round && (!l.awaited(source, h) || h.first && l.guard.due(source, now)) {
			l.endRound(source, h, now)
		}
		if (!h.round || h.first) && l.held[source] == h {
			wake = earlier(wake, l.guard.holds[source])
		}
	}
	return wake
}

// awaited tells whether a round still waits for a verdict.
func (l *loop) awaited(source string, h *heldSource) bool {
	if !h.first {
		return slices.ContainsFunc(h.records, (*record).onTrial)
	}
	for c := range l.calls {
		if !c.settling && slices.ContainsFunc(c.records, func(r *record) bool { return r.source == source }) {
			return true
		}
	}
	return false
}

func (r *record) onTrial() bool { return r.mark == onTrial && !r.dropped }

// beginRound tries the records that failed and, as far as the window's size allows, those that wait behind the hold. When
// enough wait, those that failed are at most half of what may fail: however many they are, the others decide.
func (l *loop) beginRound(source string, h *heldSource, now time.Time) {
	h.round, h.failed, h.total = true, 0, 0
	h.records = slices.DeleteFunc(h.records, func(r *record) bool { return r.mark == unmarked || r.dropped })
	fresh := l.lanes.parkedHeads(source)
	size := l.guard.size
	if slices.ContainsFunc(h.records, func(r *record) bool { return r.hanging }) {
		size = min(size, max(1, maxHung-1-l.hung)) // the others may hang, too, and must not end the run
	}
	again := min(len(h.records), max(1, size-len(fresh), int(l.guard.ratio*float64(size)/2)))
	tried := slices.Concat(h.records[:again], fresh[:min(len(fresh), size-again)])
	h.records = h.records[again:]
	for _, r := range h.records {
		r.mark = waitsForRound
	}
	h.records = slices.Concat(h.records, tried)
	for _, r := range tried {
		if r.hanging { // a second call of it would hang beside the first
			h.total++
			h.failed++
			r.mark = failedRound
			continue
		}
		r.mark = onTrial
		l.lanes.unpark(r, now)
	}
}

// endRound ends the hold if enough records passed, or if none is left to judge: their partitions went to other workers. A
// hold that the first round ends was a matter of a moment, of which nobody is told.
func (l *loop) endRound(source string, h *heldSource, now time.Time) {
	first := h.first
	h.first, h.round = false, false
	left := slices.ContainsFunc(h.records, func(r *record) bool { return r.mark != unmarked && !r.dropped })
	switch {
	case h.total > 0 && l.guard.passes(h.failed, h.total):
		l.guard.release(source)
	case h.total == 0 && !left:
		l.guard.lift(source)
	default:
		l.guard.hold(source, now) // the next round is a minute from now, however long this one took
		if first {
			showHold(l.Process, l.metrics, l.guard.heldError(source, h.failed, h.total))
		}
		return
	}
	delete(l.held, source)
	if !first {
		showGoOn(l.Process, l.metrics, source, h.failed, h.total)
	}
	for _, r := range h.records {
		if r.mark == waitsForRound {
			r.mark = unmarked
		}
	}
	l.lanes.release(source, now)
}

// hold parks every lane that waits to start a live record of the source.
func (s *schedule) hold(source string, now time.Time) {
	s.parked[source] = map[*lane]bool{}
	for _, l := range s.lanes {
		if l.state != laneRunning && l.state != laneParked && l.queue[0].source == source {
			s.unlist(l)
			s.makeReady(l, now) // which parks it
		}
	}
}

// park lets a lane wait for the end of a hold, if its head is a live record of a held source. A head whose partition is
// going away is let go, for its next owner reads it again.
func (s *schedule) park(l *lane, now time.Time) bool {
	head := l.queue[0]
	lanes, held := s.parked[head.source]
	if !held || head.mark == onTrial {
		return false
	}
	if head.part.revoking {
		for _, r := range l.queue {
			if r.part == head.part {
				r.drop()
			}
		}
		s.passDropped(l, now)
		return true
	}
	l.state = laneParked
	lanes[l] = true
	return true
}

// allParked tells whether there is nothing to start: no lane at all, or only those that wait for the end of a hold.
func (s *schedule) allParked() bool {
	count := 0
	for _, lanes := range s.parked {
		count += len(lanes)
	}
	return count == len(s.lanes)
}

// parkedHeads gives the records of a held source that wait to be started for the first time in its hold, the oldest first.
func (s *schedule) parkedHeads(source string) (heads []*record) {
	for l := range s.parked[source] {
		if l.queue[0].mark == unmarked {
			heads = append(heads, l.queue[0])
		}
	}
	slices.SortFunc(heads, func(a, b *record) int {
		return cmp.Or(a.message.Timestamp.Compare(b.message.Timestamp), cmp.Compare(a.message.Offset, b.message.Offset), cmp.Compare(a.key, b.key))
	})
	return heads
}

// unpark starts the head of a parked lane in spite of the hold.
func (s *schedule) unpark(r *record, now time.Time) {
	l := s.lanes[r.key]
	s.unlist(l)
	s.makeReady(l, now)
}

// release lets the lanes of a source go on.
func (s *schedule) release(source string, now time.Time) {
	lanes := s.parked[source]
	delete(s.parked, source)
	for l := range lanes {
		s.makeReady(l, now)
	}
}
