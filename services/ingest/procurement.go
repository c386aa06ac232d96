package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"

	"orderflow/pkg/event"
	"orderflow/pkg/source"
	"orderflow/pkg/source/procurement"
)

// Answers to Fenbeitong. The accepting one fulfils both shapes that the vendor documents (protocols 3.3).
const (
	procurementAccepted    = `{"code":0,"msg":"success","data":{"code":"1","msg":"success"}}`
	procurementAgain       = `{"code":1,"msg":"retry","data":{"code":"0","msg":"retry"}}`
	procurementUnreadable  = `{"code":2,"msg":"unreadable body","data":{"code":"0","msg":"unreadable body"}}`
	procurementTooLarge    = `{"code":3,"msg":"body over 1 MiB","data":{"code":"0","msg":"body over 1 MiB"}}`
	procurementUnsupported = `{"code":4,"msg":"send the body uncompressed","data":{"code":"0","msg":"send the body uncompressed"}}`
)

// procurementDialect takes Fenbeitong's purchase pushes, seed 001. The contract has no signature: the address holds a
// token.
type procurementDialect struct {
	tokens [][sha256.Size]byte
	accept bool // what is no JSON is accepted, into quarantine
}

func newProcurement(tokens []string, unreadable string) *procurementDialect {
	d := &procurementDialect{accept: unreadable == unreadableAccept}
	for _, token := range tokens {
		d.tokens = append(d.tokens, sha256.Sum256([]byte(token)))
	}
	return d
}

// knows compares with every token, by digests, so that time tells neither which one comes near nor how long it is.
func (d *procurementDialect) knows(r *http.Request) bool {
	token, _ := procurementToken(r.URL.Path)
	given := sha256.Sum256([]byte(token))
	match := 0
	for i := range d.tokens {
		match |= subtle.ConstantTimeCompare(given[:], d.tokens[i][:])
	}
	return match == 1
}

func (d *procurementDialect) judge(p *push) verdict {
	content, err := readContentType(p.request.Header.Get("Content-Type")).utf8(p.body.content)
	if err == nil {
		err = source.Check(content)
	}
	if err != nil {
		return d.unreadable()
	}
	head, _ := procurement.Peek(content) // a document that is no object gets an unnamed key, and validate parks it
	m := p.message(procurement.Key(content, head), content, "")
	return verdict{
		messages: []event.Message{m}, outcome: outcomeAccepted, answer: told([]byte(procurementAccepted)),
	}
}

func (d *procurementDialect) unreadable() verdict {
	v := verdict{cause: badJSON, trusted: true}
	if d.accept {
		v.receipt, v.outcome, v.answer = true, outcomeQuarantined, told([]byte(procurementAccepted))
		return v
	}
	v.outcome = string(badJSON)
	v.answer = func() answer { return answer{http.StatusBadRequest, []byte(procurementUnreadable)} }
	return v
}

func (d *procurementDialect) trouble(t trouble) []byte {
	switch t {
	case tooLarge:
		return []byte(procurementTooLarge)
	case unsupported:
		return []byte(procurementUnsupported)
	default:
		return []byte(procurementAgain)
	}
}
