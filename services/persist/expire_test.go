package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"orderflow/pkg/boot"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

func TestExpireEveryHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		e := newExpirer(nil, privacy.Retention{}, &boot.Process{Log: zap.New(core), Metrics: prometheus.NewRegistry()})
		answers := []error{nil, errors.New("away"), store.ErrExpiring, nil}
		var rounds atomic.Int64
		e.expire = func(context.Context) (store.Expired, error) {
			n := int(rounds.Add(1))
			return store.Expired{Orders: n % 2}, answers[min(n, len(answers))-1]
		}
		stop := e.start(t.Context())
		for hours, want := range []int64{1, 2, 3, 4, 5} {
			synctest.Wait()
			if n := rounds.Load(); n != want {
				t.Errorf("after %d hours: %d rounds", hours, n)
			}
			if hours < 4 {
				<-time.After(expireEvery)
			}
		}
		stop()
		if n := logs.FilterMessage("expired payloads not removed").Len(); n != 1 {
			t.Errorf("%d warnings, wanted one for the outage and none for another process's work", n)
		}
		if n := testutil.ToFloat64(e.removed.WithLabelValues("orders")); n != 3 {
			t.Errorf("%v orders counted", n)
		}
	})
}

// What persist stores goes when its time has passed, by the settings of a source.
func TestExpiredPayloads(t *testing.T) {
	b := freshBench(t)
	b.keep(validated(t, order.ICBU, example(t, "icbu/good-seed.json"), 1), validated(t, order.Procurement, example(t, "procurement/good-seed.json"), 2))
	kept, err := privacy.ParseRetention("icbu=2160h,procurement=720000h")
	if err != nil {
		t.Fatal(err)
	}
	b.rows(`update orders set received_at = now() - interval '91 days'`)
	e := newExpirer(b.store, kept, b.process)
	e.round(t.Context())
	b.want(`select source, payload is null, personal is null, total is null from orders order by 1`, "icbu true true false", "procurement false false false")
}
