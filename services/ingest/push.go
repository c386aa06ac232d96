package main

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/receipt"
)

const service = "ingest"

// push is one request on its way in.
type push struct {
	source  order.Source
	id      receipt.PushID
	at      time.Time
	request *http.Request
	body    body
	trace   string
}

func newPush(source order.Source, r *http.Request, at time.Time) *push {
	return &push{source: source, id: receipt.NewPushID(at), at: at, request: r, trace: traceParent(r.Header.Get("Traceparent"))}
}

// message makes the received record of one order. Its event id is the push's, with the place in the batch: the revision,
// which makes the house's usual event id, is the broker's to give.
func (p *push) message(key order.Key, value []byte, place string) event.Message {
	meta := event.Meta{OrderKey: key, Digest: order.Digest(value), PushID: p.id.String(), TraceParent: p.trace}
	m := event.New(event.Received(p.source), service, meta, p.at, "application/json", value)
	setID(&m, meta.PushID+place)
	return m
}

func setID(m *event.Message, id string) {
	for i := range m.Headers {
		if m.Headers[i].Key == event.HeaderID {
			m.Headers[i].Value = []byte(id)
		}
	}
}

// verdict is what a contract says about a push, once it was read and judged. Exactly one of three things follows:
// messages are written and then the accepting answer is given; or the request is kept in quarantine for its cause and then
// the answer is given; or, with neither, the answer is given as it is.
type verdict struct {
	messages []event.Message
	cause    cause
	trusted  bool // the sender proved who it is: what it sent is kept before it is refused, or it is told to try again
	receipt  bool // the push counts as accepted, into quarantine
	outcome  string
	answer   func() answer // called when the deed is done
}

// answer is what the sender is told.
type answer struct {
	status int
	body   []byte
}

// told makes an answer known beforehand, with HTTP 200.
func told(body []byte) func() answer {
	return func() answer { return answer{http.StatusOK, body} }
}

// dialect is one sender's contract.
type dialect interface {
	knows(r *http.Request) bool // whether the sender knows the address, before its body is read
	judge(p *push) verdict
	trouble(t trouble) []byte // how the contract tells trouble; the HTTP status says which
}

// trouble is what keeps a push from being judged at all, or its verdict from being carried out.
type trouble int

const (
	again       trouble = iota // not now: Kafka is away, or we are full
	tooLarge                   // body over 1 MiB
	unsupported                // compressed body
)

// cause is why a request is in quarantine, interfaces.md section 7.
type cause string

const (
	badSignature   cause = "bad_signature"
	stale          cause = "stale"
	unknownApp     cause = "unknown_app"
	unknownToken   cause = "unknown_token"
	badJSON        cause = "bad_json"
	bodyTooLarge   cause = "too_large"
	missingOrderNo cause = "missing_order_no"
	badBatch       cause = "bad_batch"
)

var causes = []cause{badSignature, stale, unknownApp, unknownToken, badJSON, bodyTooLarge, missingOrderNo, badBatch}

// Outcomes of a push beside the causes of a refusal, for the metrics.
const (
	outcomeAccepted    = "accepted"
	outcomeQuarantined = "quarantined" // accepted into quarantine
	outcomePriced      = "priced"
	outcomeUnpriced    = "okki_unavailable"
	outcomeAgain       = "again"       // Kafka away or its buffer full
	outcomeOverloaded  = "overloaded"  // no slot, or too many bytes in memory
	outcomeUnsupported = "unsupported" // compressed body
	outcomeCutOff      = "cut_off"     // the body never came whole
)

// traceParent keeps a valid W3C trace context of the sender, else starts one.
func traceParent(given string) string {
	if validTraceParent(given) {
		return given
	}
	var id [24]byte
	_, _ = rand.Read(id[:]) // never fails: the runtime ends the process instead
	var text [55]byte
	copy(text[:], "00-")
	hex.Encode(text[3:35], id[:16])
	text[35] = '-'
	hex.Encode(text[36:52], id[16:])
	copy(text[52:], "-00")
	return string(text[:])
}

func validTraceParent(text string) bool {
	if len(text) != 55 || !strings.HasPrefix(text, "00-") || text[35] != '-' || text[52] != '-' {
		return false
	}
	digits := text[3:35] + text[36:52] + text[53:]
	return strings.Trim(digits, "0123456789abcdef") == "" &&
		strings.Trim(text[3:35], "0") != "" && strings.Trim(text[36:52], "0") != ""
}
