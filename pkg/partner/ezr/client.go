// Package ezr uploads mall orders to EZR (驿氪), interface 2030 `api/morder/thirdOrdAdd`: EZR's form of an order, signing,
// and what each answer means for a batch (protocols 4).
package ezr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"orderflow/pkg/partner"
	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
)

// Path of interface 2030 below the base address.
const Path = "api/morder/thirdOrdAdd"

// MaxBatch is the most orders of one call. The contract says "rows"; we count orders.
const MaxBatch = 100

// MaxArgs bounds the orders of one batch in bytes; a single order may be larger. EZR's own bound (code 1001) is not
// published; this one keeps memory bounded.
const MaxArgs = 2 << 20

// connections bounds those to EZR. It grants ten calls at once in production; the caller keeps that limit.
const connections = 64

// Client calls EZR. It is safe for concurrent use.
type Client struct {
	settings Settings
	target   string
	http     *http.Client
	now      func() time.Time
}

// New makes a client. It makes no call yet; an error means that the settings were not validated.
func New(s Settings) (*Client, error) {
	if err := errors.Join(s.Validate(), s.Credentials.Validate()); err != nil {
		return nil, fmt.Errorf("ezr client: %w", err)
	}
	base, err := partner.ParseURL(s.URL)
	if err != nil {
		return nil, fmt.Errorf("ezr client: %w", err)
	}
	return &Client{
		settings: s,
		target:   base.JoinPath(Path).String(),
		http:     partner.NewHTTPClient(connections),
		now:      time.Now,
	}, nil
}

// Upload sends one batch: the Body of 1 to MaxBatch encoded orders, all of one ShopCode, none twice. Its error is always a
// *partner.Error and speaks of the batch as a whole, since EZR gives no verdict per order.
func (c *Client) Upload(ctx context.Context, orders [][]byte) (partner.Answer, error) {
	size := len("[]")
	for _, order := range orders {
		size += len(order) + len(",")
	}
	if len(orders) == 0 {
		return partner.Answer{}, &partner.Error{Class: partner.Refused, Code: CodeNoData, Err: errors.New("empty batch, nothing sent")}
	}
	if len(orders) > MaxBatch || (len(orders) > 1 && size > MaxArgs) {
		return partner.Answer{}, &partner.Error{Class: partner.TooLarge, Code: CodeTooLong, Err: errors.New("batch beyond our bounds, nothing sent")}
	}
	args := make([]byte, 0, size)
	args = append(args, '[')
	args = append(args, bytes.Join(orders, []byte(","))...)
	args = append(args, ']')
	for again := false; ; again = true {
		answer, err := c.call(ctx, args)
		failed, ok := errors.AsType[*partner.Error](err)
		if !ok {
			return answer, nil
		}
		// The request may have waited between signing and sending; a second 308 means that a clock is wrong.
		if failed.Code == CodeClock && !again {
			continue
		}
		return partner.Answer{}, forBatch(failed, len(orders))
	}
}

func (c *Client) call(ctx context.Context, args []byte) (partner.Answer, error) {
	credentials := c.settings.Credentials
	timestamp := c.now().In(source.Zone).Format(mall.TimestampLayout)
	form := url.Values{
		"AppId":     {credentials.AppID},
		"Timestamp": {timestamp},
		"Sign":      {mall.Sign(credentials.Sign, credentials.AppID, timestamp, credentials.Token)},
		"AppSystem": {c.settings.AppSystem},
		"Args":      {string(args)},
	}
	reply, err := partner.Post(ctx, c.http, c.target, "application/x-www-form-urlencoded;charset=utf-8", []byte(form.Encode()))
	if err != nil {
		return partner.Answer{}, err
	}
	found, ok := read(reply.Body)
	if !ok {
		return partner.Answer{}, &partner.Error{Class: partner.Unknown, Code: partner.CodeBrokenAnswer}
	}
	if !found.status() {
		failed := classify(string(found.StatusCode))
		if wait := partner.RetryAfter(reply.Header, c.now()); wait > 0 {
			failed.RetryAfter = wait
		}
		return partner.Answer{}, failed
	}
	if !mall.VerifySign(credentials.Sign, credentials.AppID, string(found.Timestamp), credentials.Token, string(found.Sign)) {
		// Not EZR's own words: credentials that were wrong on our side would have been answered by 405.
		return partner.Answer{}, &partner.Error{Class: partner.Unknown, Code: CodeBadAnswerSign}
	}
	return partner.Answer{Code: partner.SafeCode(string(found.StatusCode))}, nil
}
