package registryserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/bus"
)

// Times of the HTTP server; an answer takes answerWithin at most.
const (
	readWithin = 5 * time.Second
	idleWithin = time.Minute
	stopWithin = time.Second
	maxHeader  = 16 << 10
)

// Server is a registry behind an address.
type Server struct {
	registry *Registry
	listener net.Listener
	server   *http.Server
}

// Start serves a registry on addr (port 0 takes a free one), over the topic of the given Kafka. It listens when Start
// returns; Kafka and the topic may come later, until when requests are answered 503. Close it.
func Start(addr string, kafka bus.Settings, log *zap.Logger) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start the schema registry: %w", err)
	}
	registry, err := Open(kafka, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the schema registry: %w", err), listener.Close())
	}
	s := &Server{registry: registry, listener: listener, server: &http.Server{
		Handler: registry.Handler(), ErrorLog: zap.NewStdLog(log), MaxHeaderBytes: maxHeader,
		ReadTimeout: readWithin, WriteTimeout: readWithin + 2*answerWithin, IdleTimeout: idleWithin,
	}}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

// URL is where clients find the registry.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close ends the server: open requests have a second, then they are cut.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		_ = s.server.Close()
	}
	s.registry.Close()
}
