package okki

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/partner"
)

const wrapper = `{"qimen_alibaba_okki_customer_order_create_response":`

// The shapes of protocols 2.3 and the classes of 2.4. An empty class means that the order was taken.
var answers = []struct {
	name, body string
	class      partner.Class
	code       string
}{
	{"TOP wrapper", wrapper + `{"success":true,"resp_code":"0","request_id":"x"}}`, "", "0"},
	{"no wrapper", `{"success":true,"resp_code":"0"}`, "", "0"},
	{"texts and numbers", `{"success":"true","resp_code":0}`, "", "0"},
	{"no resp_code", `{"success":true}`, "", "0"},
	{"Qimen success", `{"response":{"flag":"success","code":"0","success":true,"resp_code":"0"}}`, "", "0"},
	{"another wrapper", `{"x_response":{"success":true,"resp_code":"0"},"request_id":"y"}`, "", "0"},
	{"two wrappers", `{"x_response":{"success":false},"y_response":{"success":false},"success":true}`, "", "0"},
	{"a wrapper of text", `{"x_response":"none","success":true}`, "", "0"},

	{"business refusal", wrapper + `{"success":false,"resp_code":"no-such-customer","resp_msg":"张三"}}`, partner.Refused, "no-such-customer"},
	{"refusal by number", `{"success":"false","resp_code":4711}`, partner.Refused, "4711"},
	{"refusal without code", `{"success":false}`, partner.Refused, "success-false"},
	{"refusal with code 0", `{"success":false,"resp_code":"0"}`, partner.Refused, "success-false"},
	{"code alone", `{"resp_code":"no-such-customer"}`, partner.Refused, "no-such-customer"},
	{"odd flag of failure", `{"success":"不等于true","error_desc":"Illegal request","resp_code":"sign-check-failure"}`, partner.Configuration, "sign-check-failure"},
	{"a code that quotes", `{"success":false,"resp_code":"张三 13122136787"}`, partner.Refused, "unprintable-code"},
	{"business exists", `{"success":false,"resp_code":"` + DuplicateCode + `"}`, partner.Exists, DuplicateCode},
	{"business isp", `{"success":false,"resp_code":"isp.system-busy"}`, partner.Unknown, "isp.system-busy"},
	{"gateway lost the provider", `{"success":false,"resp_code":"http-service-unknown-error"}`, partner.Unknown, "http-service-unknown-error"},
	{"contradiction", `{"success":true,"resp_code":"17"}`, partner.Unknown, "17"},

	{"exists", `{"error_response":{"code":15,"msg":"Remote service error","sub_code":"` + DuplicateCode + `"}}`, partner.Exists, DuplicateCode},
	{"isv", `{"error_response":{"code":15,"sub_code":"isv.invalid-parameter","sub_msg":"phone 13122136787"}}`, partner.Refused, "isv.invalid-parameter"},
	{"isv with text code", `{"error_response":{"code":"40","sub_code":"isv.missing-parameter"}}`, partner.Refused, "isv.missing-parameter"},
	{"Qimen isv", `{"response":{"flag":"failure","code":"15","message":"m","sub_code":"isv.invalid","sub_message":"s"}}`, partner.Refused, "isv.invalid"},
	{"Qimen sub_code as code", `{"response":{"flag":"failure","code":"isv.invalid"}}`, partner.Refused, "isv.invalid"},
	{"Qimen failure without code", `{"response":{"flag":"failure"}}`, partner.Unknown, "broken-answer"},
	{"Qimen unknown code", `{"response":{"flag":"failure","code":"F0001"}}`, partner.Unknown, "F0001"},
	{"flag failure beside success", `{"response":{"flag":"failure","success":true}}`, partner.Unknown, "broken-answer"},
	{"permission", `{"error_response":{"code":11,"sub_code":"isv.permission-api-package-limit"}}`, partner.Configuration, "isv.permission-api-package-limit"},
	{"sign check", `{"error_response":{"code":15,"sub_code":"sign-check-failure"}}`, partner.Configuration, "sign-check-failure"},
	{"isp over 40", `{"error_response":{"code":41,"sub_code":"isp.remote-service-error"}}`, partner.Unknown, "isp.remote-service-error"},
	{"read timeout", `{"error_response":{"code":15,"sub_code":"isp.http-read-timeout"}}`, partner.Unknown, "isp.http-read-timeout"},
	{"remote service", `{"error_response":{"code":15,"sub_code":"isp.remote-service-error"}}`, partner.Unknown, "isp.remote-service-error"},
	{"connection timeout", `{"error_response":{"code":15,"sub_code":"isp.http-connection-timeout"}}`, partner.NotTaken, "isp.http-connection-timeout"},
	{"connection refuse", `{"error_response":{"code":15,"sub_code":"isp.http-connection-refuse"}}`, partner.NotTaken, "isp.http-connection-refuse"},
	{"remote timeout", `{"error_response":{"code":15,"sub_code":"isp.top-remote-connection-timeout"}}`, partner.NotTaken, "isp.top-remote-connection-timeout"},
	{"remote error", `{"error_response":{"code":15,"sub_code":"isp.remote-connection-error"}}`, partner.NotTaken, "isp.remote-connection-error"},
	{"call limited", `{"error_response":{"code":15,"sub_code":"isp.call-limited"}}`, partner.NotTaken, "isp.call-limited"},
	{"flow limit", `{"error_response":{"code":7,"sub_code":"accesscontrol.limited-by-app-access-count"}}`, partner.NotTaken, "accesscontrol.limited-by-app-access-count"},
	{"15 alone", `{"error_response":{"code":15}}`, partner.Unknown, "15"},
	{"undocumented sub_code", `{"error_response":{"code":15,"sub_code":"xyz.a"}}`, partner.Unknown, "xyz.a"},
	{"undocumented code", `{"error_response":{"code":560}}`, partner.Unknown, "560"},
	{"error without code", `{"error_response":{}}`, partner.Unknown, "broken-answer"},
	{"error_response claims success", `{"error_response":{"success":true,"resp_code":"0"}}`, partner.Unknown, "broken-answer"},
	{"error beside a wrapper", `{"error_response":{"code":25},"x_response":{"success":true}}`, partner.Configuration, "25"},

	{"empty object", `{}`, partner.Unknown, "broken-answer"},
	{"empty wrapper", wrapper + `{}}`, partner.Unknown, "broken-answer"},
	{"code 0 alone", `{"resp_code":"0"}`, partner.Unknown, "broken-answer"},
	{"null success", `{"success":null,"resp_code":"0"}`, partner.Unknown, "broken-answer"},
	{"nothing", ``, partner.Unknown, "broken-answer"},
	{"no object", `[{"success":true}]`, partner.Unknown, "broken-answer"},
	{"null", `null`, partner.Unknown, "broken-answer"},
	{"a page", `<html>busy</html>`, partner.Unknown, "broken-answer"},
	{"half", `{"success":true`, partner.Unknown, "broken-answer"},
	{"twice", `{"success":true,"success":false}`, partner.Unknown, "broken-answer"},
	{"trailing", `{"success":true} x`, partner.Unknown, "broken-answer"},
}

func TestReadAnswers(t *testing.T) {
	for _, c := range answers {
		got := read([]byte(c.body))
		switch {
		case c.class == "" && (got.err != nil || got.code != c.code):
			t.Errorf("%s: %v, code %q; want taken", c.name, got.err, got.code)
		case c.class != "" && (got.err == nil || got.err.Class != c.class || got.err.Code != c.code):
			t.Errorf("%s: %v, want %s (%s)", c.name, got.err, c.class, c.code)
		}
		if got.err != nil && (strings.Contains(got.err.Error(), "13122136787") || strings.Contains(got.err.Error(), "张三")) {
			t.Errorf("%s: a person stands in %q", c.name, got.err)
		}
	}
}

func TestReadPlatformCodes(t *testing.T) {
	for class, codes := range map[partner.Class][]string{
		partner.Unknown:       {"3", "10", "15", "1", "2", "14", "99", "100"},
		partner.NotTaken:      {"4", "5", "6", "7", "8"},
		partner.Configuration: {"9", "11", "12", "13", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34"},
		partner.Refused:       {"40", "41", "42", "43"},
	} {
		for _, code := range codes {
			for _, body := range []string{
				`{"error_response":{"code":` + code + `,"msg":"m"}}`,
				`{"response":{"flag":"failure","code":"` + code + `","message":"m"}}`,
			} {
				got := read([]byte(body))
				if got.err == nil || got.err.Class != class || got.err.Code != code {
					t.Errorf("%s: %v, want %s", body, got.err, class)
				}
				if got.clock != (code == "30" || code == "31") {
					t.Errorf("%s: clock %v", body, got.clock)
				}
			}
		}
	}
}

func TestReadBan(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"error_response":{"code":7,"sub_msg":"This ban will last for 12 more seconds"}}`:                              12 * time.Second,
		`{"error_response":{"code":7,"msg":"App Call Limited: This ban will last for 1 more second"}}`:                  time.Second,
		`{"response":{"flag":"failure","code":"7","sub_message":"this BAN will last for 90 more seconds."}}`:            90 * time.Second,
		`{"error_response":{"code":15,"sub_code":"accesscontrol.x","sub_msg":"This ban will last for 5 more seconds"}}`: 5 * time.Second,
		`{"error_response":{"code":7,"sub_msg":"This ban will last for 999999999 more seconds"}}`:                       24 * time.Hour,
		`{"error_response":{"code":7,"sub_msg":"This ban will last for 99999999999999999999 more seconds"}}`:            0,
		`{"error_response":{"code":7,"sub_msg":"This ban will last for -3 more seconds"}}`:                              0,
		`{"error_response":{"code":7}}`: 0,
		`{"error_response":{"code":40,"sub_code":"isv.x","sub_msg":"This ban will last for 12 more seconds"}}`: 0,
	} {
		if got := read([]byte(body)); got.err == nil || got.err.RetryAfter != want {
			t.Errorf("%s: %v, want %v", body, got.err, want)
		}
	}
}

// FuzzRead holds that every answer is classed, that nothing of it leaks into a code, and that only OKKI's own words
// count as taken.
func FuzzRead(f *testing.F) {
	for _, c := range answers {
		f.Add([]byte(c.body))
	}
	f.Add([]byte(`{"success":"tru\u0065"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := read(body)
		if got.err == nil {
			var own struct {
				Success partner.Scalar `json:"success"` // its letters may be escaped
			}
			if err := json.Unmarshal(got.business, &own); err != nil || got.code != "0" || own.Success != "true" {
				t.Fatalf("taken without OKKI's word: %q", body)
			}
			return
		}
		if got.err.Class == "" || got.err.Code == "" || partner.SafeCode(got.err.Code) != got.err.Code {
			t.Fatalf("odd error %+v", got.err)
		}
	})
}
