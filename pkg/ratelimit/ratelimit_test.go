package ratelimit_test

import (
	"net/netip"
	"testing"
	"time"

	"orderflow/pkg/ratelimit"
)

var start = time.Unix(1e9, 0)

// tries is how many of so many tries are allowed.
func tries(b *ratelimit.Buckets[int], key, count int, now time.Time) (allowed int) {
	for range count {
		if b.Allow(key, now) {
			allowed++
		}
	}
	return allowed
}

func TestBuckets(t *testing.T) {
	b := ratelimit.New[int](3, 50)
	for _, c := range []struct {
		key   int
		after time.Duration
		want  int
	}{
		{1, 0, 50}, {1, 0, 0}, {2, 0, 50}, {1, time.Second, 3}, {1, time.Hour, 50},
	} {
		if got := tries(b, c.key, 100, start.Add(c.after)); got != c.want {
			t.Errorf("key %d after %v: %d allowed, want %d", c.key, c.after, got, c.want)
		}
	}
}

func TestTheTableIsBounded(t *testing.T) {
	const full = 4096
	b := ratelimit.New[int](1, 2)
	total := 0
	for key := range 10_000 {
		total += tries(b, key, 3, start)
	}
	if total != 2*full+2 || b.Len() != full {
		t.Errorf("%d allowed, want two for each of %d keys and two for all others; %d remembered", total, full, b.Len())
	}
	if got := tries(b, -1, 1, start.Add(time.Hour)); got != 1 || b.Len() != 1 {
		t.Errorf("an hour later: %d allowed, %d remembered", got, b.Len())
	}
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1:1": "10.0.0.1", "10.0.0.1:2": "10.0.0.1", "[::ffff:10.0.0.1]:1": "10.0.0.1",
		"[2001:db8::1]:1": "2001:db8::", "[2001:db8:0:0:ffff::2]:1": "2001:db8::", "[fe80::1%eth0]:1": "fe80::",
	} {
		if got := ratelimit.Network(text); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "10.0.0.1", "not an address", "[::1]"} {
		if got := ratelimit.Network(text); got.IsValid() {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// Waiting takes nothing and remembers nobody.
func TestWait(t *testing.T) {
	b := ratelimit.New[int](2, 3)
	for range 10 {
		if got := b.Wait(1, start); got != 0 || b.Len() != 0 {
			t.Errorf("nobody known: %v, %d remembered", got, b.Len())
		}
	}
	tries(b, 1, 3, start)
	if got := b.Wait(1, start); got != 500*time.Millisecond {
		t.Errorf("empty: %v", got)
	}
	if got := b.Wait(1, start.Add(500*time.Millisecond)); got != 0 {
		t.Errorf("half a second later: %v", got)
	}
	if got := b.Wait(2, start); got != 0 {
		t.Errorf("another key: %v", got)
	}
	for key := range 5000 {
		tries(b, key, 3, start)
	}
	if got := b.Wait(9999, start); got <= 0 {
		t.Errorf("one that finds the table full shares the bucket of the others: %v", got)
	}
}
