package main

import (
	"cmp"
	"crypto/sha256"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// window is the time of receipt that an export covers: whole hours, up to but not including to.
type window struct{ from, to time.Time }

func (w window) contains(at time.Time) bool { return !at.Before(w.from) && at.Before(w.to) }

// hourOf is an hour of receipt of one source: what completeness is told by.
type hourOf struct {
	source order.Source
	hour   time.Time
}

func (h hourOf) compare(other hourOf) int {
	return cmp.Or(h.hour.Compare(other.hour), cmp.Compare(h.source, other.source))
}

// newest remembers of each order of one partition where its greatest revision stands: one key, one partition, so that a
// topic of any number of orders is gone through with the keys of one partition in memory, 32 bytes each, and 24 for each
// further revision.
type newest struct {
	orders map[[16]byte]place  // by the digest of the order key
	older  map[revisionOf]bool // what else was noted of them
	counts map[hourOf]int64    // revisions noted, each once
}

// revisionOf is a revision of an order that is not its newest.
type revisionOf struct {
	key      [16]byte
	revision order.Revision
}

type place struct {
	revision order.Revision
	offset   int64
}

func newNewest() *newest {
	return &newest{map[[16]byte]place{}, map[revisionOf]bool{}, map[hourOf]int64{}}
}

// nextPartition forgets the orders.
func (n *newest) nextPartition() {
	clear(n.orders)
	clear(n.older)
}

// note takes a record of ours that was received in the window. A revision that the topic has twice counts once, as in the
// balance, and its first record stands for it.
func (n *newest) note(meta event.Meta, offset int64) {
	key := digestOf(meta.OrderKey)
	known, ok := n.orders[key]
	if ok {
		older := revisionOf{key, min(known.revision, meta.Revision)}
		if meta.Revision == known.revision || n.older[older] {
			return
		}
		n.older[older] = true
	}
	if !ok || meta.Revision > known.revision {
		n.orders[key] = place{meta.Revision, offset}
	}
	n.counts[hourOf{meta.OrderKey.Source(), meta.ReceivedAt.Truncate(time.Hour).UTC()}]++
}

// chosen tells whether a record is its order's newest of those that were noted.
func (n *newest) chosen(meta event.Meta, offset int64) bool {
	known, ok := n.orders[digestOf(meta.OrderKey)]
	return ok && known == place{meta.Revision, offset}
}

func digestOf(key order.Key) [16]byte {
	sum := sha256.Sum256([]byte(key))
	return [16]byte(sum[:16])
}
