package worker

import "time"

// assign starts following a partition. What was known of an earlier assignment of it is gone.
func (s *schedule) assign(at place) { s.partitions[at] = newPartition(at) }

// revoke starts to take a partition away: its queued records leave the lanes, those in a call may finish.
func (s *schedule) revoke(at place, now time.Time) {
	p := s.partitions[at]
	if p == nil || p.revoking {
		return
	}
	p.revoking = true
	for _, l := range s.lanes {
		s.dropQueued(l, p, now)
	}
}

// dropQueued takes the records of a partition out of a lane, except one that is in a call.
func (s *schedule) dropQueued(l *lane, p *partition, now time.Time) {
	head, kept := l.queue[0], l.queue[:0]
	for i, r := range l.queue {
		if r.part != p || (i == 0 && l.state == laneRunning) {
			kept = append(kept, r)
		}
	}
	clear(l.queue[len(kept):])
	switch {
	case len(kept) > 0 && kept[0] == head:
		l.queue = kept
	case len(kept) == 0:
		s.unlist(l)
		l.queue = nil
		delete(s.lanes, l.key)
	default: // the head is gone, and with it the wait that it caused
		s.unlist(l)
		l.queue = kept
		s.makeReady(l, now)
	}
}

// remove ends a partition and gives what may still be committed of it.
func (s *schedule) remove(at place) (p position, dirty bool) {
	part := s.partitions[at]
	if part == nil {
		return position{}, false
	}
	p, dirty = part.progress, part.dirty()
	part.gone = true
	delete(s.partitions, at)
	return p, dirty
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
