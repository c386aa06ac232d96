package main

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source/mall"
)

func wide(s *Settings) { s.Ingest.SignatureWindow = 200_000 * time.Hour }

// The vectors of protocols 2.5, byte for byte as they stand there.
func TestSPIVectors(t *testing.T) {
	in := start(t, wide)
	const query = "?method=qimen.alibaba.okki.customer.order.create&app_key=12345678&timestamp=2024-03-01%2012%3A00%3A00" +
		"&v=2.0&format=json&sign_method=md5&target_app_key=87654321&sign="
	const b = `{"action":"1","ali_order_no":"P0001","amount":"100.00"}`
	for _, c := range []struct {
		sign, body, header, want string
	}{
		{"8CD0C160EF8FC5F13472EE14D987E37A", b, "", `"resp_code":"0"`},
		{"50F55E4E61008D284A123DEFCD3E0C20", b, "X-Trace", `"resp_code":"0"`},
		{"1F465859BEF7D41D6454E73A8B760188", `{"action":"1","product_name":"小满"}`, "", `"resp_code":"missing-order-no"`},
		{"8CD0C160EF8FC5F13472EE14D987E37B", b, "", `"resp_code":"sign-check-failure"`},
		{"8CD0C160EF8FC5F13472EE14D987E37A", b + "\n", "", `"resp_code":"sign-check-failure"`},
	} {
		r := in.request(http.MethodPost, icbuPath+query+c.sign, jsonType, []byte(c.body))
		if c.header != "" {
			r.Header.Set("top-sign-list", c.header)
			r.Header.Set(c.header, "abc")
		}
		if a := in.do(r); a.status != http.StatusOK || !strings.Contains(a.body, c.want) {
			t.Errorf("%s: %d %s, want %s", c.sign, a.status, a.body, c.want)
		}
	}
}

// The published vector of protocols 4.1, as a form and as a raw array with the other fields in the query.
func TestEZRVector(t *testing.T) {
	in := start(t, wide)
	const call = "AppId=EZP&Timestamp=20150701093010&Sign=657D0E34AD7B342F888CA3856F207F35CF2622A8&AppSystem=shop"
	args := `[` + mallOrder1 + `]`
	for name, a := range map[string]toldAnswer{
		"form":  in.post(mallPath, formType, []byte(call+"&Args="+url.QueryEscape(args))),
		"array": in.post(mallPath+"?"+call, jsonType, []byte(args)),
	} {
		if !strings.Contains(a.body, `"StatusCode":200`) {
			t.Errorf("%s: %s", name, a.body)
		}
		if _, records := in.receipt(a); len(records) != 1 || string(records[0].Value) != mallOrder1 {
			t.Errorf("%s: records %+v", name, records)
		}
	}
	a := in.post(mallPath, formType, []byte(strings.Replace(call, "657D", "657E", 1)+"&Args="+url.QueryEscape(args)))
	if !strings.Contains(a.body, `"StatusCode":405`) {
		t.Errorf("a wrong sign: %s", a.body)
	}
}

func TestSecretsRotate(t *testing.T) {
	in := start(t)
	content := []byte(`{"ali_order_no":"P1"}`)
	for _, secret := range []string{"former", icbuSecret} {
		if a := in.post(icbuAddress(icbuKey, secret, time.Now(), jsonType, content), jsonType, content); !strings.Contains(a.body, `"success":true`) {
			t.Errorf("icbu, %s: %s", secret, a.body)
		}
	}
	for _, secret := range []string{mallToken, "next-token"} {
		a := in.post(mallPath, formType, mallForm(mallApp1, secret, mall.SHA1, time.Now(), `[`+mallOrder1+`]`))
		found := signed.FindStringSubmatch(a.body)
		if found == nil || !mall.VerifySign(mall.SHA1, mallApp1, found[1], secret, found[2]) {
			t.Errorf("mall: the answer to a call signed with %s is not signed with it: %s", secret, a.body)
		}
	}
}

func TestSecretOfAnyKeyAndOfTheTarget(t *testing.T) {
	in := start(t, func(s *Settings) { s.Ingest.ICBUSecrets = "*=open,87654321=theirs" })
	content := []byte(`{"ali_order_no":"P1"}`)
	push := func(key, secret string) string {
		return in.post(icbuAddress(key, secret, time.Now(), jsonType, content), jsonType, content).body
	}
	for _, c := range []struct {
		key, secret string
		ok          bool
	}{{"1", "open", true}, {"87654321", "theirs", true}, {"87654321", "open", true}, {"1", "theirs", false}, {"*", "theirs", false}} {
		if got := push(c.key, c.secret); strings.Contains(got, `"success":true`) != c.ok {
			t.Errorf("key %s with %s: %s", c.key, c.secret, got)
		}
	}
}

// One record an order, with the house's key and headers, where the receipt says.
func TestRecords(t *testing.T) {
	in := start(t)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	r := in.request(http.MethodPost, mallPath, formType, mallForm(mallApp1, mallToken, mall.SHA1, time.Now(),
		` [ `+mallOrder1+` , {"Code":"no shop"}, {"ShopCode":"HQS0001","Code":128094,"ü":"小满"} ] `))
	r.Header.Set("Traceparent", trace)
	got, records := in.receipt(in.do(r))
	if got.Source != order.Mall || got.Quarantined || time.Since(got.ReceivedAt).Abs() > time.Minute || len(records) != 3 {
		t.Fatalf("receipt %+v", got)
	}
	wantValues := []string{mallOrder1, `{"Code":"no shop"}`, `{"ShopCode":"HQS0001","Code":128094,"ü":"小满"}`}
	wantKeys := []string{"mall:HQS0001:0000128092", "mall:!" + order.Digest([]byte(wantValues[1]))[:32], "mall:HQS0001:128094"}
	for i, m := range records {
		if m.Topic != "mall.received.v1" || m.Key != wantKeys[i] || string(m.Value) != wantValues[i] {
			t.Errorf("record %d: %s %s %s", i, m.Topic, m.Key, m.Value)
		}
		for name, want := range map[string]string{
			event.HeaderOrderKey: wantKeys[i], event.HeaderSubject: wantKeys[i], event.HeaderDigest: order.Digest([]byte(wantValues[i])),
			event.HeaderTraceParent: trace, event.HeaderSource: "/orderflow/ingest", event.HeaderType: "orderflow.mall.received",
			event.HeaderID: fmt.Sprintf("%s/%d", got.PushID, i+1), event.HeaderContentType: "application/json",
			event.HeaderRevision: "", event.HeaderSpecVersion: "1.0",
		} {
			if value := m.Header(name); value != want {
				t.Errorf("record %d: header %s is %q, want %q", i, name, value, want)
			}
		}
		if m.Timestamp.IsZero() {
			t.Errorf("record %d has no time of the broker", i)
		}
	}
}

// A full batch: 100 orders, 100 records in the order of the batch, one receipt under 2 KB.
func TestFullBatch(t *testing.T) {
	in := start(t)
	var orders []string
	for i := range mall.MaxBatch {
		orders = append(orders, fmt.Sprintf(`{"ShopCode":"S","Code":"%d"}`, i))
	}
	a := in.pushMall("[" + strings.Join(orders, ",") + "]")
	if !strings.Contains(a.body, `"Result":100`) {
		t.Fatalf("%s", a.body)
	}
	_, records := in.receipt(a)
	for i, m := range records {
		if string(m.Value) != orders[i] {
			t.Fatalf("record %d is %s, want %s", i, m.Value, orders[i])
		}
	}
	if text := a.header.Get(headerReceipt); len(records) != 100 || len(text) >= 2048 {
		t.Errorf("%d records, a receipt of %d characters", len(records), len(text))
	}
}

func TestFormScene(t *testing.T) {
	in := start(t)
	content := []byte(url.Values{
		"ali_order_no": {"P 7+é"}, "amount": {"100.00"}, "refer": {""},
		"order_product_list": {`[{"amount":"100.00","duration":24}]`}, "extend_fields": {`[{'"a'":1}]`},
	}.Encode())
	a := in.pushICBU(formType, content)
	_, records := in.receipt(a)
	const want = `{"ali_order_no":"P 7+é","amount":"100.00","extend_fields":"[{'\"a'\":1}]",` +
		`"order_product_list":[{"amount":"100.00","duration":24}],"refer":""}`
	if string(records[0].Value) != want {
		t.Errorf("kept %s, want %s", records[0].Value, want)
	}
	if records[0].Key != "icbu:P 7+%C3%A9" {
		t.Errorf("key %s", records[0].Key)
	}
}

// The query's value of a field was signed in place of the form's, so the form's must not become part of the order.
func TestFormFieldInTheShadowOfTheQuery(t *testing.T) {
	in := start(t)
	address := icbuAddress(icbuKey, icbuSecret, time.Now(), formType, []byte("ali_order_no=P1"))
	_, records := in.receipt(in.post(address, formType, []byte("ali_order_no=P1&v=smuggled&method=smuggled")))
	if got := string(records[0].Value); got != `{"ali_order_no":"P1"}` {
		t.Errorf("kept %s", got)
	}
}

// A captured call with a second, fresh timestamp before the signed one is still a captured call.
func TestSecondTimestampIsRefused(t *testing.T) {
	in := start(t)
	content := []byte(`{"ali_order_no":"P1"}`)
	old := icbuAddress(icbuKey, icbuSecret, time.Now().Add(-time.Hour), jsonType, content)
	fresh := url.QueryEscape(time.Now().UTC().Add(8 * time.Hour).Format(time.DateTime))
	for _, address := range []string{
		strings.Replace(old, "?", "?timestamp="+fresh+"&", 1), old + "&timestamp=" + fresh, old + "&%74imestamp=" + fresh,
	} {
		if a := in.post(address, jsonType, content); a.body != icbuSignFailure {
			t.Errorf("%s: %s", address, a.body)
		}
	}
}

// Well-formed orders that break rules are validate's to park; what is no JSON never reaches a received topic.
func TestWhatReachesTheReceivedTopic(t *testing.T) {
	in := start(t)
	deep := strings.Repeat(`[`, 65) + strings.Repeat(`]`, 65)
	for content, accepted := range map[string]bool{
		`{"order_info":{"order_id":"O1"},"price_info":{"total_price":1e1000000000}}`: true,
		`{}`: true, `[]`: true, `null`: true, `{"order_info":{"order_id":""}}`: true,
		`{"order_info":{"order_id":"` + strings.Repeat("9", 65) + `"}}`: true,
		"{\"a\":\"\\u0000\"}": true,
		`{"a":1,"a":2}`:       false, deep: false, "{\"a\":\"\xff\"}": false, `{"a":1}{}`: false, `{"a":01}`: false, "": false, "{'a':1}": false,
		`{"a":"` + "\x01" + `"}`: false,
	} {
		a := in.pushProcurement("", []byte(content))
		got, records := in.receipt(a)
		if a.body != procurementAccepted || got.Quarantined == accepted {
			t.Errorf("%.60q: quarantined %v, answer %s", content, got.Quarantined, a.body)
		}
		if string(records[0].Value) != content {
			t.Errorf("%.60q: kept %.60q", content, records[0].Value)
		}
		if accepted && !strings.HasPrefix(records[0].Key, "procurement:") {
			t.Errorf("%.60q: key %s", content, records[0].Key)
		}
	}
}

func TestTraceParent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if got := traceParent(good); got != good {
		t.Errorf("a good one became %s", got)
	}
	shape := regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`)
	for _, bad := range []string{
		"", "x", strings.ToUpper(good), "01" + good[2:], good + "-x", "00-" + strings.Repeat("0", 32) + good[35:],
		good[:36] + strings.Repeat("0", 16) + good[52:], good[:54] + "\n",
	} {
		got := traceParent(bad)
		if !shape.MatchString(got) || got == traceParent(bad) {
			t.Errorf("%q became %q", bad, got)
		}
	}
}
