package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// away is an outage of OKKI of a minute, drained 20 s later, with one order that was accepted meanwhile and arrived 2 s
// after the end.
func away() (*evidence, spell) {
	e := &evidence{}
	waited := doc("icbu:W", "10.01", good)
	e.accepted = append(e.accepted, acceptance{doc: waited, at: noon.Add(time.Second)})
	e.effects = append(e.effects, effect{Partner: "okki", OrderNo: "W", Amount: "10.01", At: noon.Add(62 * time.Second)})
	icbu := func(source string) bool { return source == "icbu" }
	return e, spell{outage: outage{name: "OKKI away", counts: icbu}, from: noon, healed: noon.Add(time.Minute), drained: noon.Add(80 * time.Second)}
}

func TestTally(t *testing.T) {
	e, one := away()
	// Neither what came right behind the begin, nor another partner's orders, nor what came before counts against it.
	for i, at := range []int{-3, 1} {
		e.effects = append(e.effects, effect{Partner: "okki", OrderNo: "E" + string(rune('0'+i)), At: noon.Add(time.Duration(at) * time.Second)})
	}
	e.effects = append(e.effects, effect{Partner: "ezr", Shop: "S", OrderNo: "M", At: noon.Add(30 * time.Second)})
	e.fates = append(e.fates, fate{place: place{source: "procurement"}, key: "procurement:B", at: noon.Add(30 * time.Second)})
	got := e.tallyOf(one)
	want := tally{accepted: 1, first: 2 * time.Second, afterwards: 1, last: 2 * time.Second}
	if got != want || got.speed() != 0.5 || got.wrong(one) != "" {
		t.Errorf("%+v, %v a second, %q", got, got.speed(), got.wrong(one))
	}
}

func TestWrongOutages(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(e *evidence, one *spell)
		says  string
	}{
		"a letter while it lasted":  {func(e *evidence, _ *spell) { e.parked = append(e.parked, parked{failedAt: noon.Add(time.Second)}) }, "1 letters"},
		"a letter while it drained": {func(e *evidence, _ *spell) { e.parked = append(e.parked, parked{failedAt: noon.Add(70 * time.Second)}) }, "1 letters"},
		"it was not away":           {func(e *evidence, _ *spell) { e.effects[0].At = noon.Add(40 * time.Second) }, "that was no outage"},
		"nothing came after":        {func(e *evidence, _ *spell) { e.effects = nil }, "nothing was delivered after"},
		"nothing was accepted":      {func(e *evidence, _ *spell) { e.accepted = nil }, "nothing was accepted"},
		"it never drained":          {func(_ *evidence, one *spell) { one.late = errLate }, "three are open"},
	} {
		t.Run(name, func(t *testing.T) {
			e, one := away()
			c.spoil(e, &one)
			if says := e.tallyOf(one).wrong(one); !strings.Contains(says, c.says) {
				t.Errorf("%q, want %q", says, c.says)
			}
		})
	}
}

var errLate = errors.New("three are open")
