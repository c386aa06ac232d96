package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	readyEvery  = 50 * time.Millisecond
	readyReport = 10 * time.Second // how often those that are not ready are named
	readyAsk    = 2 * time.Second
)

// awaitReady waits until every service says that it is ready, and says who is not from time to time. It is false when ctx
// ended first.
func (s *stack) awaitReady(ctx context.Context) bool {
	report := time.Now().Add(readyReport)
	for {
		var waiting []string
		for n, service := range services {
			if err := askReady(ctx, s.cfg.ops(n)); err != nil {
				waiting = append(waiting, fmt.Sprintf("%s is not ready: %v", service.name, err))
			}
		}
		if len(waiting) == 0 {
			return true
		}
		if time.Now().After(report) {
			s.console.say("local", "%s", strings.Join(waiting, "\n"))
			report = time.Now().Add(readyReport)
		}
		if !pause(ctx, readyEvery) {
			return false
		}
	}
}

func askReady(ctx context.Context, ops string) error {
	ctx, cancel := context.WithTimeout(ctx, readyAsk)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, httpURL(ops)+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", strings.TrimSpace(string(body)))
	}
	return nil
}
