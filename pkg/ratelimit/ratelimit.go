// Package ratelimit bounds how often strangers may do something: each remote address has a bucket of tokens.
package ratelimit

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	maxBuckets = 4096
	sweepEvery = time.Second
)

// Buckets is a token bucket for each key, in a table of bounded size; those who find it full share one. It is safe for
// concurrent use.
type Buckets[K comparable] struct {
	limit rate.Limit
	burst int

	mu     sync.Mutex
	table  map[K]*rate.Limiter
	others *rate.Limiter
	swept  time.Time
}

// New makes buckets that fill by so many tokens a second, up to burst, and are full at first.
func New[K comparable](perSecond float64, burst int) *Buckets[K] {
	limit := rate.Limit(perSecond)
	return &Buckets[K]{limit: limit, burst: burst, table: map[K]*rate.Limiter{}, others: rate.NewLimiter(limit, burst)}
}

// Allow takes a token, and tells whether there was one.
func (b *Buckets[K]) Allow(key K, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of(key, now).AllowN(now, 1)
}

// Wait is how long until there is a token for the key, 0 when there is one. It takes none, and remembers nobody.
func (b *Buckets[K]) Wait(key K, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	bucket, known := b.table[key]
	switch {
	case known:
	case len(b.table) < maxBuckets:
		return 0
	default:
		bucket = b.others
	}
	missing := 1 - bucket.TokensAt(now)
	return time.Duration(max(missing, 0) / float64(b.limit) * float64(time.Second))
}

// Len is how many keys are remembered.
func (b *Buckets[K]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.table)
}

// of finds the bucket of a key. When the table is full, buckets that are full again (nobody misses them) make room.
func (b *Buckets[K]) of(key K, now time.Time) *rate.Limiter {
	if known, ok := b.table[key]; ok {
		return known
	}
	if len(b.table) >= maxBuckets && now.Sub(b.swept) >= sweepEvery {
		b.swept = now
		for other, bucket := range b.table {
			if bucket.TokensAt(now) >= float64(b.burst) {
				delete(b.table, other)
			}
		}
	}
	if len(b.table) >= maxBuckets {
		return b.others
	}
	fresh := rate.NewLimiter(b.limit, b.burst)
	b.table[key] = fresh
	return fresh
}

// Network is what one sender holds: an IPv4 address, or the /64 of an IPv6 address; the zero Addr where the text is no
// address and port. Forwarding headers are not asked, since anybody can write them; behind a proxy all senders share its
// address.
func Network(remoteAddr string) netip.Addr {
	at, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return NetworkOf(at.Addr())
}

// NetworkOf is Network of an address without a port.
func NetworkOf(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		return netip.PrefixFrom(address, 64).Masked().Addr()
	}
	return address
}
