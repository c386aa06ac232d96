package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	scrapeEvery  = 3 * time.Second
	scrapeWithin = 2 * time.Second
)

// target is the ops address of one process of a service.
type target struct {
	service string
	base    string // scheme://host:port
}

// parseTargets reads WORKER_OPS, service=url,... and reports every mistake at once, by the entry's number. Of one service
// there may be several.
func parseTargets(text string) ([]target, error) {
	known := append([]string{"ingest", "balance"}, workers()...)
	var targets []target
	var errs []error
	for i, entry := range splitList(text) {
		name, base, _ := strings.Cut(entry, "=")
		parsed, err := url.Parse(base)
		switch {
		case !slices.Contains(known, name):
			errs = append(errs, fmt.Errorf("WORKER_OPS: entry %d: its service is not one of %s", i+1, strings.Join(known, ", ")))
		case err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil ||
			strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.Fragment != "":
			errs = append(errs, fmt.Errorf("WORKER_OPS: entry %d: not service=http://host:port", i+1))
		default:
			targets = append(targets, target{name, parsed.Scheme + "://" + parsed.Host})
		}
	}
	return targets, errors.Join(errs...)
}

// health of a process, as this console sees it.
type health string

// The healths. Silent is a process that does not answer in time, whatever the reason.
const (
	healthUnasked health = "unasked"
	healthReady   health = "ready"
	healthRed     health = "red"
	healthSilent  health = "silent"
)

// instance is one process of a service with what it last told about itself.
type instance struct {
	Service string
	Address string // host:port
	Health  health
	Since   time.Time // in this health, as long as this console has looked
	report

	looks samples // of Handled
}

// report is what a process tells at its ops address. What it did not tell is unknown.
type report struct {
	Reasons      []reason // why it is not ready, with what to do
	Breaker      *bool    // whether its breaker lets only probes through
	BreakerSince time.Time
	Held         []string // sources that its dead-letter guard holds
	Guarded      bool     // whether it told about its guard at all
	Handled      *int64   // records that it has finished since it began
}

// reason is a condition of readiness that is not met.
type reason struct{ Condition, Text string }

// scraper asks the processes of WORKER_OPS for their readiness and their metrics, every few seconds.
type scraper struct {
	client *http.Client

	mu        sync.Mutex
	instances []instance
	bases     []string
}

func newScraper(targets []target) *scraper {
	transport := &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: scrapeWithin}
	s := &scraper{client: &http.Client{
		Transport: transport, Timeout: scrapeWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, t := range targets {
		_, address, _ := strings.Cut(t.base, "://")
		s.instances = append(s.instances, instance{Service: t.service, Address: address, Health: healthUnasked})
		s.bases = append(s.bases, t.base)
	}
	return s
}

// of gives the processes of a service; none where WORKER_OPS names none.
func (s *scraper) of(service string) []instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.instances), func(i instance) bool { return i.Service != service })
}

// run asks all of them, again and again, until ctx ends.
func (s *scraper) run(ctx context.Context) {
	if len(s.bases) == 0 {
		return
	}
	defer s.client.CloseIdleConnections()
	ticker := time.NewTicker(scrapeEvery)
	defer ticker.Stop()
	for {
		s.round(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// round asks each process once, all at the same time: one that is silent does not hold up the others.
func (s *scraper) round(ctx context.Context) {
	var asking sync.WaitGroup
	for i, base := range s.bases {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, scrapeWithin)
			defer cancel()
			health, told := s.ask(ctx, base, s.instances[i].Service)
			if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
				return // the console stops: that says nothing about the process
			}
			s.note(i, health, told)
		})
	}
	asking.Wait()
}

func (s *scraper) note(i int, now health, told report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := time.Now()
	known := &s.instances[i]
	if told.Breaker != nil && *told.Breaker {
		told.BreakerSince = at
		if !known.BreakerSince.IsZero() {
			told.BreakerSince = known.BreakerSince
		}
	}
	if known.Health != now {
		known.Health, known.Since = now, at
	}
	known.report = told
	if told.Handled == nil {
		known.looks = nil
		return
	}
	known.looks.add(sample{at, map[string]int64{known.Service: *told.Handled}})
}

// rate is how many records a service finishes by its own count, in which a transaction's mark is no record; not known unless all
// of its processes tell.
func (s *scraper) rate(service string) speed {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := speed{}
	for _, i := range s.instances {
		if i.Service != service {
			continue
		}
		one := i.looks.rate(service)
		if !one.Known {
			return speed{}
		}
		sum.Known, sum.Second = true, sum.Second+one.Second
	}
	return sum
}
