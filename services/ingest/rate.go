package main

import (
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"orderflow/pkg/order"
	"orderflow/pkg/ratelimit"
)

// Shape of the limits on what unproven senders may put into quarantine.
const (
	burst        = 50 // requests that one address may have kept at once: a sender's bad afternoon
	sourceFactor = 5  // a source's own limit, in limits of one address
)

// limiter is a token bucket for each source and remote address, and one for each source.
type limiter struct {
	now     func() time.Time
	sources map[order.Source]*rate.Limiter
	remotes *ratelimit.Buckets[remote]
}

type remote struct {
	source  order.Source
	address netip.Addr
}

func newLimiter(perSecond float64, now func() time.Time) *limiter {
	l := &limiter{now: now, sources: map[order.Source]*rate.Limiter{}, remotes: ratelimit.New[remote](perSecond, burst)}
	for _, s := range order.Sources {
		l.sources[s] = rate.NewLimiter(sourceFactor*rate.Limit(perSecond), sourceFactor*burst)
	}
	return l
}

// allow tells whether one more refused request of that address may be kept.
func (l *limiter) allow(source order.Source, remoteAddr string) bool {
	now := l.now()
	return l.remotes.Allow(remote{source, ratelimit.Network(remoteAddr)}, now) && l.sources[source].AllowN(now, 1)
}

// coarse is the remote address as operators may see it: IPv4 to the /24, IPv6 to the /48.
func coarse(remoteAddr string) string {
	address, bits := ratelimit.Network(remoteAddr), 24
	if address.Is6() {
		bits = 48
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.String()
}
