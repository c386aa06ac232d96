package main

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
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

// newest remembers of each order of one partition where its greatest revision stands: one key, one partition, so that a
// topic of any number of orders is gone through with the keys of one partition in memory, 32 bytes each.
type newest struct {
	window window
	orders map[[16]byte]place // by the digest of the order key
	counts map[hourOf]int64   // records seen
}

type place struct {
	revision order.Revision
	offset   int64
}

func newNewest(w window) *newest { return &newest{w, map[[16]byte]place{}, map[hourOf]int64{}} }

// nextPartition forgets the orders.
func (n *newest) nextPartition() { clear(n.orders) }

// note looks at a record's headers; what was received outside the window does not count.
func (n *newest) note(r *kgo.Record) error {
	meta, err := metaOf(r)
	if err != nil || !n.window.contains(meta.ReceivedAt) {
		return err
	}
	n.counts[hourOf{meta.OrderKey.Source(), meta.ReceivedAt.Truncate(time.Hour).UTC()}]++
	key := digestOf(meta.OrderKey)
	if known, ok := n.orders[key]; !ok || meta.Revision >= known.revision {
		n.orders[key] = place{meta.Revision, r.Offset}
	}
	return nil
}

// chosen tells whether a record that was noted is its order's newest.
func (n *newest) chosen(r *kgo.Record) (event.Meta, bool, error) {
	meta, err := metaOf(r)
	if err != nil || !n.window.contains(meta.ReceivedAt) {
		return meta, false, err
	}
	known, ok := n.orders[digestOf(meta.OrderKey)]
	return meta, ok && known == place{meta.Revision, r.Offset}, nil
}

func metaOf(r *kgo.Record) (event.Meta, error) {
	message := bus.FromRecord(r)
	meta, err := message.Meta()
	if err != nil {
		return meta, fmt.Errorf("%s/%d/%d was not written by validate: %w\n  next: tell an SRE the place", r.Topic, r.Partition, r.Offset, err)
	}
	return meta, nil
}

func digestOf(key order.Key) [16]byte {
	sum := sha256.Sum256([]byte(key))
	return [16]byte(sum[:16])
}
