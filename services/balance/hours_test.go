package main

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// Whatever bounds a broker gives: hours follow each other without a gap, and nothing lies beyond the end.
func TestLawRangesCoverEveryOffsetOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := offsets{}
		start := offsets{}
		for partition := range int32(rapid.IntRange(1, 4).Draw(t, "partitions")) {
			start[partition] = rapid.Int64Range(0, 50).Draw(t, "start")
			before[partition] = start[partition]
		}
		end := offsets{}
		covered := offsets{}
		for range rapid.IntRange(1, 6).Draw(t, "hours") {
			bound := offsets{}
			for partition := range start {
				end[partition] = max(end[partition], start[partition]) + rapid.Int64Range(0, 20).Draw(t, "growth")
				bound[partition] = rapid.Int64Range(0, 200).Draw(t, "bound")
			}
			ranges := cut(before, bound, end)
			for _, r := range ranges {
				if r.First != before[r.Partition] || r.End < r.First || r.End > end[r.Partition] {
					t.Fatalf("%+v after %v, bound %v, end %v", r, before, bound, end)
				}
				covered[r.Partition] += r.End - r.First
			}
			before = endsOf(ranges)
		}
		for _, r := range cut(before, end, end) { // the present hour takes the rest
			if covered[r.Partition]+r.End-r.First != end[r.Partition]-start[r.Partition] {
				t.Fatalf("%d offsets of partition %d in all hours", covered[r.Partition], r.Partition)
			}
		}
	})
}

func TestLawOpenHoursReachTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := noon.Add(time.Duration(rapid.IntRange(0, 7199).Draw(t, "second")) * time.Second)
		var known []store.BalanceHour
		first := hourOf(now).Add(-time.Duration(rapid.IntRange(0, 30).Draw(t, "first")) * time.Hour)
		final := rapid.IntRange(0, 20).Draw(t, "final")
		for n := range rapid.IntRange(0, 25).Draw(t, "known") {
			hour := first.Add(time.Duration(n) * time.Hour)
			if hour.After(now) {
				break
			}
			h := store.BalanceHour{Hour: hour, State: store.HourOpen}
			if n < final {
				h.State = store.HourClosed
			}
			known = append(known, h)
		}
		open := openHours(known, first, now)
		for i, hour := range open {
			if i > 0 && !hour.Equal(open[i-1].Add(time.Hour)) {
				t.Fatalf("a gap in %v", open)
			}
		}
		for _, h := range known {
			if within := slices.ContainsFunc(open, h.Hour.Equal); within != (h.State == store.HourOpen) {
				t.Fatalf("%s is %s, and open: %v", h.Hour, h.State, within)
			}
		}
		if last := hourOf(now); len(open) > 0 && !open[len(open)-1].Equal(last) {
			t.Fatalf("the last of %v is not %v", open, last)
		}
	})
}

// Every hour is counted within an hour of rounds, and one that is not settled, recent, or touched in every round.
func TestLawEveryHourHasItsTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Settings{Every: time.Duration(rapid.IntRange(1, 180).Draw(t, "every")) * time.Second, Recent: 24 * time.Hour}
		h := store.BalanceHour{State: store.HourClosed, Hour: hourOf(noon).Add(-time.Duration(rapid.IntRange(0, 359).Draw(t, "age")) * time.Hour)}
		turns := 0
		for round := range int(time.Hour / cfg.Every) {
			if cfg.turn(&h, noon, round, false) {
				turns++
			}
			if !cfg.turn(&h, noon, round, true) || !cfg.turn(&store.BalanceHour{State: store.HourFrozen, Hour: h.Hour}, noon, round, false) ||
				!cfg.turn(&store.BalanceHour{State: store.HourClosed, Hour: h.Hour, Tally: store.Tally{Faults: 1}}, noon, round, false) {
				t.Fatal("left out")
			}
		}
		recent := !h.Hour.Before(noon.Add(-24 * time.Hour))
		if turns == 0 || recent && turns != int(time.Hour/cfg.Every) {
			t.Fatalf("%d turns, recent %v", turns, recent)
		}
	})
}

// Whatever happens to an hour: it is never told before its ranges are final, never the same twice in a row, complete only
// when nothing is open or at fault, and what was complete and no longer is, is told at once.
func TestLawWhatIsTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Settings{Every: 30 * time.Second, Grace: 2 * time.Minute, Deadline: time.Hour}
		h := store.BalanceHour{Source: order.Mall, Hour: hourOf(noon), State: store.HourOpen}
		now := noon
		for range rapid.IntRange(1, 40).Draw(t, "rounds") {
			now = now.Add(time.Duration(rapid.IntRange(1, 3600).Draw(t, "seconds")) * time.Second)
			if h.State == store.HourOpen && !now.Before(cfg.ended(h.Hour)) {
				h.State = store.HourFrozen
			}
			few := rapid.Int64Range(0, 2)
			h.Tally = store.Tally{Received: 9, Parked: few.Draw(t, "parked"), Open: few.Draw(t, "open"), Faults: few.Draw(t, "faults"), Unsure: few.Draw(t, "unsure")}
			h.State = after(h.State, &h.Tally)
			c := completenessOf(&h, now)
			due := cfg.due(&h, &c, now)
			switch {
			case due && h.State == store.HourOpen, due && string(c.digest()) == string(h.Told):
				t.Fatalf("told %+v", c)
			case c.Complete && (h.State != store.HourClosed || !h.Tally.Settled()):
				t.Fatalf("complete: %+v", h)
			case !due && c.Complete && string(c.digest()) != string(h.Told):
				t.Fatalf("not told: %+v", c)
			case !due && h.Complete && h.Tally.Faults > 0 && string(c.digest()) != string(h.Told):
				t.Fatalf("a fault was not told: %+v", c)
			}
			if due {
				if c.Revision != h.Revision+1 {
					t.Fatalf("revision %d after %d", c.Revision, h.Revision)
				}
				h.Revision, h.Told, h.Complete, h.ToldAt = c.Revision, c.digest(), c.Complete, now
			}
		}
	})
}

func TestBatchesKeepTheOrder(t *testing.T) {
	var hours []store.BalanceHour
	for n := range 30 {
		hours = append(hours, store.BalanceHour{Hour: noon.Add(time.Duration(n) * time.Hour), Ranges: []store.OffsetRange{{End: 34_000}}})
	}
	var flat []store.BalanceHour
	for _, batch := range batches(hours) {
		if len(batch) == 0 || len(batch) > 3 {
			t.Errorf("a batch of %d", len(batch))
		}
		flat = append(flat, batch...)
	}
	if len(flat) != 30 || flat[29].Hour != hours[29].Hour || len(batches(nil)) != 0 {
		t.Error("hours were lost")
	}
}

func TestLawTouchedHours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var seen []store.Published
		for range rapid.IntRange(0, 8).Draw(t, "records") {
			seen = append(seen, store.Published{
				Source: rapid.SampledFrom([]order.Source{order.Mall, order.ICBU}).Draw(t, "source"), Partition: rapid.Int32Range(0, 2).Draw(t, "partition"),
				Offset: rapid.Int64Range(0, 20).Draw(t, "offset"),
			})
		}
		first := rapid.Int64Range(0, 20).Draw(t, "first")
		r := store.OffsetRange{Partition: rapid.Int32Range(0, 2).Draw(t, "of"), First: first, End: first + rapid.Int64Range(0, 5).Draw(t, "length")}
		want := slices.ContainsFunc(seen, func(p store.Published) bool {
			return p.Source == order.Mall && p.Partition == r.Partition && r.First <= p.Offset && p.Offset < r.End
		})
		if got := newTouched(order.Mall, seen).within([]store.OffsetRange{r}); got != want {
			t.Fatalf("%v in %+v of %+v", got, r, seen)
		}
	})
}
