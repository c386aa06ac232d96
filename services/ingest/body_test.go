package main

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source/mall"
)

func TestGBK(t *testing.T) {
	in := start(t)
	gbk := func(text string) []byte {
		t.Helper()
		encoded, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	const content = `{"ali_order_no":"P1","order_info":{"order_id":"O1"},"product_name":"小满 €"}`
	check := func(name string, a toldAnswer, want string) {
		t.Helper()
		if _, records := in.receipt(a); string(records[0].Value) != want {
			t.Errorf("%s: kept %q, want %q", name, records[0].Value, want)
		}
	}
	for _, charset := range []string{"GBK", "gb2312", `"gb18030"`} {
		check("icbu "+charset, in.pushICBU("application/json; charset="+charset, gbk(content)), content)
	}
	check("procurement", in.pushProcurement("application/json;charset=gbk", gbk(content)), content)
	form := formType + "; charset=GBK"
	check("icbu form", in.pushICBU(form, []byte("ali_order_no=P1&product_name="+url.QueryEscape(string(gbk("小满"))))),
		`{"ali_order_no":"P1","product_name":"小满"}`)
	const one = `{"ShopCode":"S","Code":"1","RecvConsignee":"测试"}`
	check("mall form", in.post(mallPath, form, mallForm(mallApp1, mallToken, mall.SHA1, time.Now(), string(gbk("["+one+"]")))), one)

	if a := in.pushICBU("application/json;charset=gbk", []byte("{\"ali_order_no\":\"P1\",\"a\":\"\xff\xff\"}")); a.body != icbuUnreadable {
		t.Errorf("bytes that are no GBK: %s", a.body)
	}
	if a := in.pushICBU("application/json;charset=utf-16", []byte(content)); a.body != icbuUnreadable {
		t.Errorf("a charset that nobody speaks: %s", a.body)
	}
	if a := in.pushICBU(jsonType, gbk(content)); a.body != icbuUnreadable {
		t.Errorf("GBK that claims to be UTF-8: %s", a.body)
	}
}

// Exactly 1 MiB passes, with and without a length; one byte more does not, and its beginning is kept.
func TestBodyLimit(t *testing.T) {
	patient(t)
	in := start(t)
	exact := []byte(`{"ali_order_no":"P1","a":"` + strings.Repeat("x", maxBody-28) + `"}`)
	if len(exact) != maxBody {
		t.Fatalf("%d bytes", len(exact))
	}
	chunked := func(content []byte) *http.Request {
		address := icbuAddress(icbuKey, icbuSecret, time.Now(), jsonType, content)
		r := in.request(http.MethodPost, address, jsonType, content)
		r.ContentLength, r.Body, r.GetBody = -1, http.NoBody, nil
		r.Body = readCloser{bytes.NewReader(content)}
		return r
	}
	for name, a := range map[string]toldAnswer{"length": in.pushICBU(jsonType, exact), "chunked": in.do(chunked(exact))} {
		if _, records := in.receipt(a); !bytes.Equal(records[0].Value, exact) {
			t.Errorf("%s: %d bytes kept, not the same", name, len(records[0].Value))
		}
	}
	over := append(slices.Clone(exact), '\n')
	for name, a := range map[string]toldAnswer{"length": in.pushICBU(jsonType, over), "chunked": in.do(chunked(over))} {
		if a.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	kept := in.quarantined(bodyTooLarge)
	if len(kept) != 2 {
		t.Fatalf("%d requests kept, want 2", len(kept))
	}
	for _, m := range kept {
		if !bytes.Equal(m.Value, over[:quarantineSize]) || m.Header(headerLength) != "1048577" || m.Header(event.HeaderDigest) != order.Digest(over) {
			t.Errorf("%d bytes, length %s, digest %s", len(m.Value), m.Header(headerLength), m.Header(event.HeaderDigest))
		}
	}
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
