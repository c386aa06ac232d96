package worker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

var guardNow = time.Unix(1e9, 0)

func guardOf(ratio float64, size int) guard {
	return newGuard(Settings{DeadLetterRatio: ratio, DeadLetterMin: size})
}

func TestGuardTripsOnlyWithAFullWindowOverTheRatio(t *testing.T) {
	for name, c := range map[string]struct {
		ratio    float64
		size     int
		verdicts string // b: would be a letter
		tripped  int    // at which verdict, from 1; 0: never
	}{
		"all bad":                      {0.5, 4, "bbbbb", 4},
		"half is not more":             {0.5, 4, "bgbgbgbgbgbg", 0},
		"one more than half":           {0.5, 4, "ggggbbb", 7},
		"the old ones leave":           {0.5, 4, "bbgggbbgb", 9},
		"a good record never trips":    {0.5, 4, "bbbg", 0},
		"ratio 1":                      {1, 4, "bbbbbbbbbbbb", 0},
		"a window of one":              {0.5, 1, "gggb", 4},
		"the ratio is no binary float": {0.29, 100, strings.Repeat("g", 71) + strings.Repeat("b", 29), 0},
	} {
		t.Run(name, func(t *testing.T) {
			g, tripped := guardOf(c.ratio, c.size), 0
			for i, verdict := range c.verdicts {
				if g.fold("icbu", verdict == 'b') {
					tripped = i + 1
					break
				}
			}
			if tripped != c.tripped {
				t.Errorf("tripped at %d, wanted %d", tripped, c.tripped)
			}
		})
	}
}

func TestGuardedSourceOfARecord(t *testing.T) {
	for key, want := range map[string]string{
		"icbu:1": "icbu", "procurement:!abc": "procurement", "mall:S1:2": "mall", "shop:1": "other", "": "other", "icbu": "icbu",
	} {
		if got := guardedSource(service, event.Message{Topic: event.Received(order.ICBU), Key: key}); got != want {
			t.Errorf("%q belongs to %q, wanted %q", key, got, want)
		}
		if got := guardedSource(service, event.Message{Topic: event.Replay(service), Key: key}); got != "" {
			t.Errorf("a replay of %q belongs to %q", key, got)
		}
	}
}

// The law: among the verdicts of a full window that were let through, never more than the ratio are letters, whatever the
// other sources do; and a source whose bad records are within it is never held.
func TestGuardLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ratio := rapid.SampledFrom([]float64{0.01, 0.1, 0.25, 0.29, 0.5, 0.9, 1}).Draw(t, "ratio")
		size := rapid.IntRange(1, 30).Draw(t, "size")
		g := guardOf(ratio, size)
		passed := map[string][]bool{} // per source, since its last release: what was let through
		for range rapid.IntRange(1, 400).Draw(t, "records") {
			source := rapid.SampledFrom([]string{"icbu", "mall"}).Draw(t, "source")
			bad := source == "icbu" && rapid.IntRange(0, 9).Draw(t, "dice") < 6
			if g.held(source) {
				if rapid.Bool().Draw(t, "mended") {
					g.release(source)
					passed[source] = nil
				} else if rapid.Bool().Draw(t, "revoked") {
					g.lift(source)
				}
				continue
			}
			before := g.clone()
			if g.fold(source, bad) {
				if source == "mall" || ratio == 1 || !bad {
					t.Fatalf("%s is held at ratio %v, bad %v", source, ratio, bad)
				}
				if again := before.clone(); !again.fold(source, bad) || !before.fold(source, bad) {
					t.Fatal("a copy changed with the original")
				}
				g.hold(source, guardNow)
				continue
			}
			passed[source] = append(passed[source], bad)
			last := passed[source][max(0, len(passed[source])-size):]
			letters := 0
			for _, letter := range last {
				if letter {
					letters++
				}
			}
			if bad && len(last) == size && float64(letters)/float64(size) > ratio {
				t.Fatalf("%s: %d letters among the last %d at ratio %v", source, letters, size, ratio)
			}
		}
	})
}

func TestGuardRounds(t *testing.T) {
	g := guardOf(0.5, 2)
	if !g.wake().IsZero() || g.due("icbu", guardNow) {
		t.Error("a round without a hold")
	}
	g.fold("icbu", true)
	g.fold("icbu", true)
	g.hold("icbu", guardNow)
	g.hold("mall", guardNow.Add(time.Second))
	if g.due("icbu", guardNow.Add(guardRound-1)) || !g.wake().Equal(guardNow.Add(guardRound)) {
		t.Errorf("the first round is due at %v", g.wake())
	}
	if !g.due("icbu", guardNow.Add(guardRound)) || g.due("icbu", guardNow.Add(guardRound)) {
		t.Error("a round is due once")
	}
	if !g.wake().Equal(guardNow.Add(guardRound + time.Second)) {
		t.Errorf("wakes at %v", g.wake())
	}
	g.lift("icbu")
	if g.held("icbu") || !g.fold("icbu", true) {
		t.Error("after a hold without records the next letter must begin another one")
	}
	g.release("icbu")
	if g.fold("icbu", true) {
		t.Error("the window did not start empty")
	}
	if all := guardedSources(); len(all) != 4 || !slices.Contains(all, otherSource) {
		t.Errorf("sources %v", all)
	}
}

func TestHeldConditionSaysWhatToDo(t *testing.T) {
	g := guardOf(0.5, 2)
	g.fold("mall", true)
	g.fold("mall", true)
	failed, total := g.count("mall")
	text := g.heldError("mall", failed, total).Error()
	for _, part := range []string{"mall", "2 of its last 2", "0.5", "mend", "DEAD_LETTER_RATIO=1"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %q", part, text)
		}
	}
}
