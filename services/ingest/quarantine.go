package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/receipt"
)

// Headers of a quarantined request, beside the house's own. Its content-digest is that of the whole body, and absent when
// the body was not read to its end.
const (
	headerCause  = "quarantine-cause"
	headerLength = "quarantine-length" // bytes of the whole body; absent when unknown
	headerRemote = "quarantine-remote" // the sender's network, never its address
)

// quarantine keeps refused requests.
type quarantine struct {
	client  *kgo.Client
	limiter *limiter
	ready   *readiness
	metrics *metrics
}

// keep writes a refused request and returns where it stands.
func (q *quarantine) keep(p *push, why cause, timeout time.Duration) ([]receipt.Record, error) {
	return write(q.client, quarantined(p, why)).wait(timeout)
}

// allows tells whether one more request of an unproven sender may be kept: within its rate, and while Kafka is there. The
// others are only counted, so that no flood fills the topic and nobody's refusal waits for Kafka.
func (q *quarantine) allows(p *push, why cause) bool {
	allowed := q.ready.kafka() && q.limiter.allow(p.source, p.request.RemoteAddr)
	if !allowed {
		q.metrics.dropped.WithLabelValues(string(p.source), string(why)).Inc()
	}
	return allowed
}

// keepIfAllowed keeps what an unproven sender sent, if it may, and waits but a moment for it.
func (q *quarantine) keepIfAllowed(p *push, why cause) {
	if !q.allows(p, why) {
		return
	}
	if _, err := q.keep(p, why, quarantineTimeout); err != nil {
		q.metrics.dropped.WithLabelValues(string(p.source), string(why)).Inc()
	}
}

func quarantined(p *push, why cause) event.Message {
	value := p.body.content[:min(len(p.body.content), quarantineSize)]
	digest := p.body.digest
	if digest == "" && p.body.length == int64(len(p.body.content)) {
		digest = order.Digest(p.body.content)
	}
	meta := event.Meta{PushID: p.id.String(), Digest: digest, TraceParent: p.trace}
	kind := clean(p.request.Header.Get("Content-Type"))
	m := event.New(event.Quarantine, service, meta, p.at, kind, value)
	setID(&m, meta.PushID)
	m.Key = string(p.source)
	m.SetHeader(event.HeaderOrderKey, "") // nobody knows what order it would have been
	m.SetHeader(headerCause, string(why))
	m.SetHeader(headerRemote, coarse(p.request.RemoteAddr))
	if p.body.length >= 0 {
		m.SetHeader(headerLength, strconv.FormatInt(p.body.length, 10))
	}
	return m
}

// clean bounds a header that strangers wrote to what is harmless in a log, a terminal and a database.
func clean(text string) string {
	const longest = 128
	text = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), longest)]
}
