package main

import (
	"testing"
	"time"
)

// A return has to be behind its sale at EZR, unless the sale had only just been received.
func TestReturnsBehindSales(t *testing.T) {
	for name, c := range map[string]struct {
		order    []string // codes, as EZR took them
		after    time.Duration
		violated int
	}{
		"behind":                      {[]string{"S", "R"}, time.Hour, 0},
		"before a sale just pushed":   {[]string{"R", "S"}, time.Minute, 0},
		"before a sale long known":    {[]string{"R", "S"}, time.Hour, 1},
		"of a sale that never came":   {[]string{"R"}, time.Hour, 1},
		"the return has not come":     {[]string{"S"}, time.Hour, 0},
		"twice, the second time late": {[]string{"S", "R", "S"}, time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := &evidence{existing: "overwrite"}
			sale, back := doc("mall:H:S", "10.01", good), doc("mall:H:R", "-10.01", good)
			back.SaleOf = sale.Key
			e.took(sale, 0, "delivered")
			e.took(back, 1, "delivered")
			for i := range e.received {
				e.received[i].at = noon
			}
			for i, code := range c.order {
				e.effects = append(e.effects, effect{Seq: int64(i), Partner: "ezr", Shop: "H", OrderNo: code, At: noon.Add(c.after)})
			}
			if r := newChecker(e).returnsBehindSales(); len(r.violations) != c.violated {
				t.Errorf("%v, want %d violations", r.violations, c.violated)
			}
		})
	}
}

func TestDirtyIsBroken(t *testing.T) {
	e := sound()
	if r := newChecker(e).mended(); len(r.violations) != 0 {
		t.Errorf("sound: %v", r.violations)
	}
	e.dirty = []string{"icbu:A"}
	if r := newChecker(e).mended(); len(r.violations) != 1 {
		t.Errorf("an order to be sent once more is not caught: %v", r.violations)
	}
}

// A return that is parked with its sale may have come more than once: the last one is parked, and has the letter.
func TestParkedReturnThatCameAgain(t *testing.T) {
	for name, c := range map[string]struct {
		ends     []string
		letterOf int64
		violated int
	}{
		"superseded, parked": {[]string{"superseded", "parked"}, 1, 0},
		"parked, superseded": {[]string{"parked", "superseded"}, 0, 1},
		"delivered":          {[]string{"superseded", "delivered"}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := &evidence{existing: "overwrite"}
			back := doc("mall:H:R", "-10.01", bad)
			back.Code = saleParked
			for i, end := range c.ends {
				e.took(back, int64(i), end)
			}
			e.letter(back, c.letterOf, saleParked)
			checked := newChecker(e)
			violations := append(checked.lettersAreTheBad().violations, checked.oneEndState().violations...)
			if len(violations) != c.violated {
				t.Errorf("%v, want %d violations", violations, c.violated)
			}
		})
	}
}
