package worker

import (
	"go.uber.org/zap"

	"orderflow/pkg/boot"
)

// guardCondition is the readiness condition of one source's hold.
func guardCondition(source string) string { return "dead letter guard, " + source }

// showHold tells SREs that a source is held from now on.
func showHold(p *boot.Process, m *metrics, e *heldError) {
	p.Health.Set(guardCondition(e.source), e)
	m.held.WithLabelValues(m.service, e.source).Set(1)
	p.Log.Error("source held: too many of its records would be dead letters", zap.String("source", e.source),
		zap.Int("failed", e.bad), zap.Int("records", e.window), zap.Float64("ratio", e.ratio))
}

// showGoOn tells that the hold of a source is over, after a round that judged so many records.
func showGoOn(p *boot.Process, m *metrics, source string, failed, judged int) {
	hideHold(p, m, source)
	p.Log.Info("source goes on", zap.String("source", source), zap.Int("failed", failed), zap.Int("records", judged))
}

// hideHold clears the signs without a word, as at the end of a run.
func hideHold(p *boot.Process, m *metrics, source string) {
	p.Health.Set(guardCondition(source), nil)
	m.held.WithLabelValues(m.service, source).Set(0)
}
