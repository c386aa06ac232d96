package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/order"
)

// Bounds of a connection. A body that trickles is cut off after readTimeout and holds no slot before it is complete.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 25 * time.Second // from the end of the headers: body, acknowledgement and answer
	idleTimeout   = 2 * time.Minute
	maxHeader     = 32 << 10
	stopTimeout   = 6 * time.Second // a push waits at most ackTimeout, and boot ends the process after 8 s
)

// headerReceipt carries the receipt of an accepted push.
const headerReceipt = "Orderflow-Receipt"

// retryAfter is what a 503 asks a sender to wait, in seconds.
const retryAfter = "2"

// Addresses of the contracts; procurement's is /fenbeitong/{token}/procurement-orders.
const (
	icbuPath          = "/icbu/okki/orders"
	mallPath          = "/api/morder/thirdOrdAdd"
	procurementPrefix = "/fenbeitong/"
	procurementSuffix = "/procurement-orders"
)

// server is the HTTP side of the door: addresses, methods, limits of connections, and how an answer is written.
type server struct {
	door   *door
	health *boot.Health
}

// ServeHTTP finds the contract by the path, literally: no cleaning, no redirects.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; path {
	case icbuPath:
		s.take(w, r, order.ICBU)
	case mallPath:
		s.take(w, r, order.Mall)
	case "/healthz":
		look(w, r, s.health.ServeHealthz)
	case "/readyz":
		look(w, r, s.health.ServeReadyz)
	default:
		if _, ok := procurementToken(path); ok {
			s.take(w, r, order.Procurement)
			return
		}
		send(w, notFound)
	}
}

// procurementToken is the token in procurement's address.
func procurementToken(path string) (token string, ok bool) {
	token, okPrefix := strings.CutPrefix(path, procurementPrefix)
	token, okSuffix := strings.CutSuffix(token, procurementSuffix)
	return token, okPrefix && okSuffix && token != "" && !strings.Contains(token, "/")
}

func look(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		send(w, wrongMethod)
		return
	}
	serve(w, r)
}

func (s *server) take(w http.ResponseWriter, r *http.Request, source order.Source) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		send(w, wrongMethod)
		return
	}
	send(w, s.door.take(newPush(source, r, s.door.now())))
}

// reply is what goes back over the wire.
type reply struct {
	answer
	outcome string
	receipt string // "" but for an accepted push
	last    bool   // the connection is of no use any more
}

// Replies that belong to no contract. A wrong token gets notFound too: it must look like any address that does not exist.
var (
	notFound = reply{answer: answer{
		http.StatusNotFound,
		[]byte(`{"error":{"code":"not_found","message":"there is nothing at this address"}}`),
	}}
	wrongMethod = reply{answer: answer{
		http.StatusMethodNotAllowed,
		[]byte(`{"error":{"code":"method_not_allowed","message":"use another method"}}`),
	}}
)

func send(w http.ResponseWriter, r reply) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json;charset=UTF-8"}
	h["Content-Length"] = []string{strconv.Itoa(len(r.body))}
	switch {
	case r.status == http.StatusServiceUnavailable:
		h["Retry-After"] = []string{retryAfter}
	case r.status == http.StatusUnsupportedMediaType:
		h["Accept-Encoding"] = []string{"identity"}
	case r.receipt != "":
		h[headerReceipt] = []string{r.receipt}
	}
	if r.last {
		h["Connection"] = []string{"close"}
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // a sender that hung up asks again
}

// serve answers on the listener until ctx ends; then it takes nothing new and answers what it has accepted.
func (s *server) serve(ctx context.Context, listener net.Listener) error {
	httpServer := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: zap.NewStdLog(zap.NewNop()), // it would quote what strangers sent
	}
	failed := make(chan error, 1)
	go func() { failed <- httpServer.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve pushes: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := httpServer.Shutdown(stopping); err != nil {
		s.door.log.Warn("connections cut at the stop", zap.Error(err)) // their bodies never came whole: nothing was accepted
		_ = httpServer.Close()
	}
	return nil
}
