package main

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"orderflow/pkg/order"
)

// Shape of the limits on what unproven senders may put into quarantine.
const (
	burst        = 50   // requests that one address may have kept at once: a sender's bad afternoon
	sourceFactor = 5    // a source's own limit, in limits of one address
	maxAddresses = 4096 // addresses remembered; the others share one limit
	sweepEvery   = time.Second
)

// limiter is a token bucket for each source and remote address, in a table of bounded size, and one for each source.
type limiter struct {
	limit rate.Limit
	now   func() time.Time

	mu      sync.Mutex
	sources map[order.Source]*rate.Limiter
	remotes map[remote]*rate.Limiter
	others  *rate.Limiter
	swept   time.Time
}

type remote struct {
	source  order.Source
	address netip.Addr
}

func newLimiter(perSecond float64, now func() time.Time) *limiter {
	l := &limiter{
		limit: rate.Limit(perSecond), now: now,
		sources: map[order.Source]*rate.Limiter{}, remotes: map[remote]*rate.Limiter{},
	}
	for _, s := range order.Sources {
		l.sources[s] = rate.NewLimiter(sourceFactor*l.limit, sourceFactor*burst)
	}
	l.others = rate.NewLimiter(l.limit, burst)
	return l
}

// allow tells whether one more refused request of that address may be kept.
func (l *limiter) allow(source order.Source, remoteAddr string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return l.of(remote{source, network(remoteAddr)}, now).AllowN(now, 1) && l.sources[source].AllowN(now, 1)
}

// of finds the bucket of an address. When the table is full, buckets that are full again (nobody misses them) make room.
func (l *limiter) of(r remote, now time.Time) *rate.Limiter {
	if known, ok := l.remotes[r]; ok {
		return known
	}
	if len(l.remotes) >= maxAddresses && now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		for other, bucket := range l.remotes {
			if bucket.TokensAt(now) >= float64(burst) {
				delete(l.remotes, other)
			}
		}
	}
	if len(l.remotes) >= maxAddresses {
		return l.others
	}
	fresh := rate.NewLimiter(l.limit, burst)
	l.remotes[r] = fresh
	return fresh
}

// network is what one sender holds: an IPv4 address, or the /64 of an IPv6 address. Forwarding headers are not asked,
// since anybody can write them; behind a proxy all senders share its address.
func network(remoteAddr string) netip.Addr {
	at, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := at.Addr().Unmap().WithZone("")
	if address.Is6() {
		return netip.PrefixFrom(address, 64).Masked().Addr()
	}
	return address
}

// coarse is the remote address as operators may see it: IPv4 to the /24, IPv6 to the /48.
func coarse(remoteAddr string) string {
	address, bits := network(remoteAddr), 24
	if address.Is6() {
		bits = 48
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.String()
}
