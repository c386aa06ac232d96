// Package okki calls OKKI (小满) over the TOP/Qimen gateway, the way seed 000's orders reach fulfilment: signing, the
// shapes of an answer, and what each answer means for the order (protocols 2.3 and 2.4).
package okki

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"orderflow/pkg/partner"
	"orderflow/pkg/source"
)

// Method is the API name of seed 000.
const Method = "qimen.alibaba.okki.customer.order.create"

// connections bounds those to the gateway; it is the default number of lanes.
const connections = 256

// Client calls OKKI. It is safe for concurrent use.
type Client struct {
	settings Settings
	target   *url.URL
	http     *http.Client
	now      func() time.Time
}

// New makes a client. It makes no call yet; an error means that the settings were not validated.
func New(s Settings) (*Client, error) {
	if err := errors.Join(s.Validate(), s.Credentials.Validate()); err != nil {
		return nil, fmt.Errorf("okki client: %w", err)
	}
	target, err := partner.ParseURL(s.URL)
	if err != nil {
		return nil, fmt.Errorf("okki client: %w", err)
	}
	return &Client{settings: s, target: target, http: partner.NewHTTPClient(connections), now: time.Now}, nil
}

// Create hands over one order, the normalised document of seed 000 as it stands, unknown fields included. Its error is
// always a *partner.Error. Sending the same document again is safe as far as ali_order_no identifies the order.
func (c *Client) Create(ctx context.Context, document []byte) (partner.Answer, error) {
	found, err := c.call(ctx, document)
	if err != nil {
		return partner.Answer{}, err
	}
	if found.err != nil {
		return partner.Answer{}, found.err
	}
	return partner.Answer{Code: found.code}, nil
}

// Query passes a price query (action 0) on and returns OKKI's own answer, unwrapped, whatever it says. The error, always a
// *partner.Error, means that OKKI itself did not answer: it is away, slow or broken, or refused our credentials.
func (c *Client) Query(ctx context.Context, query []byte) ([]byte, error) {
	found, err := c.call(ctx, query)
	if err != nil {
		return nil, err
	}
	if found.business == nil || (found.err != nil && found.err.Class == partner.Configuration) {
		return nil, found.err
	}
	return found.business, nil
}

// call makes one call; a timestamp that the gateway did not like is replaced once, since the request may have waited.
func (c *Client) call(ctx context.Context, body []byte) (verdict, error) {
	for again := false; ; again = true {
		reply, err := partner.Post(ctx, c.http, c.signed(body), "application/json;charset=utf-8", body)
		if err != nil {
			return verdict{}, forOneOrder(err)
		}
		found := read(reply.Body)
		if found.err != nil && found.err.RetryAfter == 0 {
			found.err.RetryAfter = partner.RetryAfter(reply.Header, c.now())
		}
		if !found.clock || again {
			return found, nil
		}
	}
}

// signed is the target with every parameter in its query, as the gateway wants it beside a JSON body.
func (c *Client) signed(body []byte) string {
	params := c.target.Query()
	params.Set("method", Method)
	params.Set("app_key", c.settings.Credentials.AppKey)
	params.Set("timestamp", c.now().In(source.Zone).Format(source.TimeLayout))
	params.Set("format", "json")
	params.Set("v", "2.0")
	params.Set("sign_method", c.settings.SignMethod)
	if c.settings.Credentials.TargetAppKey != "" {
		params.Set("target_app_key", c.settings.Credentials.TargetAppKey)
	}
	params.Set("sign", Sign(c.settings.SignMethod, c.settings.Credentials.AppSecret, params, body))
	target := *c.target
	target.RawQuery = params.Encode()
	return target.String()
}

// forOneOrder turns "too large", which nothing can halve here, into a refusal.
func forOneOrder(err error) error {
	if failed, ok := errors.AsType[*partner.Error](err); ok && failed.Class == partner.TooLarge {
		return &partner.Error{Class: partner.Refused, Code: failed.Code, Err: failed.Err}
	}
	return err
}
