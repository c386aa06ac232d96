package main

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	seconds *prometheus.HistogramVec
	logins  *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "orderflow_console_request_seconds", Help: "Time to answer a request, by the address's pattern and the status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"address", "status"})}
	m.logins = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "orderflow_console_logins_total",
		Help: "Names with a password that were given, by outcome: entered, wrong, limited (too many wrong ones from there), busy (too many at once).",
	}, []string{"outcome"})
	registry.MustRegister(m.seconds, m.logins)
	return m
}

func (m *metrics) answered(pattern string, status int, took time.Duration) {
	m.seconds.WithLabelValues(pattern, strconv.Itoa(status)).Observe(took.Seconds())
}
