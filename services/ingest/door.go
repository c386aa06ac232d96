package main

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/order"
	"orderflow/pkg/receipt"
)

// door takes pushes: it reads a body once, lets the contract judge it, carries the verdict out, and only then has an
// answer.
type door struct {
	log        *zap.Logger
	client     *kgo.Client
	keys       receipt.Keys
	gate       *gate
	budgets    map[order.Source]*budget
	quarantine *quarantine
	metrics    *metrics
	dialects   map[order.Source]dialect
	now        func() time.Time
}

func newDoor(cfg *Settings, p *boot.Process, client *kgo.Client, ready *readiness, prices pricer) (*door, error) {
	keys, errKeys := receipt.ParseKeys(cfg.Receipt.Keys)
	secrets, errSecrets := parsePairs("ICBU_SECRETS", cfg.Ingest.ICBUSecrets)
	apps, errApps := parseMallApps(cfg.Ingest.MallApps)
	if err := errors.Join(errKeys, errSecrets, errApps); err != nil {
		return nil, err
	}
	m := newMetrics(p.Metrics)
	d := &door{
		log: p.Log, client: client, keys: keys, metrics: m, now: time.Now,
		gate: newGate(cfg.Ingest.MaxInFlight), budgets: map[order.Source]*budget{},
		quarantine: &quarantine{client, newLimiter(cfg.Ingest.QuarantineRate, time.Now), ready, m},
		dialects: map[order.Source]dialect{
			order.ICBU:        newICBU(secrets, cfg.Ingest.SignatureWindow, prices, cfg.Ingest.MaxInFlight),
			order.Procurement: newProcurement(parseTokens(cfg.Ingest.ProcurementTokens), cfg.Ingest.Unreadable),
			order.Mall:        newMall(apps, cfg.Ingest.SignatureWindow),
		},
	}
	for _, s := range order.Sources {
		d.budgets[s] = &budget{limit: budgetSize}
	}
	return d, nil
}

// take handles one push from its headers to its answer.
func (d *door) take(p *push) reply {
	r := d.admit(p, d.dialects[p.source])
	took := d.now().Sub(p.at)
	d.metrics.pushes.WithLabelValues(string(p.source), r.outcome).Inc()
	d.metrics.seconds.WithLabelValues(string(p.source)).Observe(took.Seconds())
	d.log.Debug("push answered", zap.String("source", string(p.source)), zap.String("outcome", r.outcome),
		zap.Stringer("push_id", p.id), zap.Int("bytes", len(p.body.content)), zap.Duration("took", took))
	return r
}

// admit reads the body within its bounds and finds a slot; nothing of this looks into the body.
func (d *door) admit(p *push, contract dialect) reply {
	if !contract.knows(p.request) {
		return d.stranger(p)
	}
	budget := d.budgets[p.source]
	content, err := readBody(p.request, budget)
	p.body = content
	defer budget.give(content.counted)
	switch {
	case errors.Is(err, errTooLarge):
		d.quarantine.keepIfAllowed(p, bodyTooLarge)
		return reply{answer: answer{http.StatusRequestEntityTooLarge, contract.trouble(tooLarge)}, outcome: string(bodyTooLarge), last: true}
	case errors.Is(err, errOverloaded):
		return overloaded(contract)
	case err != nil:
		return reply{answer: answer{http.StatusRequestTimeout, contract.trouble(again)}, outcome: outcomeCutOff, last: true}
	}
	leave := d.gate.enter(p.source)
	if leave == nil {
		return overloaded(contract)
	}
	defer leave()
	gauge := d.metrics.inFlight.WithLabelValues(string(p.source))
	gauge.Inc()
	defer gauge.Dec()
	if compressed(p.request) {
		d.quarantine.keepIfAllowed(p, badJSON)
		return reply{answer: answer{http.StatusUnsupportedMediaType, contract.trouble(unsupported)}, outcome: outcomeUnsupported}
	}
	return d.carryOut(p, contract, contract.judge(p))
}

// carryOut does what the verdict asks for, and only then has an answer.
func (d *door) carryOut(p *push, contract dialect, v verdict) reply {
	var placed []receipt.Record
	var err error
	switch {
	case len(v.messages) > 0:
		placed, err = write(d.client, v.messages...).wait(ackTimeout)
	case v.cause != "" && v.trusted:
		placed, err = d.quarantine.keep(p, v.cause, ackTimeout)
	case v.cause != "":
		d.quarantine.keepIfAllowed(p, v.cause)
	}
	if err != nil {
		d.log.Warn("push not written", zap.String("source", string(p.source)), zap.Stringer("push_id", p.id), zap.Error(err))
		return reply{answer: answer{http.StatusServiceUnavailable, contract.trouble(again)}, outcome: outcomeAgain}
	}
	r := reply{answer: v.answer(), outcome: v.outcome}
	if len(v.messages) > 0 || v.receipt {
		r.receipt = receipt.Mint(d.keys, receipt.Receipt{
			PushID: p.id, Source: p.source, ReceivedAt: p.at, Quarantined: v.receipt, Records: placed,
		})
	}
	return r
}

// stranger answers who does not know the address. What it sent is read only when quarantine has room for it.
func (d *door) stranger(p *push) reply {
	if d.quarantine.allows(p, unknownToken) {
		p.body = readStart(p.request)
		_, _ = d.quarantine.keep(p, unknownToken, quarantineTimeout)
	}
	r := notFound
	r.outcome = string(unknownToken)
	return r
}

func overloaded(contract dialect) reply {
	return reply{answer: answer{http.StatusServiceUnavailable, contract.trouble(again)}, outcome: outcomeOverloaded}
}

func compressed(r *http.Request) bool {
	encoding := strings.TrimSpace(r.Header.Get("Content-Encoding"))
	return encoding != "" && !strings.EqualFold(encoding, "identity")
}
