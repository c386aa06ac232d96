package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Bounds of what a process may answer.
const (
	maxReadiness = 64 << 10
	maxMetrics   = 4 << 20
	maxReasons   = 10
	maxReason    = 1024
)

// What is read of the metrics of pkg/worker.
const (
	counterRecords = "orderflow_worker_records_total"
	notFinal       = "retry" // the outcome of a record that will have another one
	gaugeBreaker   = "orderflow_worker_breaker_open"
	gaugeHeld      = "orderflow_dead_letter_guard_held"
)

// ask asks one process for its readiness, and where it answers for its metrics. Metrics that cannot be read leave their
// part of the report unknown.
func (s *scraper) ask(ctx context.Context, base, service string) (health, report) {
	status, body, err := s.get(ctx, base+"/readyz", maxReadiness)
	if err != nil {
		return healthSilent, report{}
	}
	reasons, ok := readReadiness(status, body)
	if !ok {
		return healthSilent, report{}
	}
	told := report{Reasons: reasons}
	if status, body, err := s.get(ctx, base+"/metrics", maxMetrics); err == nil && status == http.StatusOK {
		readGauges(&told, body, service)
	}
	if status == http.StatusOK {
		return healthReady, told
	}
	return healthRed, told
}

func (s *scraper) get(ctx context.Context, address string, most int64) (status int, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("ask a process: %w", err)
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("ask a process: %w", err)
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, most+1))
	if err == nil && int64(len(body)) > most {
		err = fmt.Errorf("over %d bytes", most)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read a process's answer: %w", err)
	}
	return answer.StatusCode, body, nil
}

// readReadiness reads what boot.Health writes; false for an answer that it would not give.
func readReadiness(status int, body []byte) ([]reason, bool) {
	var said struct {
		Status  string            `json:"status"`
		Reasons map[string]string `json:"reasons"`
	}
	if json.Unmarshal(body, &said) != nil || said.Status == "" ||
		status != http.StatusOK && status != http.StatusServiceUnavailable {
		return nil, false
	}
	var reasons []reason
	for condition, text := range said.Reasons {
		reasons = append(reasons, reason{cut(condition), cut(text)})
	}
	slices.SortFunc(reasons, func(a, b reason) int { return cmp.Compare(a.Condition, b.Condition) })
	return reasons[:min(len(reasons), maxReasons)], true
}

func cut(text string) string {
	if len(text) > maxReason {
		return strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

// readGauges takes the states of the service's breaker and guard, and how many records it has handled, out of its metrics.
func readGauges(told *report, body []byte, service string) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		return
	}
	for _, m := range families[gaugeBreaker].GetMetric() {
		if labelOf(m, "service") == service {
			open := m.GetGauge().GetValue() > 0
			told.Breaker = &open
			told.Handled = new(int64) // a counter shows itself with its first record
		}
	}
	for _, m := range families[counterRecords].GetMetric() {
		if told.Handled != nil && labelOf(m, "service") == service && labelOf(m, "outcome") != notFinal {
			*told.Handled += int64(m.GetCounter().GetValue())
		}
	}
	for _, m := range families[gaugeHeld].GetMetric() {
		if labelOf(m, "service") != service {
			continue
		}
		told.Guarded = true
		if m.GetGauge().GetValue() > 0 {
			told.Held = append(told.Held, cut(labelOf(m, "source")))
		}
	}
	slices.Sort(told.Held)
}

func labelOf(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}
