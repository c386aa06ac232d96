package ezr

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/boot"
	"orderflow/pkg/partner"
	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
)

var testCredentials = Credentials{AppID: "EZP", Token: "9cd8c0ed38a9e113", Sign: mall.SHA1}

func testClient(t *testing.T, credentials Credentials, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := New(Settings{URL: server.URL, AppSystem: "orderflow", Credentials: credentials})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func saying(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

const answerTime = "20150701093010"

func yes() string {
	return `{"Status":true,"StatusCode":200,"Msg":"成功","Timestamp":"` + answerTime + `","Sign":"` +
		mall.Sign(mall.SHA1, testCredentials.AppID, answerTime, testCredentials.Token) + `","Result":3936}`
}

func one() [][]byte { return [][]byte{[]byte(`{"Code":"1"}`)} }
func two() [][]byte { return append(one(), []byte(`{"Code":"2","RecvConsignee":"测&试"}`)) }

func TestUploadRequest(t *testing.T) {
	for _, method := range []string{mall.SHA1, mall.MD5} {
		credentials := testCredentials
		credentials.Sign = method
		client := testClient(t, credentials, func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil || r.URL.Path != "/"+Path || r.URL.RawQuery != "" {
				t.Errorf("%s: %v", r.URL, err)
			}
			want := map[string]string{
				"AppId": "EZP", "AppSystem": "orderflow", "Timestamp": "20150701093010",
				"Sign": mall.Sign(method, "EZP", "20150701093010", "9cd8c0ed38a9e113"),
				"Args": `[{"Code":"1"},{"Code":"2","RecvConsignee":"测&试"}]`,
			}
			for name, value := range want {
				if got := r.PostForm[name]; len(got) != 1 || got[0] != value {
					t.Errorf("%s = %q, want %q", name, got, value)
				}
			}
			_, _ = io.WriteString(w, `{"Status":true,"StatusCode":200,"Timestamp":"x","Sign":"`+mall.Sign(method, "EZP", "x", "9cd8c0ed38a9e113")+`"}`)
		})
		client.now = func() time.Time { return time.Date(2015, 7, 1, 9, 30, 10, 0, source.Zone) }
		answer, err := client.Upload(t.Context(), two())
		if err != nil || answer.Code != "200" {
			t.Errorf("%s: %+v, %v", method, answer, err)
		}
	}
	if got := mall.Sign(mall.SHA1, "EZP", "20150701093010", "9cd8c0ed38a9e113"); got != "657D0E34AD7B342F888CA3856F207F35CF2622A8" {
		t.Errorf("the published vector gives %s", got)
	}
}

// The codes of protocols 4.3, for a batch of one and of two.
var codes = []struct {
	code      string
	one, many partner.Class
}{
	{"303", partner.Refused, partner.Split},
	{"306", partner.Refused, partner.Split},
	{"307", partner.Refused, partner.Split},
	{"308", partner.Configuration, partner.Configuration},
	{"400", partner.Configuration, partner.Configuration},
	{"405", partner.Configuration, partner.Configuration},
	{"406", partner.Refused, partner.Split},
	{"407", partner.NotTaken, partner.NotTaken},
	{"500", partner.Unknown, partner.Unknown},
	{"1000", partner.Configuration, partner.Configuration},
	{"1001", partner.Refused, partner.TooLarge},
	{"1002", partner.Refused, partner.Split},
	{"1010", partner.Refused, partner.Refused},
	{"1200", partner.Exists, partner.Exists},
	{"2000", partner.Refused, partner.Split},
	{"2001", partner.Refused, partner.Split},
	{"2010", partner.NotTaken, partner.NotTaken},
	{"2100", partner.Refused, partner.Split},
	{"2101", partner.Refused, partner.Split},
	{"2102", partner.Exists, partner.Exists},
	{"2103", partner.Missing, partner.Split},
	{"2200", partner.Unknown, partner.Unknown},
	{"2201", partner.Unknown, partner.Unknown},
	{"9999", partner.Unknown, partner.Unknown},
	{"200", partner.Unknown, partner.Unknown},
}

func TestUploadCodes(t *testing.T) {
	for _, c := range codes {
		for _, code := range []string{c.code, `"` + c.code + `"`} {
			client := testClient(t, testCredentials, saying(`{"Status":false,"StatusCode":`+code+`,"Msg":"张三 13122136787","Result":null}`))
			for _, batch := range []struct {
				orders [][]byte
				want   partner.Class
			}{{one(), c.one}, {two(), c.many}} {
				_, err := client.Upload(t.Context(), batch.orders)
				failed, ok := errors.AsType[*partner.Error](err)
				if !ok || failed.Class != batch.want || failed.Code != c.code {
					t.Errorf("%s for %d orders: %v, want %s", code, len(batch.orders), err, batch.want)
				}
				if ok && (strings.Contains(err.Error(), "张三") || strings.Contains(err.Error(), "131")) {
					t.Errorf("%s: EZR's text stands in %q", code, err)
				}
				if ok && (failed.RetryAfter > 0) != (c.code == "2010") {
					t.Errorf("%s: wait %v", code, failed.RetryAfter)
				}
			}
		}
	}
}

func TestUploadAnswers(t *testing.T) {
	signed := func(status, code string) string {
		return strings.Replace(strings.Replace(yes(), "true", status, 1), "200", code, 1)
	}
	for name, c := range map[string]struct {
		body  string
		class partner.Class
		code  string
	}{
		"success":              {yes(), "", "200"},
		"success as text":      {signed(`"true"`, `"0"`), "", "0"},
		"odd code of success":  {signed("true", "500"), "", "500"},
		"trailing comma":       {strings.TrimSuffix(yes(), "}") + " , \n}\n", "", "200"},
		"wrong sign":           {strings.Replace(yes(), answerTime, "20150701093011", 1), partner.Unknown, CodeBadAnswerSign},
		"no sign":              {`{"Status":true,"StatusCode":200}`, partner.Unknown, CodeBadAnswerSign},
		"failure without code": {`{"Status":false}`, partner.Unknown, "broken-answer"},
		"no status":            {`{"StatusCode":200}`, partner.Unknown, "broken-answer"},
		"code that quotes":     {`{"Status":false,"StatusCode":"张三"}`, partner.Unknown, "unprintable-code"},
		"a page":               {`<html>`, partner.Unknown, "broken-answer"},
		"nothing":              {``, partner.Unknown, "broken-answer"},
		"array":                {`[]`, partner.Unknown, "broken-answer"},
		"status twice":         {`{"Status":false,"Status":true,"StatusCode":406}`, partner.Unknown, "broken-answer"},
		"another case":         {`{"status":false,"statusCode":406}`, partner.Unknown, "broken-answer"},
	} {
		client := testClient(t, testCredentials, saying(c.body))
		answer, err := client.Upload(t.Context(), two())
		failed, ok := errors.AsType[*partner.Error](err)
		switch {
		case c.class == "" && (err != nil || answer.Code != c.code):
			t.Errorf("%s: %+v, %v", name, answer, err)
		case c.class != "" && (!ok || failed.Class != c.class || failed.Code != c.code):
			t.Errorf("%s: %v, want %s (%s)", name, err, c.class, c.code)
		}
	}
}

func TestUploadOnceMoreWithAFreshTimestamp(t *testing.T) {
	const late = `{"Status":false,"StatusCode":308}`
	for name, c := range map[string]struct {
		bodies []string
		class  partner.Class
	}{
		"then fine":  {[]string{late, yes()}, ""},
		"still late": {[]string{late, late, yes()}, partner.Configuration},
		"then 406":   {[]string{late, `{"Status":false,"StatusCode":406}`}, partner.Split},
	} {
		var stamps []string
		client := testClient(t, testCredentials, func(w http.ResponseWriter, r *http.Request) {
			stamps = append(stamps, r.FormValue("Timestamp")+r.FormValue("Sign"))
			_, _ = io.WriteString(w, c.bodies[len(stamps)-1])
		})
		at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		client.now = func() time.Time { at = at.Add(time.Second); return at }
		_, err := client.Upload(t.Context(), two())
		failed, _ := errors.AsType[*partner.Error](err)
		if (c.class == "") != (err == nil) || (failed != nil && failed.Class != c.class) {
			t.Errorf("%s: %v, want %q", name, err, c.class)
		}
		if len(stamps) != 2 || stamps[0] == stamps[1] {
			t.Errorf("%s: timestamps %v", name, stamps)
		}
	}
}

func TestUploadLimited(t *testing.T) {
	client := testClient(t, testCredentials, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "4")
		_, _ = io.WriteString(w, `{"Status":false,"StatusCode":407}`)
	})
	_, err := client.Upload(t.Context(), one())
	if failed, ok := errors.AsType[*partner.Error](err); !ok || failed.Class != partner.NotTaken || failed.RetryAfter != 4*time.Second {
		t.Errorf("%v", err)
	}
}

func TestUploadWithoutAnswer(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"500":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"400":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"cut":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"hang": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		client := testClient(t, testCredentials, func(w http.ResponseWriter, r *http.Request) {
			// What is cut off or given up before it came whole was not taken.
			if content, err := io.ReadAll(r.Body); err != nil || len(content) == 0 {
				t.Errorf("%s: a call of %d bytes, %v", name, len(content), err)
			}
			if name == "hang" {
				cancel() // nobody waits any longer
			}
			handler(w, r)
		})
		_, err := client.Upload(ctx, two())
		cancel()
		if failed, ok := errors.AsType[*partner.Error](err); !ok || failed.Class != partner.Unknown {
			t.Errorf("%s: %v, want unknown", name, err)
		}
	}
}

// Batches beyond our own bounds make no call.
func TestUploadBounds(t *testing.T) {
	client := testClient(t, testCredentials, func(http.ResponseWriter, *http.Request) { t.Error("a call was made") })
	large := []byte(`{"RecvAddress":"` + strings.Repeat("a", MaxArgs/2) + `"}`)
	for name, c := range map[string]struct {
		orders [][]byte
		class  partner.Class
	}{
		"none":      {nil, partner.Refused},
		"too many":  {make([][]byte, MaxBatch+1), partner.TooLarge},
		"too large": {[][]byte{large, large}, partner.TooLarge},
	} {
		_, err := client.Upload(t.Context(), c.orders)
		if failed, ok := errors.AsType[*partner.Error](err); !ok || failed.Class != c.class {
			t.Errorf("%s: %v, want %s", name, err, c.class)
		}
	}
	lone := testClient(t, testCredentials, saying(yes()))
	if _, err := lone.Upload(t.Context(), [][]byte{append(large, large...)}); err != nil {
		t.Errorf("a large single order: %v", err)
	}
}

// FuzzRead holds that an answer counts only when it says true or false in EZR's words.
func FuzzRead(f *testing.F) {
	for _, body := range []string{yes(), `{"Status":false,"StatusCode":"406"}`, `{"Status":true,}`, `,}`, `{,}`, `{"Status":[]}`, ``} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := read(body)
		if ok && !strings.Contains(string(body), "Status") && !strings.Contains(string(body), `\u`) {
			t.Fatalf("%q counts as %+v", body, got)
		}
		if ok && !got.status() && classify(string(got.StatusCode)).Class == "" {
			t.Fatalf("%q has no class", body)
		}
	})
}

func TestSettings(t *testing.T) {
	t.Setenv("EZR_URL", "http://open-q1.ezrpro.com")
	t.Setenv("EZR_SIGN", "sha256")
	t.Setenv("EZR_TOKEN", "")
	t.Setenv("EZR_APP_ID", "")
	var cfg struct{ EZR Settings }
	err := boot.Load(&cfg)
	if err == nil {
		t.Fatal("wrong settings were taken")
	}
	for _, name := range []string{"EZR_URL", "EZR_SIGN", "EZR_TOKEN", "EZR_APP_ID"} {
		if !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is not reported: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "ezrpro") || strings.Contains(err.Error(), "sha256") {
		t.Errorf("a value is quoted: %v", err)
	}
	t.Setenv("EZR_SIGN", "md5")
	t.Setenv("EZR_TOKEN", "t")
	t.Setenv("EZR_APP_ID", "a")
	for url, fine := range map[string]bool{
		"http://127.0.0.1:8099": true, "http://localhost:1/": true, "http://[::1]:8099": true, "http://127.8.8.8": true,
		"https://open-tp.ezrpro.com": true, "https://open-q1.ezrpro.com/base/": true,
		"http://open-q1.ezrpro.com": false, "http://localhost.evil.example": false, "http://10.0.0.1": false, "http://sandbox:8099": false,
		"http://127.0.0.1.evil.example": false, "ftp://127.0.0.1": false, "": false,
	} {
		settings := Settings{URL: url, AppSystem: "orderflow", Credentials: testCredentials}
		if _, err := New(settings); (err == nil) != fine {
			t.Errorf("%s: %v", url, err)
		}
	}
	t.Setenv("EZR_URL", "https://open-tp.ezrpro.com")
	if err := boot.Load(&cfg); err != nil {
		t.Errorf("right settings: %v", err)
	}
}
