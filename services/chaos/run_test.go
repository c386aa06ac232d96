package main

import (
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	sane := settings{Minutes: 5, Rate: 30}
	for name, c := range map[string]struct {
		change func(s *settings)
		says   string
	}{
		"as they are":         {func(*settings) {}, ""},
		"no rate":             {func(s *settings) { s.Rate = 0 }, "RATE"},
		"too long":            {func(s *settings) { s.Minutes = 601 }, "MINUTES"},
		"two modes":           {func(s *settings) { s.Mutants, s.Outages = true, true }, "OUTAGES, MUTANTS"},
		"too short an outage": {func(s *settings) { s.Outages, s.Minutes = true, 0.1 }, "MINUTES"},
		"a short outage":      {func(s *settings) { s.Outages, s.Minutes = true, 0.25 }, ""},
		"a mutant misspelt":   {func(s *settings) { s.Mutants, s.Mutant = true, "mutant_ledger" }, "CHAOS_ONLY"},
		"one mutant":          {func(s *settings) { s.Mutants, s.Mutant = true, "mutant_ledger_off" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := sane
			c.change(&s)
			err := s.Validate()
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// A mutant that nothing catches, or another law only, fails the run.
func TestMutantNotCaught(t *testing.T) {
	for _, m := range allMutants {
		for _, laws := range [][]string{nil, {lawValidated}} {
			if text, caught := m.verdict(laws); caught || !strings.Contains(text, m.law) {
				t.Errorf("%s, broken laws %v: %q", m.tag, laws, text)
			}
		}
		if _, caught := m.verdict([]string{lawDrained, m.law}); !caught {
			t.Errorf("%s is not caught by its law", m.tag)
		}
	}
}
