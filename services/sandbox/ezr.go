package main

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
)

// serveEZR is EZR's interface 2030. Its HTTP status is 200 whatever it has to say, and every answer is signed.
func (s *sandbox) serveEZR(w http.ResponseWriter, r *http.Request) {
	inFlight, leave := s.book.enter(partnerEZR)
	defer leave()
	form, code := s.verifyEZR(w, r, inFlight)
	if code != "" {
		writeJSON(w, s.ezrRefusal(code, ""))
		return
	}
	orders, code := readBatch(form.Get("Args"))
	s.book.sawBatch(partnerEZR, len(orders))
	if code == "" {
		code = checkBatch(orders, s.now())
	}
	if code != "" {
		writeJSON(w, s.ezrRefusal(code, ""))
		return
	}
	items, numbers := itemsOf(orders)
	render := func(f fault) []byte { return s.ezrRefusal(string(f.Code), f.SubMsg) }
	s.underFaults(w, r, partnerEZR, numbers, render, func() []byte {
		if s.book.lacksSale(items) {
			return s.ezrRefusal(ezr.CodeMissing, "")
		}
		if !s.book.take(partnerEZR, items, s.now()) {
			return s.ezrRefusal(ezr.CodeExists, "")
		}
		return s.ezrSuccess(orders)
	})
}

// verifyEZR reads the form and applies EZR's checks of the call itself; the code is one of protocols 4.3, "" when all is well.
func (s *sandbox) verifyEZR(w http.ResponseWriter, r *http.Request, inFlight int) (url.Values, string) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	err := r.ParseForm()
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, ezr.CodeTooLong
	}
	form := r.PostForm
	if err != nil || r.Method != http.MethodPost {
		return nil, "306"
	}
	switch {
	case form.Get("AppId") != s.ezr.AppID:
		return nil, "1000"
	case !s.timely(form.Get("Timestamp"), mall.TimestampLayout):
		return nil, ezr.CodeClock
	case !mall.VerifySign(s.ezr.Sign, s.ezr.AppID, form.Get("Timestamp"), s.ezr.Token, form.Get("Sign")):
		return nil, "405"
	case form.Get("AppSystem") == "":
		return nil, "306"
	case form.Get("Args") == "":
		return nil, ezr.CodeNoData
	case s.book.limited(inFlight):
		return nil, "407"
	}
	return form, ""
}

// readBatch splits Args into its orders.
func readBatch(args string) ([]ezrOrder, string) {
	value := jsontext.Value(args)
	if !value.IsValid() {
		return nil, "303"
	}
	if value.Kind() != '[' {
		return nil, "306"
	}
	var raw []jsontext.Value
	if err := json.Unmarshal(value, &raw); err != nil {
		return nil, "303"
	}
	if len(raw) == 0 {
		return nil, ezr.CodeNoData
	}
	if len(raw) > ezr.MaxBatch {
		return nil, "406"
	}
	orders := make([]ezrOrder, len(raw))
	for i, one := range raw {
		if err := json.Unmarshal(one, &orders[i]); err != nil {
			return orders, "406"
		}
	}
	return orders, ""
}

func itemsOf(orders []ezrOrder) (items []item, numbers []string) {
	for _, o := range orders {
		items = append(items, item{shop: o.ShopCode, number: o.Code, amount: o.TotalMoney.literal, original: o.OriginalCode})
		numbers = append(numbers, o.Code)
	}
	return items, numbers
}

// ezrAnswer is the answer of protocols 4.3.
type ezrAnswer struct {
	Status     bool
	StatusCode jsontext.Value
	Msg        string
	Timestamp  string
	Sign       string
	Result     *int // affected rows, orders and lines: it fits no batch size, as in the seed's sample
}

func (s *sandbox) ezrSuccess(orders []ezrOrder) []byte {
	rows := len(orders)
	for _, o := range orders {
		rows += len(o.Dtls)
	}
	return s.signed(ezrAnswer{Status: true, StatusCode: jsontext.Value("200"), Msg: "成功", Result: &rows})
}

func (s *sandbox) ezrRefusal(code, message string) []byte {
	number := jsontext.Value(code)
	if _, err := strconv.ParseUint(code, 10, 32); err != nil || !number.IsValid() {
		number = encode(code)
	}
	if message == "" {
		message = "失败"
	}
	return s.signed(ezrAnswer{StatusCode: number, Msg: message})
}

func (s *sandbox) signed(answer ezrAnswer) []byte {
	answer.Timestamp = s.now().In(source.Zone).Format(mall.TimestampLayout)
	answer.Sign = mall.Sign(s.ezr.Sign, s.ezr.AppID, answer.Timestamp, s.ezr.Token)
	return encode(answer)
}
