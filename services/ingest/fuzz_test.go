package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
)

// What our form parser takes, net/url reads in the same way.
func FuzzParseForm(f *testing.F) {
	for _, seed := range []string{"a=1&b=2", "a=%E5%B0%8F+x&&c", "a=%zz", "a=1&a=2", "=x", "a=b=c", "%41=1&A=2", "a;b=c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseForm(text)
		if err != nil || bytes.IndexByte(text, ';') >= 0 { // net/url refuses semicolons
			return
		}
		want, err := url.ParseQuery(string(text))
		if err != nil {
			t.Fatalf("%q: net/url says %v", text, err)
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d fields, net/url has %d", text, len(got), len(want))
		}
		for name, values := range want {
			if value, found := got.get([]byte(name)); !found || len(values) != 1 || string(value) != values[0] {
				t.Errorf("%q: field %q is %q, want %q", text, name, value, values)
			}
		}
	})
}

func FuzzCharset(f *testing.F) {
	f.Add("application/json;charset=gbk", []byte("{\"a\":\"\xd0\xa1\xc2\xfa\"}"))
	f.Add("a/b; charset=\"gb18030\"", []byte("\x84\x31\xa4\x37"))
	f.Fuzz(func(t *testing.T, header string, text []byte) {
		kind := readContentType(header)
		decoded, err := kind.utf8(text)
		if err == nil && kind.gbk && !utf8.Valid(decoded) {
			t.Errorf("%q became %q", text, decoded)
		}
	})
}

func pushOf(source order.Source, address, contentType string, content []byte) *push {
	r := httptest.NewRequest(http.MethodPost, address, bytes.NewReader(content))
	r.Header.Set("Content-Type", contentType)
	p := newPush(source, r, time.Now())
	p.body = body{content: content, length: int64(len(content))}
	return p
}

// checkVerdict holds the laws of a verdict against one push.
func checkVerdict(t *testing.T, d dialect, p *push) {
	t.Helper()
	v := d.judge(p)
	if (len(v.messages) > 0) == (v.cause != "") || v.outcome == "" {
		t.Fatalf("%d messages, cause %q, outcome %q", len(v.messages), v.cause, v.outcome)
	}
	for _, m := range v.messages {
		if err := source.Check(m.Value); err != nil {
			t.Errorf("a record holds %q: %v", m.Value, err)
		}
		if key := order.Key(m.Key); key.Source() != p.source || len(key) > 600 {
			t.Errorf("key %q", m.Key)
		}
	}
	if a := v.answer(); source.Check(a.body) != nil {
		t.Errorf("the answer %q is no JSON", a.body)
	}
}

func FuzzICBU(f *testing.F) {
	d := newICBU([]pair{{icbuKey, icbuSecret}}, time.Hour, nil, 8)
	f.Add(false, []byte(`{"ali_order_no":"P1","promotion_id":"1","a":[1e999]}`))
	f.Add(true, []byte(`ali_order_no=P1&order_product_list=[]`))
	f.Fuzz(func(t *testing.T, form bool, content []byte) {
		kind := jsonType
		if form {
			kind = formType
		}
		if bytes.Contains(content, []byte("action")) || bytes.Contains(content, []byte(`\`)) || bytes.Contains(content, []byte("%")) {
			return // might be a price query, which has neither messages nor a cause
		}
		checkVerdict(t, d, pushOf(order.ICBU, icbuAddress(icbuKey, icbuSecret, time.Now(), kind, content), kind, content))
	})
}

func FuzzMall(f *testing.F) {
	d := newMall([]mallApp{{mallApp1, mallToken, mall.SHA1}}, time.Hour)
	f.Add(`[` + mallOrder1 + `,` + mallOrder2 + `]`)
	f.Add(`[{"Code":1},{"Code":"1"}]`)
	f.Add(strings.Repeat(`[{"a":`, 40))
	f.Fuzz(func(t *testing.T, args string) {
		checkVerdict(t, d, pushOf(order.Mall, mallPath, formType, mallForm(mallApp1, mallToken, mall.SHA1, time.Now(), args)))
	})
}

func FuzzProcurement(f *testing.F) {
	d := newProcurement([]string{token}, unreadableAccept)
	f.Add([]byte(`{"order_info":{"order_id":"OMLJ1"}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		checkVerdict(t, d, pushOf(order.Procurement, procurementPrefix+token+procurementSuffix, jsonType, content))
	})
}
