package worker

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of a record, the label values of orderflow_worker_records_total.
const (
	outcomeDone       = "done"
	outcomeDeadLetter = "dead_letter"
	outcomeRetry      = "retry"
)

// metrics of both loops. The registry is the process's own, so that a second run in one process finds its metrics again.
type metrics struct {
	records *prometheus.CounterVec // service, topic, outcome
	letters *prometheus.CounterVec // service, code
	attempt prometheus.Observer
	running prometheus.Gauge
	waiting prometheus.Gauge
	paused  prometheus.Gauge
	breaker prometheus.Gauge
	held    *prometheus.GaugeVec // service, source
	service string
}

func newMetrics(registry prometheus.Registerer, service string) *metrics {
	label := []string{"service"}
	gauge := func(name, help string) prometheus.Gauge {
		return register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, label)).WithLabelValues(service)
	}
	m := &metrics{
		service: service,
		records: register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_worker_records_total", Help: "Records by what became of them; a retry is not final.",
		}, []string{"service", "topic", "outcome"})),
		letters: register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_dead_letters_total", Help: "Dead letters written, by code.",
		}, []string{"service", "code"})),
		attempt: register(registry, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "orderflow_worker_attempt_seconds", Help: "Time of one handler call, or of one transaction.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}, label)).WithLabelValues(service),
		running: gauge("orderflow_worker_lanes_in_flight", "Order keys in a handler call."),
		waiting: gauge("orderflow_worker_lanes_waiting", "Order keys waiting in backoff."),
		paused:  gauge("orderflow_worker_partitions_paused", "Partitions not fetched, for they hold too much."),
		breaker: gauge("orderflow_worker_breaker_open", "1 while the breaker lets only probes through."),
		held: register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "orderflow_dead_letter_guard_held", Help: "1 while a source's live records wait, for too many would be dead letters.",
		}, []string{"service", "source"})),
	}
	for _, source := range guardedSources() {
		m.held.WithLabelValues(service, source).Set(0)
	}
	return m
}

func (m *metrics) record(topic, outcome string) {
	m.records.WithLabelValues(m.service, topic, outcome).Inc()
}

func (m *metrics) letter(code Code) { m.letters.WithLabelValues(m.service, string(code)).Inc() }

// register registers a metric or finds the one that is registered.
func register[C prometheus.Collector](registry prometheus.Registerer, c C) C {
	err := registry.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		return already.ExistingCollector.(C)
	}
	if err != nil {
		panic(err) // two metrics of one name and different shape: a mistake in this file
	}
	return c
}
