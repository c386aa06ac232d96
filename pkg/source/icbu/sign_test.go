package icbu_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/source/icbu"
)

const (
	secret = "testsecret0123456789abcdef"
	query  = "method=qimen.alibaba.okki.customer.order.create&app_key=12345678&timestamp=2024-03-01%2012%3A00%3A00" +
		"&v=2.0&format=json&sign_method=md5&target_app_key=87654321"
	jsonBody = `{"action":"1","ali_order_no":"P0001","amount":"100.00"}`
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

var asJSON = []string{"Content-Type", "application/json;charset=utf-8"}

// The vectors of protocols 2.5, computed with the platform's own SDK.
func TestSPIVectors(t *testing.T) {
	for name, c := range map[string]struct {
		header []string
		body   string
		sign   string
	}{
		"body":        {asJSON, jsonBody, "8CD0C160EF8FC5F13472EE14D987E37A"},
		"header list": {append([]string{"X-Trace", "abc", "top-sign-list", "X-Trace"}, asJSON...), jsonBody, "50F55E4E61008D284A123DEFCD3E0C20"},
		"Chinese":     {asJSON, `{"action":"1","product_name":"小满"}`, "1F465859BEF7D41D6454E73A8B760188"},
	} {
		t.Run(name, func(t *testing.T) {
			req := icbu.SPIRequest{RawQuery: query, Header: header(c.header...), Body: []byte(c.body)}
			if got := icbu.SignSPI(secret, req); got != c.sign {
				t.Errorf("sign %s", got)
			}
			req.RawQuery += "&sign=" + c.sign
			if !icbu.VerifySPI([]string{"old", secret}, req) {
				t.Error("refused")
			}
		})
	}
}

func TestVerifySPIRefuses(t *testing.T) {
	good := icbu.SPIRequest{RawQuery: query, Header: header(asJSON...), Body: []byte(jsonBody)}
	sign := icbu.SignSPI(secret, good)
	for name, change := range map[string]func(*icbu.SPIRequest){
		"no sign":            func(r *icbu.SPIRequest) { r.RawQuery = query },
		"empty sign":         func(r *icbu.SPIRequest) { r.RawQuery = query + "&sign=" },
		"lower case":         func(r *icbu.SPIRequest) { r.RawQuery = query + "&sign=" + strings.ToLower(sign) },
		"longer sign":        func(r *icbu.SPIRequest) { r.RawQuery += "0" },
		"other body":         func(r *icbu.SPIRequest) { r.Body = []byte(strings.Replace(jsonBody, "100.00", "100.0", 1)) },
		"white space":        func(r *icbu.SPIRequest) { r.Body = append(r.Body, '\n') },
		"other parameter":    func(r *icbu.SPIRequest) { r.RawQuery = strings.Replace(r.RawQuery, "v=2.0", "v=2.1", 1) },
		"added parameter":    func(r *icbu.SPIRequest) { r.RawQuery += "&session=1" },
		"empty parameter":    func(r *icbu.SPIRequest) { r.RawQuery += "&session=" },
		"header list":        func(r *icbu.SPIRequest) { r.Header.Set("top-sign-list", "X-Trace") },
		"second timestamp":   func(r *icbu.SPIRequest) { r.RawQuery = "timestamp=2030-01-01+00%3A00%3A00&" + r.RawQuery },
		"parameter repeated": func(r *icbu.SPIRequest) { r.RawQuery += "&v=2.0" },
		"sign repeated":      func(r *icbu.SPIRequest) { r.RawQuery += "&sign=" + sign },
		"bad encoding":       func(r *icbu.SPIRequest) { r.RawQuery += "&a=%zz" },
	} {
		t.Run(name, func(t *testing.T) {
			req := icbu.SPIRequest{RawQuery: query + "&sign=" + sign, Header: header(asJSON...), Body: []byte(jsonBody)}
			if !icbu.VerifySPI([]string{secret}, req) {
				t.Fatal("the good request is refused")
			}
			change(&req)
			if icbu.VerifySPI([]string{"old", secret}, req) {
				t.Error("taken")
			}
		})
	}
	good.RawQuery += "&sign=" + sign
	if icbu.VerifySPI(nil, good) || icbu.VerifySPI([]string{"old", "older"}, good) {
		t.Error("taken without the secret")
	}
}

// Empty values stay in by their names, names sort by bytes (upper case first), `a` and `a=` are the same.
func TestSignedParameters(t *testing.T) {
	sign := func(rawQuery string, h http.Header, body string) string {
		return icbu.SignSPI(secret, icbu.SPIRequest{RawQuery: rawQuery, Header: h, Body: []byte(body)})
	}
	form := header("Content-Type", "Application/X-WWW-Form-URLencoded; charset=UTF-8")
	if sign("b=1&a", nil, "") != sign("a=&b=1", nil, "") || sign("b=1", nil, "") == sign("a=&b=1", nil, "") {
		t.Error("empty value")
	}
	if sign("a=2&B=1", nil, "") != sign("", nil, "B1a2") {
		t.Error("order of names")
	}
	if sign("a=1", form, "b=%E5%B0%8F+%E6%BB%A1&c=") != sign("", nil, "a1b小 满c") {
		t.Error("form fields are parameters")
	}
	if sign("a=1", form, "a=2&b=3") != sign("a=1&b=3", nil, "") {
		t.Error("the query wins over the form")
	}
	if sign("a=1", header("top-sign-list", "a,X-B,X-Missing", "A", "9", "X-B", "%E5%B0%8F"), "") != sign("", nil, "X-B小X-Missinga1") {
		t.Error("the query wins over headers, a missing header is empty, names stay as listed")
	}
	if sign("a=%D0%A1", form, "b=%C2%FA") != sign("", nil, "a\xd0\xa1b\xc2\xfa") {
		t.Error("GBK bytes are signed as they are")
	}
	if sign("&&a=1&", form, "&&b=2&&") != sign("a=1&b=2", nil, "") {
		t.Error("empty pairs count")
	}
	if sign("a=1", form, manyFields()) != "" ||
		sign("a=1", form, "b=%zz") != "" || sign("a=1", form, "b=1&b=2") != "" || sign("a", header("top-sign-list", "H", "H", "%zz"), "") != "" {
		t.Error("unreadable parameters are signed")
	}
}

func TestParseTimestamp(t *testing.T) {
	at, err := icbu.ParseTimestamp("2024-03-01 12:00:00")
	if err != nil || !at.Equal(time.Date(2024, 3, 1, 4, 0, 0, 0, time.UTC)) {
		t.Errorf("%v, %v", at, err)
	}
	for _, text := range []string{"", "1709265600", "2024-03-01T12:00:00Z"} {
		if _, err := icbu.ParseTimestamp(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestLawSignedIsVerified: whatever is signed verifies, in whatever order the parameters come, and not with another secret.
func TestLawSignedIsVerified(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		params := rapid.MapOf(rapid.StringMatching(`[a-zA-Z_]{1,8}`), rapid.String()).Draw(t, "parameters")
		delete(params, "sign")
		key := rapid.StringN(1, 40, 80).Draw(t, "secret")
		values := url.Values{}
		var shuffled []string
		for name, value := range params {
			values.Set(name, value)
			shuffled = append(shuffled, url.QueryEscape(name)+"="+url.QueryEscape(value))
		}
		req := icbu.SPIRequest{RawQuery: values.Encode(), Header: header(asJSON...), Body: []byte(rapid.String().Draw(t, "body"))}
		sign := icbu.SignSPI(key, req)
		req.RawQuery = strings.Join(append(shuffled, "sign="+sign), "&")
		if !icbu.VerifySPI([]string{"other" + key, key}, req) {
			t.Error("refused")
		}
		if icbu.VerifySPI([]string{key + "x"}, req) {
			t.Error("taken with another secret")
		}
	})
}

func FuzzVerifySPI(f *testing.F) {
	f.Add(query, "top-sign-list", "application/json", []byte(jsonBody))
	f.Add("a=%&&=b&sign=", "a,,b", "application/x-www-form-urlencoded", []byte("a=1&&b"))
	f.Fuzz(func(t *testing.T, rawQuery, list, contentType string, body []byte) {
		h := header("top-sign-list", list, "Content-Type", contentType)
		req := icbu.SPIRequest{RawQuery: rawQuery, Header: h, Body: body}
		if icbu.VerifySPI([]string{secret}, req) {
			t.Fatal("guessed a signature")
		}
		if strings.Contains(rawQuery, "sign") || strings.Contains(rawQuery, "%") {
			return
		}
		sign := icbu.SignSPI(secret, req)
		if req.RawQuery != "" {
			req.RawQuery += "&"
		}
		req.RawQuery += "sign=" + sign
		if sign != "" && !icbu.VerifySPI([]string{secret}, req) {
			t.Errorf("refused its own signature: %q", req.RawQuery)
		}
	})
}

func manyFields() string {
	var b strings.Builder
	for i := range 501 {
		b.WriteString("f" + strconv.Itoa(i) + "&")
	}
	return b.String()
}
