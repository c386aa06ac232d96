package sender_test

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

	"orderflow/pkg/order"
	"orderflow/pkg/sender"
	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
)

const (
	icbuBody = `{"ali_order_no":"P0001","amount":"100.00","action":1,"order_product_list":[{"product_name":"小满"}],"refer":""}`
	mallBody = `[{"ShopCode":"S1","Code":"0001"}]`
	procBody = `{"order_info":{"order_id":"OMLJ1"}}`
)

var secrets = sender.Secrets{ICBU: "4711=icbu-secret,4712=other", Procurement: "proc/token,other", Mall: "EZP=mall-token"}

// got is one request as ingest sees it.
type got struct {
	path   string
	query  string
	header http.Header
	body   []byte
}

// ingest is a stand-in that keeps the request and answers what it is told.
func ingest(t *testing.T, status int, answer string) (string, *got) {
	t.Helper()
	seen := &got{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*seen = got{r.URL.EscapedPath(), r.URL.RawQuery, r.Header, body}
		w.Header().Set("Orderflow-Receipt", "receipt-1")
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "2")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL, seen
}

func send(t *testing.T, base string, p sender.Push) sender.Answer {
	t.Helper()
	answer, err := sender.New(base+"/", secrets).Send(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestICBUIsSignedAsThePlatformSigns(t *testing.T) {
	for _, form := range []bool{false, true} {
		base, seen := ingest(t, 200, `{"success":true,"resp_code":"0","resp_msg":"success"}`)
		answer := send(t, base, sender.Push{Source: order.ICBU, Body: []byte(icbuBody), Form: form})
		if !answer.Accepted || answer.Code != "0" || answer.Receipt != "receipt-1" {
			t.Errorf("form %v: answer %+v", form, answer)
		}
		request := icbu.SPIRequest{RawQuery: seen.query, Header: seen.header, Body: seen.body}
		if !icbu.VerifySPI([]string{"icbu-secret"}, request) {
			t.Errorf("form %v: the signature does not fit", form)
		}
		if seen.path != "/icbu/okki/orders" || request.Param("app_key") != "4711" || request.IsForm() != form {
			t.Errorf("form %v: sent to %s?%s as %v", form, seen.path, seen.query, seen.header)
		}
		at, err := icbu.ParseTimestamp(request.Param("timestamp"))
		if err != nil || !source.Fresh(at, time.Now(), time.Minute) {
			t.Errorf("form %v: timestamp %v %v", form, at, err)
		}
		if form {
			fields, err := url.ParseQuery(string(seen.body))
			if err != nil || fields.Get("action") != "1" || fields.Get("order_product_list") != `[{"product_name":"小满"}]` || !fields.Has("refer") || fields.Get("refer") != "" {
				t.Errorf("fields %v %v", fields, err)
			}
		} else if string(seen.body) != icbuBody {
			t.Errorf("the body was changed: %s", seen.body)
		}
	}
}

func TestMallIsSignedAsTheBrandSigns(t *testing.T) {
	for list, method := range map[string]string{"EZP=mall-token": mall.SHA1, "EZP=mall-token:md5,X=y": mall.MD5} {
		base, seen := ingest(t, 200, `{"Status":true,"StatusCode":200,"Msg":"成功","Result":1}`)
		answer, err := sender.New(base, sender.Secrets{Mall: list}).Send(t.Context(), sender.Push{Source: order.Mall, Body: []byte(mallBody)})
		if err != nil || !answer.Accepted || answer.Code != "200" {
			t.Errorf("%s: answer %+v %v", list, answer, err)
		}
		fields, err := url.ParseQuery(string(seen.body))
		if err != nil {
			t.Fatal(err)
		}
		if !mall.VerifySign(method, "EZP", fields.Get("Timestamp"), "mall-token", fields.Get("Sign")) {
			t.Errorf("%s: the signature does not fit", list)
		}
		if seen.path != "/api/morder/thirdOrdAdd" || fields.Get("Args") != mallBody || fields.Get("AppSystem") == "" {
			t.Errorf("%s: sent to %s: %v", list, seen.path, fields)
		}
	}
}

func TestProcurementGoesToTheAddressWithTheToken(t *testing.T) {
	base, seen := ingest(t, 200, `{"code":0,"msg":"success","data":{"code":"1","msg":"success"}}`)
	answer := send(t, base, sender.Push{Source: order.Procurement, Body: []byte(procBody)})
	if !answer.Accepted || seen.path != "/fenbeitong/proc%2Ftoken/procurement-orders" || string(seen.body) != procBody {
		t.Errorf("answer %+v, sent to %s: %s", answer, seen.path, seen.body)
	}
}

func TestAnswers(t *testing.T) {
	tests := map[string]struct {
		source order.Source
		status int
		body   string
		want   sender.Answer
	}{
		"icbu bad signature":  {order.ICBU, 200, `{"success":false,"resp_code":"sign-check-failure","error_desc":"Illegal request"}`, sender.Answer{Code: "sign-check-failure", Text: "Illegal request"}},
		"icbu price as text":  {order.ICBU, 200, `{"success":"true","resp_code":"0"}`, sender.Answer{Accepted: true, Code: "0"}},
		"icbu true but coded": {order.ICBU, 200, `{"success":true,"resp_code":"x"}`, sender.Answer{Code: "x"}},
		"icbu again":          {order.ICBU, 503, `{"success":false,"resp_code":"try-again"}`, sender.Answer{Again: true, Code: "try-again", RetryAfter: "2"}},
		"icbu lying status":   {order.ICBU, 500, `{"success":true,"resp_code":"0"}`, sender.Answer{Code: "0"}},
		"procurement again":   {order.Procurement, 503, `{"code":1,"msg":"retry","data":{"code":"0","msg":"retry"}}`, sender.Answer{Again: true, Code: "1", Text: "retry", RetryAfter: "2"}},
		"procurement no such": {order.Procurement, 404, `{"error":{"code":"not_found"}}`, sender.Answer{}},
		"procurement half":    {order.Procurement, 200, `{"code":0,"msg":"success"}`, sender.Answer{Code: "0", Text: "success"}},
		"mall bad sign":       {order.Mall, 200, `{"Status":false,"StatusCode":405,"Msg":"签名错误"}`, sender.Answer{Code: "405", Text: "签名错误"}},
		"mall no JSON":        {order.Mall, 502, `<html>`, sender.Answer{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			base, _ := ingest(t, tt.status, tt.body)
			got := send(t, base, sender.Push{Source: tt.source, Body: []byte(`{}`)})
			tt.want.Status, tt.want.Receipt = tt.status, "receipt-1"
			if got != tt.want {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestErrorsNameWhatIsMissingAndNoSecret(t *testing.T) {
	base, _ := ingest(t, 200, "")
	const gone = "http://127.0.0.1:1" // a port that was closed just now may be somebody else's in a moment
	tests := map[string]struct {
		base    string
		secrets sender.Secrets
		push    sender.Push
		want    string
	}{
		"no icbu secret":       {base, sender.Secrets{}, sender.Push{Source: order.ICBU}, "ICBU_SECRETS is not set"},
		"no token":             {base, sender.Secrets{Procurement: " ,x"}, sender.Push{Source: order.Procurement}, "PROCUREMENT_TOKENS is not set"},
		"no app":               {base, sender.Secrets{}, sender.Push{Source: order.Mall}, "MALL_APPS is not set"},
		"half a pair":          {base, sender.Secrets{Mall: "hush="}, sender.Push{Source: order.Mall}, "MALL_APPS: the first entry is not name=secret"},
		"no source":            {base, secrets, sender.Push{}, "unknown source"},
		"a form of no object":  {base, secrets, sender.Push{Source: order.ICBU, Body: []byte(`[]`), Form: true}, "JSON object"},
		"ingest away":          {gone, sender.Secrets{Procurement: "hush"}, sender.Push{Source: order.Procurement}, "connection refused"},
		"an address that none": {"http://%zz", sender.Secrets{Procurement: "hush"}, sender.Push{Source: order.Procurement}, "not a usable address"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := sender.New(tt.base, tt.secrets).Send(context.Background(), tt.push)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if unsent := name != "ingest away"; errors.Is(err, sender.ErrNotSent) != unsent {
				t.Errorf("error %v says that it was not sent: %v", err, !unsent)
			}
		})
	}
}

func TestGuess(t *testing.T) {
	tests := []struct {
		path, body string
		want       order.Source
	}{
		{"schemas/examples/icbu/good-seed.json", "", order.ICBU},
		{"/home/mall/procurement/x.json", mallBody, order.Procurement},
		{"mall-42.json", icbuBody, order.Mall},
		{"x.json", icbuBody, order.ICBU},
		{"x.json", mallBody, order.Mall},
		{"small/x.json", procBody, order.Procurement},
		{"x.json", `{"ShopCode":"S1"}`, order.Mall},
		{"x.json", `{"a":1}`, ""},
		{"x.json", `not json`, ""},
		{"x.json", ``, ""},
	}
	for _, tt := range tests {
		got, ok := sender.Guess(tt.path, []byte(tt.body))
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("Guess(%s, %s) = %q %v, want %q", tt.path, tt.body, got, ok, tt.want)
		}
	}
}
