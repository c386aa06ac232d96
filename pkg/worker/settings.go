// Package worker holds the consume loops of the house and nothing else does: one with lanes by order key, and one with a
// Kafka transaction per batch. They share the verdicts, the dead-lettering and the metrics (design.md section 5).
package worker

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A slot is part of names that Kafka keeps.
const (
	maxSlot     = 64
	slotLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
)

// Settings of every worker.
type Settings struct {
	Slot          string        `env:"WORKER_SLOT" doc:"static member and transactional id, such as a StatefulSet's ordinal; empty: dynamic membership"`
	MaxAttempts   int           `env:"MAX_ATTEMPTS" envDefault:"10" doc:"attempts that count before a record ends as retries_exhausted"`
	Lanes         int           `env:"LANES" envDefault:"256" doc:"order keys in flight at once"`
	LaneGap       int           `env:"LANE_GAP" envDefault:"10000" doc:"finished records kept beyond a gap before a partition pauses"`
	RetryAfterMax time.Duration `env:"RETRY_AFTER_MAX" envDefault:"1m" doc:"longest pause that a partner may ask for"`

	DeadLetterRatio float64 `env:"DEAD_LETTER_RATIO" envDefault:"0.5" doc:"share of a source's last live records above which its records wait instead of becoming dead letters; 1: never"`
	DeadLetterMin   int     `env:"DEAD_LETTER_MIN" envDefault:"50" doc:"last live records of a source, counted by each process, that the share is taken of; with fewer nothing is held"`
}

// Validate reports every mistake at once.
func (s *Settings) Validate() error {
	var errs []error
	if len(s.Slot) > maxSlot || strings.ContainsFunc(s.Slot, func(r rune) bool { return !strings.ContainsRune(slotLetters, r) }) {
		errs = append(errs, fmt.Errorf("WORKER_SLOT: at most %d letters, digits, dots, dashes and underscores", maxSlot))
	}
	if s.MaxAttempts < 1 {
		errs = append(errs, errors.New("MAX_ATTEMPTS: at least 1"))
	}
	if s.Lanes < 1 {
		errs = append(errs, errors.New("LANES: at least 1"))
	}
	if s.LaneGap < 1 {
		errs = append(errs, errors.New("LANE_GAP: at least 1"))
	}
	if s.RetryAfterMax <= 0 {
		errs = append(errs, errors.New("RETRY_AFTER_MAX: more than 0"))
	}
	if !(s.DeadLetterRatio > 0 && s.DeadLetterRatio <= 1) { // NaN is none of both
		errs = append(errs, errors.New("DEAD_LETTER_RATIO: more than 0, at most 1"))
	}
	if s.DeadLetterMin < 1 {
		errs = append(errs, errors.New("DEAD_LETTER_MIN: at least 1"))
	}
	return errors.Join(errs...)
}

// withDefaults fills in what was not set: settings made by hand, as in tests, name only what matters to them.
func (s Settings) withDefaults() Settings {
	fill := func(value *int, fallback int) {
		if *value == 0 {
			*value = fallback
		}
	}
	fill(&s.MaxAttempts, 10)
	fill(&s.Lanes, 256)
	fill(&s.LaneGap, 10000)
	fill(&s.DeadLetterMin, 50)
	if s.DeadLetterRatio == 0 {
		s.DeadLetterRatio = 0.5
	}
	if s.RetryAfterMax == 0 {
		s.RetryAfterMax = time.Minute
	}
	return s
}
