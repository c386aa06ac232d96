package boot

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health collects what makes a process ready: named conditions, each nil when good. Until a service has set its first
// condition it counts as starting, so set none before all of them can be told.
type Health struct {
	mu         sync.Mutex
	conditions map[string]error
}

// NewHealth returns a Health without conditions.
func NewHealth() *Health { return &Health{conditions: map[string]error{}} }

// Set records the state of one condition; the error's text is shown on /readyz to whoever asks, so it quotes no secret.
func (h *Health) Set(condition string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conditions[condition] = err
}

// Ready returns the conditions that are not met, by name.
func (h *Health) Ready() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.conditions) == 0 {
		return map[string]string{"start": "the service is starting"}
	}
	red := map[string]string{}
	for name, err := range h.conditions {
		if err != nil {
			red[name] = err.Error()
		}
	}
	return red
}

// ServeHealthz answers that the process lives.
func (h *Health) ServeHealthz(w http.ResponseWriter, _ *http.Request) {
	writeState(w, http.StatusOK, map[string]any{"status": "ok"})
}

// ServeReadyz answers 200 when every condition is met, else 503 with those that are not.
func (h *Health) ServeReadyz(w http.ResponseWriter, _ *http.Request) {
	red := h.Ready()
	if len(red) == 0 {
		writeState(w, http.StatusOK, map[string]any{"status": "ready"})
		return
	}
	names := slices.Sorted(maps.Keys(red))
	writeState(w, http.StatusServiceUnavailable, map[string]any{"status": "not ready", "waiting_for": names, "reasons": red})
}

func writeState(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

type opsServer struct {
	listener net.Listener
	server   *http.Server
}

// serveOps opens the ops address: /healthz, /readyz, /metrics.
func serveOps(addr string, p *Process) (*opsServer, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("OPS_ADDR: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", p.Health.ServeHealthz)
	mux.HandleFunc("GET /readyz", p.Health.ServeReadyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.Metrics, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() { _ = server.Serve(listener) }()
	return &opsServer{listener, server}, nil
}

// Addr is the address as bound.
func (o *opsServer) Addr() string { return o.listener.Addr().String() }

// Close stops serving at once.
func (o *opsServer) Close() { _ = o.server.Close() }
