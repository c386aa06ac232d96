package worker

import (
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// place names a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// record is one message on its way through the lanes.
type record struct {
	message  event.Message
	key      string // lane key
	revision order.Revision
	size     int   // bytes it holds in memory
	epoch    int32 // leader epoch, committed beside the offset
	part     *partition
	done     bool
	dropped  bool      // left the lanes unfinished: its next owner reads it again
	source   string    // the window of the guard that it belongs to; empty: a replay, which is not guarded
	mark     guardMark // what the guard wants of it
	hanging  bool      // its handler was taken for hung and is not back yet
	history
}

// drop lets a record go unfinished; its lane passes over it.
func (r *record) drop() {
	if !r.dropped {
		r.dropped = true
		r.part.live--
	}
}

// position is how far a partition may be committed: the offset after the last record of its finished prefix.
type position struct {
	offset int64
	epoch  int32
}

// partition follows the records of one assigned partition from reading to commit. Only the contiguous finished prefix
// counts as progress; records that finished behind a gap wait, without their bytes.
type partition struct {
	place
	queue      []*record // by offset; the first one is unfinished
	unfinished int
	bytes      int      // of unfinished records
	live       int      // records in the lanes
	running    int      // of these, in a call
	progress   position // offset -1: nothing finished yet
	committed  int64
	paused     bool
	revoking   bool // only what closes a gap is still done
	gone       bool // not ours any more: nothing of it is committed
}

func newPartition(at place) *partition {
	return &partition{place: at, progress: position{offset: -1}, committed: -1}
}

func (p *partition) add(r *record) {
	r.part = p
	p.queue = append(p.queue, r)
	p.unfinished++
	p.bytes += r.size
}

// finish takes a record out of the way of the commit.
func (p *partition) finish(r *record) {
	r.done = true
	r.message.Value, r.message.Headers = nil, nil
	p.unfinished--
	p.bytes -= r.size
	for len(p.queue) > 0 && p.queue[0].done {
		p.progress = position{offset: p.queue[0].message.Offset + 1, epoch: p.queue[0].epoch}
		p.queue[0] = nil
		p.queue = p.queue[1:]
	}
}

// dirty tells whether there is progress to commit.
func (p *partition) dirty() bool { return !p.gone && p.progress.offset > p.committed }
