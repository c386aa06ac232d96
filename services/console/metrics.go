package main

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	seconds *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "orderflow_console_request_seconds", Help: "Time to answer a request, by the address's pattern and the status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"address", "status"})}
	registry.MustRegister(m.seconds)
	return m
}

func (m *metrics) answered(pattern string, status int, took time.Duration) {
	m.seconds.WithLabelValues(pattern, strconv.Itoa(status)).Observe(took.Seconds())
}
