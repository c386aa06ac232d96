package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
)

// priceTimeout is how long a price query may take in all, from its headers to its answer, with a little left for the way.
const priceTimeout = 2*time.Second - 250*time.Millisecond

// priceShare is the part of the slots that price queries may hold: OKKI's slowness must not keep orders out.
const priceShare = 8

// asksPrice tells whether an action means the price query: every way to write zero does, as it would for validate.
func asksPrice(action string) bool {
	n, err := order.ParseAmount(strings.TrimSpace(action))
	return err == nil && n.IsZero()
}

// pricer answers price queries; okki.Client does.
type pricer interface {
	Query(ctx context.Context, query []byte) ([]byte, error)
}

// icbuDialect takes the SPI calls of seed 000: signed over the raw bytes, JSON or form.
type icbuDialect struct {
	secrets map[string][]string // by app key; "*" for any
	nobody  []string            // what the signature of an unknown app is checked with, for the time that it takes
	window  time.Duration
	okki    pricer
	prices  chan struct{}
}

const anyKey = "*"

func newICBU(pairs []pair, window time.Duration, okki pricer, maxInFlight int) *icbuDialect {
	d := &icbuDialect{
		secrets: map[string][]string{}, nobody: []string{rand.Text()}, window: window, okki: okki,
		prices: make(chan struct{}, max(1, maxInFlight/priceShare)),
	}
	for _, p := range pairs {
		d.secrets[p.name] = append(d.secrets[p.name], p.secret)
	}
	return d
}

func (d *icbuDialect) knows(*http.Request) bool { return true }

func (d *icbuDialect) judge(p *push) verdict {
	call := icbu.SPIRequest{RawQuery: p.request.URL.RawQuery, Header: p.request.Header, Body: p.body.content}
	kind := readContentType(p.request.Header.Get("Content-Type"))
	kind.form = call.IsForm() // what was signed as a form is read as one, whatever else the header says
	query, form, why := d.verify(p, call)
	if why != "" {
		return verdict{cause: why, outcome: string(why), answer: told([]byte(icbuSignFailure))}
	}
	content, err := icbuContent(p, kind, query, form)
	if err == nil {
		err = source.Check(content)
	}
	if err != nil {
		return icbuRefusal(badJSON, icbuUnreadable)
	}
	head, err := icbu.Peek(content)
	switch {
	case err != nil:
		return icbuRefusal(badJSON, icbuUnreadable)
	case asksPrice(head.Action):
		return d.price(p, content)
	case head.OrderNo == "":
		return icbuRefusal(missingOrderNo, icbuMissingOrderNo)
	}
	m := p.message(icbu.Key(content, head), content, "")
	return verdict{
		messages: []event.Message{m}, outcome: outcomeAccepted,
		answer: func() answer { return answer{http.StatusOK, icbuEcho(content)} },
	}
}

// verify checks signature and timestamp over the bytes as they came, and returns the query and the form for what follows.
func (d *icbuDialect) verify(p *push, call icbu.SPIRequest) (query, form fields, why cause) {
	// A parameter that stands twice could be signed by one value and read by the other: such a call is not verified at all.
	query, err := parseForm([]byte(call.RawQuery))
	if err == nil && call.IsForm() {
		form, err = parseForm(call.Body)
	}
	if err != nil {
		return nil, nil, badSignature
	}
	secrets, known := d.secretsOf(query)
	signed := icbu.VerifySPI(secrets, call)
	at, err := icbu.ParseTimestamp(query.text("timestamp"))
	switch {
	case !known:
		return nil, nil, unknownApp
	case !signed:
		return nil, nil, badSignature
	case err != nil || !source.Fresh(at, p.at, d.window):
		return nil, nil, stale
	}
	return query, form, ""
}

// secretsOf looks up by app_key, then by target_app_key; those of any key count for all.
func (d *icbuDialect) secretsOf(query fields) (secrets []string, known bool) {
	for _, param := range []string{"app_key", "target_app_key"} {
		key := query.text(param)
		if key == anyKey {
			continue
		}
		if own := d.secrets[key]; len(own) > 0 {
			return append(own[:len(own):len(own)], d.secrets[anyKey]...), true
		}
	}
	if open := d.secrets[anyKey]; len(open) > 0 {
		return open, true
	}
	return d.nobody, false
}

// icbuContent is the order as UTF-8 JSON. Of a form, the fields that also stand in the query are call parameters: the
// query's value was signed in their place, so the form's is anybody's word.
func icbuContent(p *push, kind contentType, query, form fields) ([]byte, error) {
	if !kind.form {
		return kind.utf8(p.body.content)
	}
	if len(form) == 0 {
		return nil, errForm
	}
	values := make(map[string]string, len(form))
	for _, f := range form {
		if _, param := query.get(f.name); param {
			continue
		}
		name, err := kind.utf8(f.name)
		if err != nil {
			return nil, err
		}
		value, err := kind.utf8(f.value)
		if err != nil {
			return nil, err
		}
		values[string(name)] = string(value)
	}
	return icbu.FromForm(values)
}

// price passes a price query on to OKKI and gives OKKI's own answer; it is no order and leaves no record.
func (d *icbuDialect) price(p *push, content []byte) verdict {
	unpriced := verdict{outcome: outcomeUnpriced, answer: told([]byte(icbuNoPrice))}
	select {
	case d.prices <- struct{}{}:
		defer func() { <-d.prices }()
	default:
		return unpriced
	}
	ctx, cancel := context.WithDeadline(p.request.Context(), p.at.Add(priceTimeout))
	defer cancel()
	priced, err := d.okki.Query(ctx, content)
	if err != nil {
		return unpriced
	}
	return verdict{outcome: outcomePriced, answer: told(priced)}
}
