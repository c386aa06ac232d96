package main

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
)

// member is one name and raw value of a JSON object.
type member struct{ name, value string }

// okkiVerdict are the members that seed 000's response has beyond the request's.
var okkiVerdict = []member{
	{"success", `true`},
	{"resp_code", `"0"`},
	{"resp_msg", `"success"`},
	{"error_desc", `""`},
	{"discount_information", `""`},
	{"upgrade_product_list", `[]`},
}

// okkiSuccess echoes the request's fields as seed 000's response does.
func okkiSuccess(request []byte) []byte { return echo(request, okkiVerdict) }

// okkiPrices answers a price query: the request's amounts, or the sum of its lines where it gave none.
func okkiPrices(request []byte, query okkiOrder) []byte {
	sum := decimal.Zero
	for _, line := range query.Lines {
		if amount, err := order.ParseAmount(string(line.Amount)); err == nil {
			sum = sum.Add(amount)
		}
	}
	own := okkiVerdict
	if query.Amount == "" {
		own = append([]member{{"amount", `"` + sum.StringFixed(2) + `"`}}, own...)
	}
	if query.Original == "" {
		own = append([]member{{"original_amount", `"` + sum.StringFixed(2) + `"`}}, own...)
	}
	return echo(request, own)
}

// echo wraps the request's members and our own ones, which replace their namesakes. The response of seed 000 lacks
// promotion_id, and so do we. The request was decoded before: it is a well-formed object.
func echo(request []byte, own []member) []byte {
	skipped := map[string]bool{"promotion_id": true, "request_id": true}
	for _, m := range own {
		skipped[m.name] = true
	}
	out := []byte(`{"` + okkiWrapper + `":{`)
	dec := jsontext.NewDecoder(bytes.NewReader(request))
	_, _ = dec.ReadToken()
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			break
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			break
		}
		if skipped[name] {
			continue
		}
		out, _ = jsontext.AppendQuote(out, name)
		out = append(append(append(out, ':'), value...), ',')
	}
	for _, m := range own {
		out = append(out, `"`+m.name+`":`+m.value+`,`...)
	}
	return append(out, `"request_id":"`+requestID()+`"}}`...)
}
