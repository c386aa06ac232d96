package delivery

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what a partner answered, order by order.
type Metrics struct {
	answers *prometheus.CounterVec
	took    prometheus.Histogram
	dirty   prometheus.Gauge
}

// NewMetrics makes and registers the metrics of one partner.
func NewMetrics(registry prometheus.Registerer, partner string) *Metrics {
	labels := prometheus.Labels{"partner": partner}
	m := &Metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orderflow_partner_answers_total", ConstLabels: labels,
			Help: "Answers of a partner by class, one per order sent; taken, or a class of failure.",
		}, []string{"class"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "orderflow_partner_call_seconds", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
			Help: "Time of a partner's call, counted once per order sent.",
		}),
	}
	m.dirty = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "orderflow_ledger_dirty_rows", ConstLabels: labels,
		Help: "Orders whose newest delivered content a late call may have overwritten at the partner, of all instances together.",
	})
	registry.MustRegister(m.answers, m.took, m.dirty)
	return m
}

func (m *Metrics) count(a Answer) {
	class := "taken"
	if a.Err != nil {
		class = string(a.Err.Class)
	}
	m.answers.WithLabelValues(class).Inc()
	m.took.Observe(a.Took.Seconds())
}
