package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
)

// mallApp is a connector's AppId with one of its tokens.
type mallApp struct{ id, token, method string }

// parseMallApps reads AppId=Token,... where a Token may end in ":md5".
func parseMallApps(text string) ([]mallApp, error) {
	pairs, err := parsePairs("MALL_APPS", text)
	errs := []error{err}
	var apps []mallApp
	for i, p := range pairs {
		app := mallApp{p.name, p.secret, mall.SHA1}
		if token, method, found := strings.Cut(p.secret, ":"); found {
			app.token, app.method = token, method
			if token == "" || (method != mall.MD5 && method != mall.SHA1) {
				errs = append(errs, fmt.Errorf("MALL_APPS: entry %d: behind the colon stands md5 or sha1", i+1))
			}
		}
		apps = append(apps, app)
	}
	return apps, errors.Join(errs...)
}

// mallDialect takes orders in the shape of EZR's interface 2030, seed 002: what a connector would send to EZR itself.
type mallDialect struct {
	apps   []mallApp
	nobody mallApp // what the signature of an unknown app is checked with, for the time that it takes
	window time.Duration
}

func newMall(apps []mallApp, window time.Duration) *mallDialect {
	return &mallDialect{apps: apps, nobody: mallApp{token: rand.Text()}, window: window}
}

func (d *mallDialect) knows(*http.Request) bool { return true }

func (d *mallDialect) judge(p *push) verdict {
	kind := readContentType(p.request.Header.Get("Content-Type"))
	call, err := readMallCall(p, kind)
	if err != nil {
		return mallRefusal(mallBadJSON, nil)
	}
	app, status := d.verify(p, call)
	if status != mallSuccess {
		return mallRefusal(status, nil)
	}
	signer := (*mallSigner)(&app)
	args, err := kind.utf8(call.args)
	if err == nil && len(bytes.TrimSpace(args)) == 0 {
		return mallRefusal(mallEmpty, signer)
	}
	if err == nil {
		err = source.Check(args)
	}
	if err != nil {
		return mallRefusal(mallBadJSON, signer)
	}
	items, status := splitBatch(args)
	if status != mallSuccess {
		return mallRefusal(status, signer)
	}
	v := verdict{
		messages: make([]event.Message, len(items)), outcome: outcomeAccepted,
		answer: func() answer { return answer{http.StatusOK, mallAnswer(mallSuccess, len(items), signer)} },
	}
	for i, item := range items {
		v.messages[i] = p.message(mall.Key(item), item.Raw, fmt.Sprintf("/%d", i+1))
	}
	return v
}

// mallCall is a call's fields, percent-decoded.
type mallCall struct {
	appID, timestamp, sign string
	args                   []byte
}

// readMallCall reads EZR's form, or a raw JSON array whose other fields stand in the query. A field of the form wins.
func readMallCall(p *push, kind contentType) (mallCall, error) {
	query, err := parseForm([]byte(p.request.URL.RawQuery))
	if err != nil {
		return mallCall{}, err
	}
	call := mallCall{query.text("AppId"), query.text("Timestamp"), query.text("Sign"), p.body.content}
	if !kind.form {
		return call, nil
	}
	form, err := parseForm(p.body.content)
	if err != nil {
		return mallCall{}, err
	}
	call.args = nil
	for _, f := range form {
		switch string(f.name) {
		case "AppId":
			call.appID = string(f.value)
		case "Timestamp":
			call.timestamp = string(f.value)
		case "Sign":
			call.sign = string(f.value)
		case "Args":
			call.args = f.value
		}
	}
	return call, nil
}

// verify finds the token that signed the call. Every token of the AppId is tried; an unknown one takes the same time.
func (d *mallDialect) verify(p *push, call mallCall) (mallApp, mallStatus) {
	signer, known, signed := d.nobody, false, false
	for _, app := range d.apps {
		if app.id != call.appID {
			continue
		}
		known = true
		if mall.VerifySign(app.method, app.id, call.timestamp, app.token, call.sign) {
			signer, signed = app, true
		}
	}
	if !known {
		mall.VerifySign(d.nobody.method, call.appID, call.timestamp, d.nobody.token, call.sign)
		return mallApp{}, mallUnknownApp
	}
	if !signed {
		return mallApp{}, mallBadSign
	}
	at, err := mall.ParseTimestamp(call.timestamp)
	if err != nil || !source.Fresh(at, p.at, d.window) {
		return mallApp{}, mallClock
	}
	return signer, mallSuccess
}

// splitBatch takes the batch apart and applies the rules of a batch. Orders without ShopCode or Code are in nobody's way:
// validate parks them one by one.
func splitBatch(args []byte) ([]mall.Item, mallStatus) {
	items, err := mall.Split(args)
	if fault, ok := errors.AsType[*source.Fault](err); ok && fault.Code == source.OverLimit {
		return nil, mallBadBatch
	}
	if err != nil {
		return nil, mallBadJSON
	}
	if len(items) == 0 {
		return nil, mallEmpty
	}
	shop, status := "", mallSuccess
	codes := make(map[string]bool, len(items))
	for _, item := range items {
		switch {
		case shop == "":
			shop = item.ShopCode
		case item.ShopCode != "" && item.ShopCode != shop:
			return nil, mallBadBatch
		}
		if item.Code != "" && codes[item.Code] {
			status = mallTwice
		}
		codes[item.Code] = true
	}
	return items, status
}
