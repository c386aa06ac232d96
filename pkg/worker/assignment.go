package worker

import "time"

// assign starts following a partition. What was known of an earlier assignment of it is gone.
func (s *schedule) assign(at place) { s.partitions[at] = newPartition(at) }

// revoke starts to take a partition away. What only closes a gap, so that nothing finished is done again by the next
// owner, stays in the lanes; all else leaves them.
func (s *schedule) revoke(at place, now time.Time) {
	p := s.partitions[at]
	if p == nil || p.revoking {
		return
	}
	p.revoking = true
	s.drop(p, s.closable(p), now)
}

// remove ends a partition and gives what may still be committed of it.
func (s *schedule) remove(at place, now time.Time) (last position, dirty bool) {
	p := s.partitions[at]
	if p == nil {
		return position{}, false
	}
	last, dirty = p.progress, p.dirty()
	p.revoking, p.gone = true, true
	s.drop(p, 0, now)
	delete(s.partitions, at)
	return last, dirty
}

// closable tells how many records of the partition's queue are worth finishing: those up to the last one that is done or
// runs, unless one before it waits in backoff or for the guard, for that gap stays open.
func (s *schedule) closable(p *partition) int {
	count := 0
	for i, r := range p.queue {
		if r.done {
			count = i + 1
			continue
		}
		switch l := s.lanes[r.key]; {
		case r.dropped || l.state == laneWaiting || l.state == laneParked:
			return count
		case l.state == laneRunning && l.queue[0] == r:
			count = i + 1
		}
	}
	return count
}

// drop takes the records behind the first keep ones of the partition's queue out of the lanes. One that runs stays there
// until its call is back.
func (s *schedule) drop(p *partition, keep int, now time.Time) {
	lanes := map[*lane]bool{}
	for _, r := range p.queue[keep:] {
		l := s.lanes[r.key]
		if r.done || r.dropped || l.state == laneRunning && l.queue[0] == r {
			continue
		}
		r.drop()
		lanes[l] = true
	}
	for l := range lanes {
		if l.state != laneRunning {
			s.skipDropped(l, now)
		}
	}
}

// skipDropped moves a lane that does not run to its first record that is still wanted.
func (s *schedule) skipDropped(l *lane, now time.Time) {
	if !l.queue[0].dropped {
		return
	}
	s.unlist(l) // and with the head goes the wait that it caused
	s.passDropped(l, now)
}

// passDropped moves a lane that is listed nowhere on to its first record that is still wanted.
func (s *schedule) passDropped(l *lane, now time.Time) {
	for len(l.queue) > 0 && l.queue[0].dropped {
		l.pop()
	}
	if len(l.queue) == 0 {
		delete(s.lanes, l.key)
		return
	}
	s.makeReady(l, now)
}

// uncommitted gives the progress that was not committed yet.
func (s *schedule) uncommitted() map[place]position {
	var all map[place]position
	for at, p := range s.partitions {
		if p.dirty() {
			if all == nil {
				all = map[place]position{}
			}
			all[at] = p.progress
		}
	}
	return all
}

// committed takes note of a commit.
func (s *schedule) committed(offsets map[place]position) {
	for at, position := range offsets {
		if p := s.partitions[at]; p != nil {
			p.committed = max(p.committed, position.offset)
		}
	}
}

// throttle says which partitions should pause, for they hold too much, and which may go on.
func (s *schedule) throttle() (pause, resume []place) {
	for at, p := range s.partitions {
		switch {
		case !p.paused && s.holds(p, 1):
			p.paused = true
			pause = append(pause, at)
		case p.paused && !s.holds(p, 2):
			p.paused = false
			resume = append(resume, at)
		}
	}
	return pause, resume
}

// holds tells whether a partition holds more than its limits divided by the given share. The margin of one poll is kept,
// so that the gap stays within its limit.
func (s *schedule) holds(p *partition, share int) bool {
	return len(p.queue) > (s.limits.gap-s.limits.poll)/share ||
		p.unfinished > s.limits.records/share ||
		p.bytes > s.limits.bytes/share/max(1, len(s.partitions))
}

func (s *schedule) pausedPartitions() int {
	count := 0
	for _, p := range s.partitions {
		if p.paused {
			count++
		}
	}
	return count
}
