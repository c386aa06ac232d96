package main

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

// expireEvery is how late a payload may go after its retention has passed.
const expireEvery = time.Hour

// expirer removes payloads and personal data whose retention has passed. Every persist has one; PostgreSQL lets one of
// them work at a time.
type expirer struct {
	expire  func(ctx context.Context) (store.Expired, error)
	log     *zap.Logger
	removed *prometheus.CounterVec
}

func newExpirer(db *store.Store, kept privacy.Retention, p *boot.Process) *expirer {
	e := &expirer{
		expire: func(ctx context.Context) (store.Expired, error) { return db.Expire(ctx, kept, service, "", nil) },
		log:    p.Log,
		removed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_expired_total",
			Help: "Payloads that were removed because their retention had passed, by what held them: orders, letters, requests.",
		}, []string{"of"}),
	}
	p.Metrics.MustRegister(e.removed)
	return e
}

// start works at once and then every hour, until ctx ends or the function that it returns is called, which waits for the end.
func (e *expirer) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e.round(ctx)
			select {
			case <-ctx.Done():
				return
			case <-time.After(expireEvery):
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// round never stops the service: what is not removed now is removed in the next hour.
func (e *expirer) round(ctx context.Context) {
	began := time.Now()
	removed, err := e.expire(ctx)
	e.removed.WithLabelValues("orders").Add(float64(removed.Orders))
	e.removed.WithLabelValues("letters").Add(float64(removed.Letters))
	e.removed.WithLabelValues("requests").Add(float64(removed.Requests))
	if removed != (store.Expired{}) {
		e.log.Info("expired payloads removed", zap.Int("orders", removed.Orders), zap.Int("letters", removed.Letters),
			zap.Int("requests", removed.Requests), zap.Duration("took", time.Since(began)))
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrExpiring) {
		e.log.Warn("expired payloads not removed", zap.String("cause", store.Describe(err)))
	}
}
