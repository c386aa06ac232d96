package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"orderflow/pkg/partner"
	"orderflow/pkg/partner/okki"
	"orderflow/pkg/source"
)

func wantClass(t *testing.T, what string, err error, class partner.Class, code string) {
	t.Helper()
	failed, ok := errors.AsType[*partner.Error](err)
	if class == "" {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	if !ok || failed.Class != class || (code != "" && failed.Code != code) {
		t.Errorf("%s: %v, want %s (%s)", what, err, class, code)
	}
}

func TestOKKITakesOrders(t *testing.T) {
	for _, method := range okki.SignMethods {
		s := startSigned(t, method, "sha1")
		for _, amount := range []string{"28600.0", "999999999999999999.99999999"} {
			_, err := s.okki.Create(t.Context(), contract("P1", amount))
			wantClass(t, method, err, "", "")
		}
		if got := s.held("okki", "P1"); got != "2 999999999999999999.99999999" {
			t.Errorf("%s: holds %q", method, got)
		}
		if got := s.stats("okki"); got != (counts{Calls: 2, Accepted: 2, MaxInFlight: 1, LargestBatch: 1}) {
			t.Errorf("%s: %+v", method, got)
		}
	}
}

func TestOKKIPriceQuery(t *testing.T) {
	s := start(t)
	for query, want := range map[string]string{
		`{"action":0,"amount":"10.10","original_amount":"12"}`:                      `"amount":"10.10","original_amount":"12",`,
		`{"action":"0","order_product_list":[{"amount":"0.10"},{"amount":"0.20"}]}`: `"original_amount":"0.30","amount":"0.30",`,
		`{"action":0,"success":false,"request_id":"x"}`:                             `"success":true,`,
	} {
		answer, err := s.okki.Query(t.Context(), []byte(query))
		if err != nil || !strings.Contains(string(answer), want) || !strings.Contains(string(answer), `"resp_code":"0"`) {
			t.Errorf("%s: %s, %v", query, answer, err)
		}
	}
	if got := s.stats("okki"); got.Calls != 3 || got.Accepted != 0 {
		t.Errorf("queries count as orders: %+v", got)
	}
}

func TestOKKIExisting(t *testing.T) {
	s := start(t)
	s.put("config", `{"okki_existing":"refuse"}`)
	_, err := s.okki.Create(t.Context(), contract("P1", "1"))
	wantClass(t, "first", err, "", "")
	_, err = s.okki.Create(t.Context(), contract("P1", "2"))
	wantClass(t, "second", err, partner.Exists, okki.DuplicateCode)
	if got := s.held("okki", "P1"); got != "1 1" {
		t.Errorf("holds %q", got)
	}
	s.put("config", `{"okki_existing":"take"}`)
	_, err = s.okki.Create(t.Context(), contract("P1", "2"))
	wantClass(t, "third", err, "", "")
}

func TestOKKIRefusesDocuments(t *testing.T) {
	s := start(t)
	_, err := s.okki.Create(t.Context(), []byte(`{"amount":"1"}`))
	wantClass(t, "no number", err, partner.Refused, "isv.missing-parameter")
	for _, body := range []string{`[]`, `{`, `{"ali_order_no":"1","ali_order_no":"2"}`, ``} {
		_, err = s.okki.Create(t.Context(), []byte(body))
		wantClass(t, body, err, partner.Refused, "isv.invalid-parameter")
	}
	_, err = s.okki.Create(t.Context(), bytes.Repeat([]byte(" "), maxBody+1))
	wantClass(t, "too large", err, partner.Refused, "http-413")
}

// Every check of the gateway, by a request that is right but for one thing.
func TestOKKIGatewayChecks(t *testing.T) {
	body := []byte(`{"ali_order_no":"P1"}`)
	for code, spoil := range map[string]func(url.Values){
		`"code":21,`: func(q url.Values) { q.Del("method") },
		`"code":22,`: func(q url.Values) { q.Set("method", "taobao.item.get") },
		`"code":23,`: func(q url.Values) { q.Set("format", "xml") },
		`"code":24,`: func(q url.Values) { q.Del("sign") },
		`"code":25,`: func(q url.Values) { q.Set("sign", strings.Repeat("0", 64)) },
		`"code":28,`: func(q url.Values) { q.Del("app_key") },
		`"code":29,`: func(q url.Values) { q.Set("app_key", "1") },
		`"code":30,`: func(q url.Values) { q.Del("timestamp") },
		`"code":31,`: func(q url.Values) {
			q.Set("timestamp", time.Now().Add(-11*time.Minute).In(source.Zone).Format(time.DateTime))
		},
		`"code":32,`:     func(q url.Values) { q.Del("v") },
		`"code":33,`:     func(q url.Values) { q.Set("v", "1.0") },
		`"success":true`: func(q url.Values) { q.Del("sign_method"); q.Set("sign", okki.Sign("md5", okkiKeys.AppSecret, q, body)) },
	} {
		s := start(t)
		query := signedQuery(body)
		spoil(query)
		if got := s.gateway(http.MethodPost, query, "application/json", body); !strings.Contains(got, code) {
			t.Errorf("want %s, got %s", code, got)
		}
	}
	s := start(t)
	later, unsupported, elsewhere := signedQuery(body), signedQuery(body), signedQuery(body)
	elsewhere.Set("target_app_key", "1")
	if got := s.gateway(http.MethodPost, elsewhere, "application/json", body); !strings.Contains(got, `"code":29,`) {
		t.Errorf("a call for somebody else: %s", got)
	}
	later.Set("timestamp", time.Now().Add(11*time.Minute).In(source.Zone).Format(time.DateTime))
	unsupported.Set("sign_method", "crc32")
	for what, got := range map[string]string{
		`"code":9,`:  s.gateway(http.MethodGet, signedQuery(body), "application/json", nil),
		`"code":23,`: s.gateway(http.MethodPost, signedQuery(body), "application/x-www-form-urlencoded", body),
		`"code":31,`: s.gateway(http.MethodPost, later, "application/json", body),
		`"code":25,`: s.gateway(http.MethodPost, unsupported, "application/json", body),
	} {
		if !strings.Contains(got, what) {
			t.Errorf("want %s, got %s", what, got)
		}
	}
	if got := s.held("okki", "P1"); got != "0 " {
		t.Errorf("an unsigned order was taken: %q", got)
	}
}

func signedQuery(body []byte) url.Values {
	query := url.Values{
		"method": {okki.Method}, "app_key": {okkiKeys.AppKey}, "target_app_key": {okkiKeys.TargetAppKey}, "v": {"2.0"},
		"format": {"json"}, "sign_method": {"hmac"}, "timestamp": {time.Now().In(source.Zone).Format(time.DateTime)},
	}
	query.Set("sign", okki.Sign("hmac", okkiKeys.AppSecret, query, body))
	return query
}

func (s *stand) gateway(method string, query url.Values, contentType string, body []byte) string {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), method, s.url+"/router/rest?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.Fatalf("status %d, %v", response.StatusCode, err)
	}
	return string(answer)
}

func TestManyAtOnce(t *testing.T) {
	s := start(t)
	s.put("faults", `{"faults":[{"partner":"okki","delay_ms":100}]}`)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, err := s.okki.Create(t.Context(), contract("P"+string(rune('a'+i)), "1"))
			wantClass(t, "one of many", err, "", "")
		})
	}
	all.Wait()
	if got := s.stats("okki"); got.Accepted != 20 || got.MaxInFlight < 2 || got.MaxInFlight > 20 {
		t.Errorf("%+v", got)
	}
	s.admin(http.MethodDelete, "stats", "")
	if got := s.stats("okki"); got != (counts{}) {
		t.Errorf("after the reset: %+v", got)
	}
}
