package worker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// While a source is held nothing of it starts but what is on trial; after the hold nothing of it is forgotten.
func TestLanesUnderRandomHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBoard(t)
		take := func(start func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) {
				before := len(b.running)
				start(t)
				for _, r := range b.running[before:] {
					if b.s.parked[r.source] != nil && r.mark != onTrial {
						t.Fatalf("key %s started, though its source is held", r.key)
					}
				}
			}
		}
		source := rapid.SampledFrom([]string{"a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"poll": b.poll, "poll more": b.poll, "take": take(b.take), "end": b.end, "end more": b.end, "probe": take(b.probe),
			"commit": b.commit, "give away": b.giveAway,
			"hold": func(t *rapid.T) {
				if held := source.Draw(t, "source"); b.s.parked[held] == nil {
					b.s.hold(held, b.now)
				}
			},
			"release": func(t *rapid.T) { b.release(source.Draw(t, "source")) },
			"try": func(t *rapid.T) {
				tried := source.Draw(t, "source")
				for _, number := range "123" {
					if l := b.s.lanes[tried+string(number)]; l != nil && l.state == laneParked {
						l.queue[0].mark = onTrial
						b.s.unpark(l.queue[0], b.now)
					}
				}
			},
			"tick": func(*rapid.T) { b.now = b.now.Add(time.Second) },
			"":     b.check,
		})
		for _, held := range []string{"a", "b", "c"} {
			b.release(held)
		}
		b.drain(t)
		for at, p := range b.s.partitions {
			if !p.revoking && p.progress.offset != b.read[at] && b.read[at] > b.committed[at] {
				t.Fatalf("%v: read up to %d, all finished, but only %d may be committed", at, b.read[at], p.progress.offset)
			}
		}
	})
}

// release ends a hold in a fixed order of lanes, for what fails must fail again.
func (b *board) release(source string) {
	for _, number := range "123" {
		if l := b.s.lanes[source+string(number)]; l != nil && l.state == laneParked {
			delete(b.s.parked[source], l)
			defer b.s.makeReady(l, b.now)
		}
	}
	b.s.release(source, b.now)
}
