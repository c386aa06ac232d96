package main

import (
	"context"
	"slices"
	"time"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// stray gives rows for records that Kafka does not have, by the hour that they claim; the newest hour has those that claim one
// of which nothing is known.
func (b *balance) stray(ctx context.Context, hours []store.BalanceHour, asOf time.Time) (map[time.Time][]store.FaultyOffset, error) {
	newest := hours[len(hours)-1]
	topic := event.Received(newest.Source)
	end, err := list(b.admin.ListEndOffsets(ctx, topic))(topic)
	if err != nil {
		return nil, err
	}
	found, err := b.db.StrayRows(ctx, newest.Source, newest.Generation, end, asOf, maxNamed)
	for hour, rows := range found {
		if !slices.ContainsFunc(hours, func(h store.BalanceHour) bool { return h.Hour.Equal(hour) }) {
			delete(found, hour)
			found[newest.Hour] = append(found[newest.Hour], rows...)
		}
	}
	return found, err
}

// strayOrders adds the orders of the hours that are counted now which no record brought.
func (b *balance) strayOrders(ctx context.Context, source order.Source, hours []store.BalanceHour, stray map[time.Time][]store.FaultyOffset) error {
	var starts []time.Time
	var partitions []int32
	for i := range hours {
		starts = append(starts, hours[i].Hour)
		for _, r := range hours[i].Ranges {
			if !slices.Contains(partitions, r.Partition) {
				partitions = append(partitions, r.Partition)
			}
		}
	}
	found, err := b.db.StrayOrders(ctx, source, bus.Generation(event.Received(source)), starts, partitions, maxNamed)
	for hour, orders := range found {
		stray[hour] = append(stray[hour], orders...)
	}
	return err
}

// of gives what was accepted of one hour.
func of(accepted []store.AcceptedFault, hour time.Time) []store.AcceptedFault {
	var its []store.AcceptedFault
	for _, a := range accepted {
		if a.Hour.Equal(hour) {
			its = append(its, a)
		}
	}
	return its
}
