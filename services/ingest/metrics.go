package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"orderflow/pkg/order"
)

// metrics of the door. Every label has a closed set of values.
type metrics struct {
	pushes   *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	dropped  *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_ingest_pushes_total", Help: "Pushes by source and by what their sender was told.",
		}, []string{"source", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "orderflow_ingest_request_seconds", Help: "Time from a push's headers to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"source"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "orderflow_ingest_in_flight", Help: "Pushes being judged or written.",
		}, []string{"source"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_ingest_quarantine_dropped_total",
			Help: "Refused requests of unproven senders that were counted but not kept.",
		}, []string{"source", "cause"}),
	}
	for _, s := range order.Sources { // so that a rate is seen from the first event on
		for _, why := range causes {
			m.dropped.WithLabelValues(string(s), string(why))
		}
		for _, outcome := range []string{outcomeAccepted, outcomeAgain, outcomeOverloaded} {
			m.pushes.WithLabelValues(string(s), outcome)
		}
	}
	registry.MustRegister(m.pushes, m.seconds, m.inFlight, m.dropped)
	return m
}
