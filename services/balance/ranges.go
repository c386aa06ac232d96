package main

import (
	"cmp"
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// offsets is one offset by partition.
type offsets = map[int32]int64

// ranges brings the hours of a source up to now: the offset range of every hour that is not frozen is asked from Kafka again,
// by the time that the broker stamped, and hours whose time has come are frozen. Known are the hours as PostgreSQL has them.
func (b *balance) ranges(ctx context.Context, source order.Source, known []store.BalanceHour, now time.Time) ([]store.BalanceHour, error) {
	topic := event.Received(source)
	start, err := list(b.admin.ListStartOffsets(ctx, topic))(topic)
	if err != nil {
		return nil, err
	}
	var first time.Time
	if len(known) == 0 {
		if first, err = b.firstHour(ctx, topic, start, now); err != nil {
			return nil, err
		}
	}
	open := openHours(known, first, now)
	if len(open) == 0 { // a clock that went back
		return known, nil
	}
	before, kept := start, known[:0:0]
	for _, h := range known {
		if h.Hour.Before(open[0]) {
			before, kept = endsOf(h.Ranges), append(kept, h)
		}
	}
	old := map[time.Time]store.BalanceHour{}
	for _, h := range known {
		old[h.Hour] = h
	}
	bounds := make([]offsets, len(open))
	for i, hour := range open[:len(open)-1] {
		if bounds[i], err = b.at(ctx, topic, hour.Add(time.Hour)); err != nil {
			return nil, err
		}
	}
	end, err := list(b.admin.ListEndOffsets(ctx, topic))(topic) // last, so that no bound lies beyond it
	if err != nil {
		return nil, err
	}
	bounds[len(open)-1] = end
	grown := make([]store.BalanceHour, 0, len(open))
	for i, hour := range open {
		h := old[hour]
		h.Source, h.Hour, h.Generation, h.State = source, hour, bus.Generation(topic), store.HourOpen
		h.Ranges = cut(before, bounds[i], end)
		if i < len(open)-1 && !now.Before(b.cfg.ended(hour)) {
			h.State = store.HourFrozen
		}
		before = endsOf(h.Ranges)
		grown = append(grown, h)
	}
	if err := b.db.SaveRanges(ctx, grown); err != nil {
		return nil, err
	}
	return append(kept, grown...), nil
}

// at is the first offset of each partition that the broker stamped at that time, which has passed, or later. Where there is
// none, the client asks for the end in a second request: a record that comes between the two is younger, and must not look
// older. So the bound is never beyond where the end was before.
func (b *balance) at(ctx context.Context, topic string, t time.Time) (offsets, error) {
	end, err := list(b.admin.ListEndOffsets(ctx, topic))(topic)
	if err != nil {
		return nil, err
	}
	found, err := list(b.admin.ListOffsetsAfterMilli(ctx, t.UnixMilli(), topic))(topic)
	for partition := range found {
		found[partition] = min(found[partition], end[partition])
	}
	return found, err
}

// firstHour is the hour of the oldest record that the topic still has, or the present one; not earlier than is kept.
func (b *balance) firstHour(ctx context.Context, topic string, start offsets, now time.Time) (time.Time, error) {
	oldest, hours := hourOf(now.Add(-keep)), int(keep/time.Hour)
	var failed error
	passed := sort.Search(hours, func(n int) bool { // the first hour before which something lies
		bound, err := b.at(ctx, topic, oldest.Add(time.Duration(n+1)*time.Hour))
		failed = cmp.Or(failed, err)
		for partition, offset := range bound {
			if offset > start[partition] {
				return true
			}
		}
		return false
	})
	return oldest.Add(time.Duration(passed) * time.Hour), failed
}

// list makes what kadm lists of one topic a plain map.
func list(listed kadm.ListedOffsets, err error) func(topic string) (offsets, error) {
	return func(topic string) (offsets, error) {
		if err := cmp.Or(err, listed.Error()); err != nil {
			return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
		}
		found := offsets{}
		for partition, o := range listed[topic] {
			found[partition] = o.Offset
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("list offsets of %s: the topic does not exist: run orderctl topics apply", topic)
		}
		return found, nil
	}
}
