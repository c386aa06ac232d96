package main

import (
	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/source"
)

// Answers to ICBU (protocols 1.3 and 2.2). The sign failure is fixed text that the platform probes for; our own codes
// begin with none of the platform's prefixes.
const (
	icbuSignFailure    = `{"success":false,"resp_code":"sign-check-failure","error_desc":"Illegal request"}`
	icbuUnreadable     = `{"success":false,"resp_code":"unreadable-body","resp_msg":"unreadable body","error_desc":"the body is not one JSON object in the charset of its Content-Type"}`
	icbuMissingOrderNo = `{"success":false,"resp_code":"missing-order-no","resp_msg":"no order number","error_desc":"an order to be created needs ali_order_no"}`
	icbuNoPrice        = `{"success":false,"resp_code":"okki-unavailable","resp_msg":"no price now","error_desc":"OKKI gave no price"}`
	icbuAgain          = `{"success":false,"resp_code":"try-again","resp_msg":"try again","error_desc":"the order was not taken, send it again later"}`
	icbuTooLarge       = `{"success":false,"resp_code":"body-too-large","resp_msg":"body too large","error_desc":"the body is over 1 MiB"}`
	icbuUnsupported    = `{"success":false,"resp_code":"unsupported-encoding","resp_msg":"unsupported encoding","error_desc":"send the body uncompressed"}`
)

func icbuRefusal(why cause, text string) verdict {
	return verdict{cause: why, trusted: true, outcome: string(why), answer: told([]byte(text))}
}

func (d *icbuDialect) trouble(t trouble) []byte {
	switch t {
	case tooLarge:
		return []byte(icbuTooLarge)
	case unsupported:
		return []byte(icbuUnsupported)
	default:
		return []byte(icbuAgain)
	}
}

// icbuEcho is the accepting answer: the request's fields byte for byte, but for promotion_id, which seed 000's response
// does not have, and for what the answer itself says.
func icbuEcho(content []byte) []byte {
	echo := make([]byte, 0, len(content)+64)
	echo = append(echo, '{')
	// Content is an object that passed the check, so that neither the scan nor the quoting can fail.
	_ = source.Members(content, func(name, value []byte) bool {
		switch string(name) {
		case "promotion_id", "success", "resp_code", "resp_msg", "error_desc":
			return true
		}
		echo, _ = jsontext.AppendQuote(echo, name)
		echo = append(echo, ':')
		echo = append(echo, value...)
		echo = append(echo, ',')
		return true
	})
	return append(echo, `"success":true,"resp_code":"0","resp_msg":"success"}`...)
}
