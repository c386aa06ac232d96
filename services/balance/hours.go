package main

import (
	"slices"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// keep is how far back hours are counted: beyond Kafka's retention of 14 days nothing changes any more.
const keep = 15 * 24 * time.Hour

// hourOf is the start of the hour of a time.
func hourOf(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

// ended is when an hour's ranges become final.
func (s *Settings) ended(hour time.Time) time.Time { return hour.Add(time.Hour).Add(s.Grace) }

// openHours lists the hours whose ranges may still grow: those that are open, the ones that came since, and the present one.
// Known are in order; first is where to begin when none is known.
func openHours(known []store.BalanceHour, first, now time.Time) []time.Time {
	from := first
	if n := len(known); n > 0 {
		from = known[n-1].Hour.Add(time.Hour)
	}
	for _, h := range known {
		if h.State == store.HourOpen {
			from = h.Hour
			break
		}
	}
	var hours []time.Time
	for hour := from; !hour.After(now); hour = hour.Add(time.Hour) {
		hours = append(hours, hour)
	}
	return hours
}

// cut gives an hour's ranges: from where the hour before it ended to the bound. No offset falls between two hours or into both,
// whatever the bounds are: a bound that goes back, as a sender's clock may make it on a broker without LogAppendTime, is moved
// up, and none goes beyond the end.
func cut(before, bound, end map[int32]int64) []store.OffsetRange {
	ranges := make([]store.OffsetRange, 0, len(end))
	for partition, last := range end {
		first := before[partition]
		ranges = append(ranges, store.OffsetRange{Partition: partition, First: first, End: max(first, min(bound[partition], last))})
	}
	slices.SortFunc(ranges, func(a, b store.OffsetRange) int { return int(a.Partition) - int(b.Partition) })
	return ranges
}

// endsOf are the ends of ranges by partition.
func endsOf(ranges []store.OffsetRange) map[int32]int64 {
	ends := map[int32]int64{}
	for _, r := range ranges {
		ends[r.Partition] = r.End
	}
	return ends
}

// turn tells whether an hour is counted in this round: it may change, it is recent, something is wrong with it, somebody
// touched it, or its turn has come. Rounds are counted up; every hour has its turn within an hour.
func (s *Settings) turn(h *store.BalanceHour, now time.Time, round int, touched bool) bool {
	rounds := max(1, int(time.Hour/s.Every))
	number := int(h.Hour.Unix() / 3600)
	return h.State != store.HourClosed || touched || !h.Tally.Settled() || !h.Hour.Before(hourOf(now.Add(-s.Recent))) || number%rounds == round%rounds
}

// after gives the state of an hour after it was counted.
func after(state store.HourState, t *store.Tally) store.HourState {
	if state == store.HourFrozen && t.Settled() {
		return store.HourClosed
	}
	return state
}

// batches cuts hours into groups whose counting stays far below the limit of a statement.
func batches(hours []store.BalanceHour) [][]store.BalanceHour {
	const atOnce = 100_000 // offsets
	var all [][]store.BalanceHour
	var size int64
	for _, h := range hours {
		var offsets int64
		for _, r := range h.Ranges {
			offsets += r.End - r.First
		}
		if len(all) == 0 || size+offsets > atOnce {
			all, size = append(all, nil), 0
		}
		all[len(all)-1] = append(all[len(all)-1], h)
		size += offsets
	}
	return all
}

// touched are received offsets of one source by partition, in order.
type touched map[int32][]int64

func newTouched(source order.Source, seen []store.Published) touched {
	all := touched{}
	for _, p := range seen {
		if p.Source == source {
			all[p.Partition] = append(all[p.Partition], p.Offset)
		}
	}
	for _, offsets := range all {
		slices.Sort(offsets)
	}
	return all
}

// within tells whether one of the offsets lies in one of the ranges.
func (t touched) within(ranges []store.OffsetRange) bool {
	return slices.ContainsFunc(ranges, func(r store.OffsetRange) bool {
		offsets := t[r.Partition]
		i, _ := slices.BinarySearch(offsets, r.First)
		return i < len(offsets) && offsets[i] < r.End
	})
}
