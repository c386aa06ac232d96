package okki

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/boot"
	"orderflow/pkg/partner"
)

var testCredentials = Credentials{AppKey: "12345678", AppSecret: "testsecret0123456789abcdef", TargetAppKey: "87654321"}

func testClient(t *testing.T, method string, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := New(Settings{URL: server.URL + "/router/rest?partner_id=orderflow", SignMethod: method, Credentials: testCredentials})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func answering(t *testing.T, client func(http.HandlerFunc) *Client, bodies ...string) (*Client, *[]url.Values) {
	t.Helper()
	var seen []url.Values
	return client(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Query())
		_, _ = io.WriteString(w, bodies[min(len(seen), len(bodies))-1])
	}), &seen
}

func TestCreateRequest(t *testing.T) {
	document := `{"ali_order_no":"P1","amount":"28600.0","from_tomorrow":[1]}`
	for _, method := range SignMethods {
		client := testClient(t, method, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != document {
				t.Errorf("body %q, %v", body, err)
			}
			query := r.URL.Query()
			for name, want := range map[string]string{
				"method": Method, "app_key": "12345678", "target_app_key": "87654321", "v": "2.0", "format": "json",
				"sign_method": method, "timestamp": "2024-03-01 12:00:00", "partner_id": "orderflow",
				"sign": Sign(method, testCredentials.AppSecret, query, body),
			} {
				if query.Get(name) != want {
					t.Errorf("%s = %q, want %q", name, query.Get(name), want)
				}
			}
			if got := r.Header.Get("Content-Type"); got != "application/json;charset=utf-8" {
				t.Errorf("content type %q", got)
			}
			_, _ = io.WriteString(w, `{"success":true,"resp_code":"0"}`)
		})
		client.now = func() time.Time { return time.Date(2024, 3, 1, 4, 0, 0, 0, time.UTC) }
		answer, err := client.Create(t.Context(), []byte(document))
		if err != nil || answer.Code != "0" {
			t.Errorf("%s: %+v, %v", method, answer, err)
		}
	}
}

func TestCreateErrorsAreClassed(t *testing.T) {
	for _, c := range answers {
		client := testClient(t, MD5, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.body) })
		answer, err := client.Create(t.Context(), []byte(`{}`))
		failed, ok := errors.AsType[*partner.Error](err)
		switch {
		case c.class == "" && (err != nil || answer.Code != c.code):
			t.Errorf("%s: %v", c.name, err)
		case c.class != "" && (!ok || failed.Class != c.class || failed.Code != c.code):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCreateOnceMoreWithAFreshTimestamp(t *testing.T) {
	const late, fine = `{"error_response":{"code":31,"msg":"Invalid timestamp"}}`, `{"success":true}`
	for name, c := range map[string]struct {
		bodies []string
		calls  int
		class  partner.Class
	}{
		"then fine":  {[]string{late, fine}, 2, ""},
		"still late": {[]string{late, late, fine}, 2, partner.Configuration},
		"then busy":  {[]string{late, `{"error_response":{"code":10}}`}, 2, partner.Unknown},
		"fine":       {[]string{fine}, 1, ""},
	} {
		build := func(handler http.HandlerFunc) *Client { return testClient(t, HMAC, handler) }
		client, seen := answering(t, build, c.bodies...)
		at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		client.now = func() time.Time { at = at.Add(time.Second); return at }
		_, err := client.Create(t.Context(), []byte(`{}`))
		failed, _ := errors.AsType[*partner.Error](err)
		if (c.class == "") != (err == nil) || (failed != nil && failed.Class != c.class) {
			t.Errorf("%s: %v, want %q", name, err, c.class)
		}
		if len(*seen) != c.calls {
			t.Fatalf("%s: %d calls, want %d", name, len(*seen), c.calls)
		}
		if c.calls == 2 && ((*seen)[0].Get("timestamp") == (*seen)[1].Get("timestamp") || (*seen)[0].Get("sign") == (*seen)[1].Get("sign")) {
			t.Errorf("%s: the timestamp was not fresh", name)
		}
	}
}

func TestCreateStatuses(t *testing.T) {
	for status, want := range map[int]partner.Class{
		500: partner.Unknown, 503: partner.Unknown, 429: partner.NotTaken, 413: partner.Refused, 404: partner.Configuration,
	} {
		client := testClient(t, MD5, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"success":true}`)
		})
		_, err := client.Create(t.Context(), []byte(`{}`))
		failed, ok := errors.AsType[*partner.Error](err)
		if !ok || failed.Class != want {
			t.Errorf("status %d: %v, want %s", status, err, want)
		}
		if ok && want != partner.Refused && failed.RetryAfter != 3*time.Second {
			t.Errorf("status %d: asks to wait %v", status, failed.RetryAfter)
		}
	}
}

func TestRetryAfterBesideALimit(t *testing.T) {
	client := testClient(t, MD5, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "9")
		_, _ = io.WriteString(w, `{"error_response":{"code":7}}`)
	})
	_, err := client.Create(t.Context(), []byte(`{}`))
	if failed, ok := errors.AsType[*partner.Error](err); !ok || failed.Class != partner.NotTaken || failed.RetryAfter != 9*time.Second {
		t.Errorf("%v", err)
	}
}

func TestQueryPassesOn(t *testing.T) {
	for name, c := range map[string]struct {
		body, want string
		class      partner.Class
	}{
		"wrapped":         {wrapper + `{"success":true,"amount":"1.10"}}`, `{"success":true,"amount":"1.10"}`, ""},
		"refused":         {`{"success":false,"resp_code":"no-price"}`, `{"success":false,"resp_code":"no-price"}`, ""},
		"contradictory":   {`{"success":true,"resp_code":"5"}`, `{"success":true,"resp_code":"5"}`, ""},
		"our credentials": {`{"success":false,"resp_code":"sign-check-failure"}`, "", partner.Configuration},
		"gateway":         {`{"error_response":{"code":15,"sub_code":"isp.http-read-timeout"}}`, "", partner.Unknown},
		"broken":          {`busy`, "", partner.Unknown},
		"refused by isv":  {`{"error_response":{"code":40,"sub_code":"isv.missing-parameter"}}`, "", partner.Refused},
	} {
		client := testClient(t, MD5, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.body) })
		got, err := client.Query(t.Context(), []byte(`{"action":0}`))
		failed, ok := errors.AsType[*partner.Error](err)
		if string(got) != c.want || (c.class != "") != ok || (ok && failed.Class != c.class) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestQuerySlow(t *testing.T) {
	client := testClient(t, MD5, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if got, err := client.Query(ctx, []byte(`{}`)); err == nil || got != nil {
		t.Errorf("a slow OKKI answered %q, %v", got, err)
	}
}

func TestSettings(t *testing.T) {
	t.Setenv("OKKI_URL", "gw.api.taobao.com")
	t.Setenv("OKKI_SIGN_METHOD", "crc32")
	t.Setenv("OKKI_APP_SECRET", "")
	t.Setenv("OKKI_APP_KEY", "")
	var cfg struct{ OKKI Settings }
	err := boot.Load(&cfg)
	if err == nil {
		t.Fatal("wrong settings were taken")
	}
	for _, name := range []string{"OKKI_URL", "OKKI_SIGN_METHOD", "OKKI_APP_SECRET", "OKKI_APP_KEY"} {
		if !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is not reported: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "gw.api") || strings.Contains(err.Error(), "crc32") {
		t.Errorf("a value is quoted: %v", err)
	}
	if _, err := New(cfg.OKKI); err == nil {
		t.Error("a client was made of wrong settings")
	}
	t.Setenv("OKKI_URL", "http://127.0.0.1:8099/router/rest")
	t.Setenv("OKKI_SIGN_METHOD", "md5")
	t.Setenv("OKKI_APP_SECRET", "s")
	t.Setenv("OKKI_APP_KEY", "k")
	if err := boot.Load(&cfg); err != nil {
		t.Errorf("right settings: %v", err)
	}
}
