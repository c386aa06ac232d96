package main

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// What somebody without a login may ask: a sender that polls for its last pushes, not one that reads all it ever sent.
const (
	receiptRate  = 20  // a second
	receiptBurst = 200 // at once
	maxAddresses = 4096
	sweepEvery   = time.Second
)

// limiter is a token bucket for each remote address, in a table of bounded size; those who find it full share one.
type limiter struct {
	mu      sync.Mutex
	remotes map[netip.Addr]*rate.Limiter
	others  *rate.Limiter
	swept   time.Time
}

func newLimiter() *limiter {
	return &limiter{remotes: map[netip.Addr]*rate.Limiter{}, others: rate.NewLimiter(receiptRate, receiptBurst)}
}

// allow tells whether that address may ask once more.
func (l *limiter) allow(remoteAddr string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return l.of(network(remoteAddr), now).AllowN(now, 1)
}

// of finds the bucket of an address. When the table is full, buckets that are full again (nobody misses them) make room.
func (l *limiter) of(address netip.Addr, now time.Time) *rate.Limiter {
	if known, ok := l.remotes[address]; ok {
		return known
	}
	if len(l.remotes) >= maxAddresses && now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		for other, bucket := range l.remotes {
			if bucket.TokensAt(now) >= receiptBurst {
				delete(l.remotes, other)
			}
		}
	}
	if len(l.remotes) >= maxAddresses {
		return l.others
	}
	fresh := rate.NewLimiter(receiptRate, receiptBurst)
	l.remotes[address] = fresh
	return fresh
}

// network is what one sender holds: an IPv4 address, or the /64 of an IPv6 address. Forwarding headers are not asked, since
// anybody can write them; behind a proxy all senders share its address.
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
