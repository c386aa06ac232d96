package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/privacy"
	"orderflow/pkg/ratelimit"
	"orderflow/pkg/store"
)

// Bounds of a connection and of a request.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	answerTimeout = 10 * time.Second // of a handler
	writeTimeout  = 30 * time.Second // from the end of the headers: body, answer and a slow reader
	idleTimeout   = 2 * time.Minute
	stopTimeout   = 6 * time.Second // boot ends the process after 8 s
	maxHeader     = 32 << 10
	maxBody       = 64 << 10
	maxReplayBody = 256 << 10 // of a new replay, which may name 10,000 letters
)

// console answers people and their programs.
type console struct {
	log       *zap.Logger
	health    *boot.Health
	metrics   *metrics
	door      *door
	db        *store.Store
	writer    *store.Writer
	personal  *privacy.Keys
	rehearser *rehearser
	receipts  *receipts
	refused   *refused
	strangers *ratelimit.Buckets[netip.Addr] // of receipts without a login
	proxies   []netip.Prefix                 // whose X-Forwarded-For is believed
	vain      *vains
	wake      func() // makes the runner look for jobs at once
	pages     *pages

	approvalSize   int
	replayMaxTimes int
}

// handler is everything between a request and its answer: log, headers, origin, address.
func (c *console) handler(origins []string) (http.Handler, error) {
	mux := c.routes()
	origin := http.NewCrossOriginProtection()
	for _, o := range origins {
		if err := origin.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("CONSOLE_ORIGINS: %w", err)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &watched{ResponseWriter: w, status: http.StatusOK}
		secure(seen.Header())
		defer func() {
			if recover() != nil { // its text may quote anything
				c.log.Error("panic in a handler", zap.String("address", r.Pattern), zap.Stack("stack"))
				if !seen.wrote {
					c.mishap(seen, r, errInternal)
				}
			}
			c.seen(r, seen, time.Since(began))
		}()
		r.Body = http.MaxBytesReader(seen, r.Body, bodyLimit(r.URL.Path))
		if origin.Check(r) != nil {
			c.mishap(seen, r, errOrigin)
			return
		}
		c.find(mux, seen, r)
	}), nil
}

func bodyLimit(path string) int64 {
	if path == "/api/replays" || path == "/replays" {
		return maxReplayBody
	}
	return maxBody
}

// find answers by the address. What the mux says about addresses and methods that do not exist becomes our own answer.
func (c *console) find(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	none, pattern := mux.Handler(r)
	if pattern != "" {
		mux.ServeHTTP(w, r)
		return
	}
	verdict := &watched{ResponseWriter: discard{http.Header{}}}
	none.ServeHTTP(verdict, r)
	if verdict.status != http.StatusMethodNotAllowed {
		c.mishap(w, r, errNotFound)
		return
	}
	w.Header().Set("Allow", verdict.Header().Get("Allow"))
	c.mishap(w, r, errMethod)
}

// secure sets the headers of every answer. Nothing may be embedded, run or kept; pages that need more say so themselves.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// seen logs a request by its address's pattern: a receipt is a key, and a query may hold anything.
func (c *console) seen(r *http.Request, w *watched, took time.Duration) {
	pattern := r.Pattern
	switch pattern {
	case "":
		pattern = "none"
	case patternHealthz, patternReadyz:
		return
	}
	c.metrics.answered(pattern, w.status, took)
	c.log.Info("answered", zap.String("address", pattern), zap.Int("status", w.status), zap.Duration("took", took))
}

// watched remembers what was answered.
type watched struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (w *watched) WriteHeader(status int) {
	w.status, w.wrote = status, true
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(text []byte) (int, error) {
	w.wrote = true
	return w.ResponseWriter.Write(text)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard takes an answer that nobody sees.
type discard struct{ header http.Header }

func (d discard) Header() http.Header          { return d.header }
func (discard) Write(text []byte) (int, error) { return len(text), nil }
func (discard) WriteHeader(int)                {}

// serve answers on the listener until ctx ends; then it takes nothing new and finishes what it has begun.
func (c *console) serve(ctx context.Context, listener net.Listener, origins []string) error {
	handler, err := c.handler(origins)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: zap.NewStdLog(zap.NewNop()), // it would quote what strangers sent
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the console: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		c.log.Warn("connections cut at the stop", zap.Error(err))
		_ = server.Close()
	}
	return nil
}
