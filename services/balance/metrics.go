package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

type metrics struct {
	active     prometheus.Gauge
	checks     *prometheus.CounterVec
	took       prometheus.Histogram
	unbalanced *prometheus.GaugeVec
	faults     *prometheus.GaugeVec
	oldest     *prometheus.GaugeVec
	reports    *prometheus.CounterVec
	foreign    prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "orderflow_balance_active", Help: "1 in the process that holds the right to balance, 0 in one that waits for it.",
		}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_balance_checks_total", Help: "Checks by result: ok or failed.",
		}, []string{"result"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "orderflow_balance_check_seconds", Help: "How long a check took.", Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		unbalanced: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "orderflow_balance_unbalanced_hours", Help: "Hours of the last 15 days with an offset that is missing, doubled or in one place only.",
		}, []string{"source"}),
		faults: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "orderflow_balance_faults", Help: "Offsets at fault in these hours.",
		}, []string{"source"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "orderflow_balance_open_hour_age_seconds", Help: "Time since the end of the oldest hour that has ended and is not closed; 0: none.",
		}, []string{"source"}),
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_balance_reports_total", Help: "Completeness records written, by whether they say complete.",
		}, []string{"complete"}),
		foreign: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "orderflow_balance_foreign_records_total", Help: "Records in orders.v1 that are not as validate writes them.",
		}),
	}
	registry.MustRegister(m.active, m.checks, m.took, m.unbalanced, m.faults, m.oldest, m.reports, m.foreign)
	m.show(nil, time.Time{})
	return m
}

func (m *metrics) checked(took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.checks.WithLabelValues(result).Inc()
	m.took.Observe(took.Seconds())
}

func (m *metrics) told(complete bool) {
	label := "false"
	if complete {
		label = "true"
	}
	m.reports.WithLabelValues(label).Inc()
}

// show tells of the hours of a check.
func (m *metrics) show(hours []store.BalanceHour, now time.Time) {
	for _, source := range order.Sources {
		var unbalanced, faults, oldest float64
		for i := range hours {
			h := &hours[i]
			if h.Source != source {
				continue
			}
			if !h.Tally.Balanced() {
				unbalanced++
				faults += float64(h.Tally.Faults)
			}
			if h.State != store.HourClosed {
				oldest = max(oldest, now.Sub(h.Hour.Add(time.Hour)).Seconds())
			}
		}
		m.unbalanced.WithLabelValues(string(source)).Set(unbalanced)
		m.faults.WithLabelValues(string(source)).Set(faults)
		m.oldest.WithLabelValues(string(source)).Set(oldest)
	}
}
