package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// eventually polls until check is content or the time is over.
func eventually(ctx context.Context, within time.Duration, what string, check func() error) error {
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		if !pause(waiting, 100*time.Millisecond) {
			if ctx.Err() != nil {
				return ctx.Err() // stopped, not late
			}
			return fmt.Errorf("%s: not within %s: %w", what, within, err)
		}
	}
}

// pause waits and tells whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// ready asks for /readyz of an ops address.
func ready(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text := make([]byte, 300)
		n, _ := answer.Body.Read(text)
		return fmt.Errorf("%s: %s", answer.Status, text[:n])
	}
	return nil
}

// between draws a duration.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)+1))
}
