package sender

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
)

const (
	jsonType = "application/json;charset=UTF-8"
	formType = "application/x-www-form-urlencoded;charset=UTF-8"

	icbuMethod = "qimen.alibaba.okki.customer.order.create"
	// anyAppKey is sent where the secret is valid for every app key.
	anyAppKey = "12345678"
	appSystem = "orderflow-sender"
)

// icbu signs as the platform does (protocols 2.1): over the system parameters in the query and the raw body, or the form's
// fields.
func (s *Sender) icbu(p Push) (address, contentType string, body []byte, err error) {
	appKey, secret, err := pair("ICBU_SECRETS", s.secrets.ICBU)
	if err != nil {
		return "", "", nil, err
	}
	if appKey == "*" {
		appKey = anyAppKey
	}
	contentType, body = jsonType, p.Body
	if p.Form {
		contentType = formType
		if body, err = form(p.Body); err != nil {
			return "", "", nil, err
		}
	}
	query := url.Values{
		"method": {icbuMethod}, "app_key": {appKey}, "timestamp": {s.now().In(source.Zone).Format(source.TimeLayout)},
		"v": {"2.0"}, "format": {"json"}, "sign_method": {"md5"},
	}
	sign := icbu.SignSPI(secret, icbu.SPIRequest{
		RawQuery: query.Encode(), Header: http.Header{"Content-Type": {contentType}}, Body: body,
	})
	query.Set("sign", sign)
	return "/icbu/okki/orders?" + query.Encode(), contentType, body, nil
}

// form makes the fields of a form push: scalars as text, lists as JSON text.
func form(body []byte) ([]byte, error) {
	fields := url.Values{}
	err := source.Members(body, func(name, value []byte) bool {
		text := source.Literal(value)
		if text == "" && string(value) != `""` {
			text = string(value)
		}
		fields.Set(string(name), text)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("a form needs a JSON object to take its fields from: %w", err)
	}
	return []byte(fields.Encode()), nil
}

// procurement is not signed: a token in the address is all there is (protocols 3.3).
func (s *Sender) procurement(p Push) (address, contentType string, body []byte, err error) {
	token, _, _ := strings.Cut(s.secrets.Procurement, ",")
	if token = strings.TrimSpace(token); token == "" {
		return "", "", nil, missing("PROCUREMENT_TOKENS")
	}
	return "/fenbeitong/" + url.PathEscape(token) + "/procurement-orders", jsonType, p.Body, nil
}

// mall signs AppId, Timestamp and Token and sends the orders in the form field Args (protocols 4.1).
func (s *Sender) mall(p Push) (address, contentType string, body []byte, err error) {
	appID, token, err := pair("MALL_APPS", s.secrets.Mall)
	if err != nil {
		return "", "", nil, err
	}
	method := mall.SHA1
	if plain, found := strings.CutSuffix(token, ":md5"); found {
		method, token = mall.MD5, plain
	}
	timestamp := s.now().In(source.Zone).Format(mall.TimestampLayout)
	fields := url.Values{
		"AppId": {appID}, "Timestamp": {timestamp}, "Sign": {mall.Sign(method, appID, timestamp, token)},
		"AppSystem": {appSystem}, "Args": {string(p.Body)},
	}
	return "/api/morder/thirdOrdAdd", formType, []byte(fields.Encode()), nil
}

// pair is the first name=secret of a list.
func pair(setting, list string) (name, secret string, err error) {
	first, _, _ := strings.Cut(list, ",")
	if strings.TrimSpace(first) == "" {
		return "", "", missing(setting)
	}
	name, secret, _ = strings.Cut(strings.TrimSpace(first), "=")
	if name == "" || secret == "" {
		return "", "", fmt.Errorf("%s: the first entry is not name=secret", setting)
	}
	return name, secret, nil
}

func missing(setting string) error {
	return fmt.Errorf("%s is not set: a push is signed with it (`source .local/env` has the demo's)", setting)
}
