package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// fault is one failure of a partner, interfaces.md section 4.
type fault struct {
	Partner string `json:"partner"`
	OrderNo string `json:"order_no,omitzero"`
	Status  int    `json:"status,omitzero"`
	Code    string `json:"code,omitzero"`
	SubCode string `json:"sub_code,omitzero"`
	DelayMS int    `json:"delay_ms,omitzero"`
	Hang    bool   `json:"hang,omitzero"`
	Drop    bool   `json:"drop,omitzero"`
	After   bool   `json:"after,omitzero"`
}

// effect is one order taken by a partner.
type effect struct {
	Seq     int64     `json:"seq"`
	Partner string    `json:"partner"`
	Shop    string    `json:"shop"`
	OrderNo string    `json:"order_no"`
	Amount  string    `json:"amount"`
	At      time.Time `json:"at"`
}

// held is one order as a partner holds it at the end.
type held struct {
	Partner string `json:"partner"`
	Shop    string `json:"shop"`
	OrderNo string `json:"order_no"`
	Times   int    `json:"times"`
	Amount  string `json:"amount"`
}

func (e effect) key() string { return partnerKey(e.Partner, e.Shop, e.OrderNo) }
func (h held) key() string   { return partnerKey(h.Partner, h.Shop, h.OrderNo) }

func partnerKey(partner, shop, number string) string {
	if partner == "ezr" {
		return "mall:" + shop + ":" + number
	}
	return "icbu:" + number
}

// partners is the sandbox's manual override. Setting faults replaces all of them, so those of the script and those of
// single orders are kept apart here.
type partners struct {
	base string

	mu      sync.Mutex
	script  map[string]fault // by partner
	refused map[string]fault // by order number
}

func newPartners(base string) *partners {
	return &partners{base: base, script: map[string]fault{}, refused: map[string]fault{}}
}

// strike sets the script's fault of a partner; nil clears it.
func (p *partners) strike(ctx context.Context, partner string, f *fault) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.script, partner)
	if f != nil {
		p.script[partner] = *f
	}
	return p.apply(ctx)
}

// refuse has the partner refuse one order, or take it again.
func (p *partners) refuse(ctx context.Context, f fault, on bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.refused, f.OrderNo)
	if on {
		p.refused[f.OrderNo] = f
	}
	return p.apply(ctx)
}

func (p *partners) apply(ctx context.Context) error {
	list := struct {
		Faults []fault `json:"faults"`
	}{Faults: []fault{}}
	for _, f := range p.refused { // first: an outage that takes the order all the same would undo the refusal
		list.Faults = append(list.Faults, f)
	}
	for _, f := range p.script {
		list.Faults = append(list.Faults, f)
	}
	return p.admin(ctx, http.MethodPut, "/_sandbox/faults", list, nil)
}

func (p *partners) existing(ctx context.Context, how string) error {
	return p.admin(ctx, http.MethodPut, "/_sandbox/config", map[string]string{"ezr_existing": how}, nil)
}

func (p *partners) effects(ctx context.Context) ([]effect, error) {
	var answer struct {
		Calls   []effect `json:"calls"`
		Dropped int64    `json:"dropped"`
	}
	err := p.admin(ctx, http.MethodGet, "/_sandbox/calls", nil, &answer)
	if err == nil && answer.Dropped > 0 {
		err = fmt.Errorf("the sandbox forgot %d effects: shorten the run", answer.Dropped)
	}
	return answer.Calls, err
}

func (p *partners) orders(ctx context.Context) ([]held, error) {
	var answer struct {
		Orders []held `json:"orders"`
	}
	err := p.admin(ctx, http.MethodGet, "/_sandbox/orders", nil, &answer)
	return answer.Orders, err
}

func (p *partners) admin(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 500))
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.UnmarshalRead(answer.Body, into)
}
