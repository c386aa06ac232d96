package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// lawClosed is what analysts wait for: an hour that is over is told to be complete soon after all is well again.
const lawClosed = "an hour that is over is closed and told complete within 5 minutes of healing"

const (
	closeWithin  = 5 * time.Minute
	balanceGrace = 2 * time.Minute // BALANCE_GRACE: how long after its end an hour's ranges become final
)

// final is when an hour may be closed at the earliest.
func (h *hourCount) final() time.Time { return h.start.Add(time.Hour + balanceGrace) }

// latest is when it has to be closed, by the time at which everything was healed.
func (h *hourCount) latest(healed time.Time) time.Time {
	if final := h.final(); final.After(healed) {
		return final.Add(closeWithin)
	}
	return healed.Add(closeWithin)
}

// over tells whether the law is about an hour: it is over in time, or the run waits for the last one too.
func (h *hourCount) over(healed time.Time, last bool) bool {
	return !h.final().After(healed.Add(closeWithin)) || last && !h.start.After(healed)
}

// closedBy is when the last hour that the law is about has to be closed: one that ends behind the healing has its five minutes too.
func closedBy(healed time.Time, last bool) time.Time {
	by := healed.Add(closeWithin)
	running := healed.UTC().Truncate(time.Hour)
	for _, start := range []time.Time{running.Add(-time.Hour), running} {
		if h := (hourCount{start: start}); h.over(healed, last) && h.latest(healed).After(by) {
			by = h.latest(healed)
		}
	}
	return by
}

// awaitClosed waits until every hour that the law is about is closed, or is too late.
func (t *trial) awaitClosed(ctx context.Context, s *stack, healed time.Time) error {
	pool, err := pgxpool.New(ctx, s.postgres.url())
	if err != nil {
		return err
	}
	defer pool.Close()
	until := closedBy(healed, t.last)
	if t.last {
		t.say("waiting for the end of the hour, until %s at the latest", until.UTC().Format("15:04:05"))
	}
	err = eventually(ctx, time.Until(until), "every hour that is over is closed", func() error {
		hours, err := hourCounts(ctx, pool)
		if err != nil {
			return err
		}
		for i := range hours {
			if h := &hours[i]; h.over(healed, t.last) && !h.closed() {
				return fmt.Errorf("%s is %s", h.name, h.state)
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		t.say("%v", err) // the law tells
	}
	return nil
}

func (h *hourCount) closed() bool { return h.state == "closed" && h.complete }

// closedInTime: every hour that was over, or ended soon after, was closed and told complete in time.
func (c *checker) closedInTime() ruling {
	r := ruling{law: lawClosed}
	slowest := time.Duration(0)
	for i := range c.hours {
		h := &c.hours[i]
		if c.healed.IsZero() || !h.over(c.healed, c.last) {
			continue
		}
		r.held++
		switch late := h.closedAt.Sub(h.latest(c.healed).Add(-closeWithin)); {
		case !h.closed():
			r.broken("%s is %s, told complete: %v", h.name, h.state, h.complete)
		case late > closeWithin:
			r.broken("%s was closed %s after it could be", h.name, late.Round(time.Second))
		default:
			slowest = max(slowest, late)
		}
	}
	r.note = fmt.Sprintf("the slowest %s after it could be", slowest.Round(100*time.Millisecond))
	if r.held == 0 {
		r.note = "no hour was over within 5 minutes of healing; CHAOS_CLOSE=1 waits for the last one"
	}
	return r
}
