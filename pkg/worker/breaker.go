package worker

import (
	"math/rand/v2"
	"time"
)

// Figures of the gate.
const (
	breakerFailures = 10               // calls that failed in a row before the breaker opens
	probeFirst      = backoffBase      // wait before the first probe of an open breaker
	probeLast       = 10 * time.Second // longest wait between two probes of an open breaker
)

// gate says whether calls may be made at all. It closes for everybody when the partner asked for a pause, lets single
// probes through while the breaker is open (calls on at least two orders failed in a row: the world is at fault, not a
// record) or while the configuration is wrong, and is free otherwise.
type gate struct {
	pausedUntil   time.Time
	failures      int    // calls that failed in a row
	suspect       string // order key of the first of them
	several       bool   // another order failed as well
	open          bool
	misconfigured error
	probing       bool
	nextProbe     time.Time
	wait          time.Duration
}

// free tells whether calls need no probing.
func (g *gate) free() bool { return !g.open && g.misconfigured == nil }

func (g *gate) mayCall(now time.Time) bool { return g.free() && !now.Before(g.pausedUntil) }

func (g *gate) mayProbe(now time.Time) bool {
	return !g.free() && !g.probing && !now.Before(g.pausedUntil) && !now.Before(g.nextProbe)
}

// wake is when the gate may let something through that it holds back now; zero: it does not wait for time.
func (g *gate) wake(now time.Time) time.Time {
	at := g.pausedUntil
	if !g.free() {
		if g.probing {
			return time.Time{}
		}
		if g.nextProbe.After(at) {
			at = g.nextProbe
		}
	}
	if !at.After(now) {
		return time.Time{}
	}
	return at
}

// pause obeys a partner that asks everybody to wait.
func (g *gate) pause(d time.Duration, now time.Time) time.Time {
	if until := now.Add(d + rand.N(d/10+1)); until.After(g.pausedUntil) {
		g.pausedUntil = until
	}
	return g.pausedUntil
}

// failed counts a call that failed for no fault of its records, and tells whether it opened the breaker.
func (g *gate) failed(keys []string, now time.Time) (opened bool) {
	if g.failures == 0 {
		g.suspect = keys[0]
	}
	g.failures++
	for _, key := range keys {
		g.several = g.several || key != g.suspect
	}
	if g.open || !g.several || g.failures < breakerFailures {
		return false
	}
	g.open, g.wait = true, probeFirst
	g.nextProbe = now.Add(jitter(g.wait))
	return true
}

// misconfigure stops all calls but one probe at the backoff's cap.
func (g *gate) misconfigure(err error, now time.Time) {
	g.misconfigured, g.wait = err, backoffCap
	g.nextProbe = now.Add(jitter(g.wait))
}

// answered takes note of a success or a definite answer, and tells whether that freed the gate.
func (g *gate) answered() (freed bool) {
	freed = !g.free()
	*g = gate{pausedUntil: g.pausedUntil, probing: g.probing}
	return freed
}

// probed ends a probe that did not free the gate; the next one comes later.
func (g *gate) probed(now time.Time) {
	g.probing = false
	if g.misconfigured == nil {
		g.wait = min(g.wait*2, probeLast)
	}
	g.nextProbe = now.Add(jitter(g.wait))
}

// jitter spreads a wait by a fifth to either side.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
