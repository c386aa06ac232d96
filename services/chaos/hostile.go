package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/sender"
)

// hostilePrefix begins every number that must never get past the door.
const hostilePrefix = "HX"

// hostile sends one request that must be refused, and does not try again.
func (l *load) hostile(ctx context.Context, r *rand.Rand) {
	a := author{source: order.Sources[r.IntN(len(order.Sources))], number: fmt.Sprintf("%s%07d", hostilePrefix, l.serial), shop: "HQS0001", serial: l.serial, at: time.Now()}
	doc := a.write(1, hostile, "")
	attacks := []struct {
		kind string
		send func(context.Context, document) (int, bool, error)
	}{
		{"hostile: forged signature", l.forged},
		{"hostile: no JSON", l.noJSON},
		{"hostile: too large", l.tooLarge},
		{"hostile: cut short", l.cutShort},
		{"hostile: unknown token", l.unknownToken},
	}
	attack := attacks[r.IntN(len(attacks))]
	entry := attempt{At: time.Now().UTC(), Kind: attack.kind, Docs: []document{doc}}
	sending, cancel := context.WithTimeout(ctx, pushWithin)
	defer cancel()
	var err error
	entry.Status, entry.Accepted, err = attack.send(sending, doc)
	entry.Took = time.Since(entry.At).Milliseconds()
	if err != nil {
		entry.Error = err.Error()
	}
	l.journal.write(entry)
}

func (l *load) forged(ctx context.Context, doc document) (int, bool, error) {
	forger := sender.New(l.stack.ingest, sender.Secrets{ICBU: "12345678=not-the-secret", Procurement: "not-the-token", Mall: "EZP=not-the-token"})
	body := doc.body
	if doc.Source == string(order.Mall) {
		body = append(append([]byte("["), body...), ']')
	}
	answer, err := forger.Send(ctx, sender.Push{Source: order.Source(doc.Source), Body: body})
	return answer.Status, answer.Accepted, err
}

// noJSON is signed well. Procurement's sender is told that it was taken, into quarantine: that is no acceptance here.
func (l *load) noJSON(ctx context.Context, doc document) (int, bool, error) {
	source := order.Source(doc.Source)
	if source == order.Procurement {
		source = order.ICBU
	}
	answer, err := l.sender.Send(ctx, sender.Push{Source: source, Body: append([]byte("{"), doc.body...)})
	return answer.Status, answer.Accepted, err
}

func (l *load) tooLarge(ctx context.Context, doc document) (int, bool, error) {
	body := bytes.TrimSuffix(doc.body, []byte("}"))
	body = append(body, []byte(`,"note":"`+strings.Repeat("x", 2<<20)+`"}`)...)
	if doc.Source == string(order.Mall) {
		body = append(append([]byte("["), body...), ']')
	}
	answer, err := l.sender.Send(ctx, sender.Push{Source: order.Source(doc.Source), Body: body})
	return answer.Status, answer.Accepted, err
}

// cutShort promises more bytes than it sends, and hangs up.
func (l *load) cutShort(ctx context.Context, doc document) (int, bool, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(l.stack.ingest, "http://"))
	if err != nil {
		return 0, false, err
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /fenbeitong/%s/procurement-orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		procurementTokens, len(doc.body)+10, doc.body)
	return 0, false, err
}

func (l *load) unknownToken(ctx context.Context, doc document) (int, bool, error) {
	address := l.stack.ingest + "/fenbeitong/" + url.PathEscape(hostilePrefix) + "/procurement-orders"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(doc.body))
	if err != nil {
		return 0, false, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, false, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	return answer.StatusCode, answer.StatusCode == http.StatusOK && bytes.Contains(text, []byte(`"code":"1"`)), err
}
