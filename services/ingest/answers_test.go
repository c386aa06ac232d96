package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
)

const (
	icbuOrder = `{"amount":"28600.0","ack":0,"ali_order_no":"P1","promotion_id":"21212","action":1,` +
		`"order_product_list":[{"amount":28600.00000000000000000000000001,"promotion_id":"123"}],"résumé":"小满","big":12345678901234567890.10}`
	mallOrder1 = `{"ShopCode":"HQS0001","Code":"0000128092","TotalMoney":450.00}`
	mallOrder2 = `{"ShopCode":"HQS0001","Code":"0000128094","TotalMoney":450.00}`
)

// What each sender is told, byte for byte.
func TestAnswers(t *testing.T) {
	in := start(t)
	now := time.Now()
	big := []byte(`{"a":"` + strings.Repeat("x", maxBody) + `"}`)
	mallPost := func(form []byte) func() toldAnswer {
		return func() toldAnswer { return in.post(mallPath, formType, form) }
	}
	gzip := func(path string) func() toldAnswer {
		return func() toldAnswer {
			r := in.request(http.MethodPost, path, jsonType, []byte("\x1f\x8b"))
			r.Header.Set("Content-Encoding", "gzip")
			return in.do(r)
		}
	}
	procurementPath := procurementPrefix + token + procurementSuffix
	for name, push := range map[string]func() toldAnswer{
		"icbu-accepted": func() toldAnswer { return in.pushICBU(jsonType, []byte(icbuOrder)) },
		"icbu-accepted-form": func() toldAnswer {
			return in.pushICBU(formType, []byte("action=1&ali_order_no=P2&amount=10.50&refer=a%26b"))
		},
		"icbu-bad-signature": func() toldAnswer {
			return in.post(icbuAddress(icbuKey, "wrong", now, jsonType, []byte(icbuOrder)), jsonType, []byte(icbuOrder))
		},
		"icbu-stale": func() toldAnswer {
			return in.post(icbuAddress(icbuKey, icbuSecret, now.Add(-11*time.Minute), jsonType, []byte(icbuOrder)), jsonType, []byte(icbuOrder))
		},
		"icbu-future": func() toldAnswer {
			ahead := time.Now().Add(11 * time.Minute) // counted from now: the window comes nearer while the others are answered
			return in.post(icbuAddress(icbuKey, icbuSecret, ahead, jsonType, []byte(icbuOrder)), jsonType, []byte(icbuOrder))
		},
		"icbu-unknown-app": func() toldAnswer {
			return in.post(icbuAddress("99", icbuSecret, now, jsonType, []byte(icbuOrder)), jsonType, []byte(icbuOrder))
		},
		"icbu-unreadable":      func() toldAnswer { return in.pushICBU(jsonType, []byte(`{"ali_order_no":"P1"`)) },
		"icbu-empty":           func() toldAnswer { return in.pushICBU(jsonType, nil) },
		"icbu-no-order-no":     func() toldAnswer { return in.pushICBU(jsonType, []byte(`{"amount":"1"}`)) },
		"icbu-price-no-okki":   func() toldAnswer { return in.pushICBU(jsonType, []byte(`{"action":0,"ali_order_no":"P1"}`)) },
		"icbu-too-large":       func() toldAnswer { return in.pushICBU(jsonType, big) },
		"icbu-compressed":      gzip(icbuPath),
		"icbu-wrong-method":    func() toldAnswer { return in.get(icbuPath) },
		"procurement-accepted": func() toldAnswer { return in.pushProcurement(jsonType, []byte(`{"order_info":{"order_id":"OMLJ1"}}`)) },
		"procurement-second-token": func() toldAnswer {
			return in.post(procurementPrefix+"tok-procurement-2"+procurementSuffix, jsonType, []byte(`{"order_info":{"order_id":"OMLJ1"}}`))
		},
		"procurement-unreadable":  func() toldAnswer { return in.pushProcurement(jsonType, []byte(`{"order_info":`)) },
		"procurement-wrong-token": func() toldAnswer { return in.post(procurementPrefix+"wrong"+procurementSuffix, jsonType, []byte(`{}`)) },
		"procurement-too-large":   func() toldAnswer { return in.pushProcurement(jsonType, big) },
		"procurement-compressed":  gzip(procurementPath),
		"mall-accepted":           func() toldAnswer { return in.pushMall(`[` + mallOrder1 + `,` + mallOrder2 + `]`) },
		"mall-accepted-md5":       mallPost(mallForm("BRAND", "tok", mall.MD5, now, `[`+mallOrder1+`]`)),
		"mall-bad-sign":           mallPost(mallForm(mallApp1, "wrong", mall.SHA1, now, `[`+mallOrder1+`]`)),
		"mall-unknown-app":        mallPost(mallForm("NOBODY", mallToken, mall.SHA1, now, `[`+mallOrder1+`]`)),
		"mall-clock":              mallPost(mallForm(mallApp1, mallToken, mall.SHA1, now.Add(-11*time.Minute), `[`+mallOrder1+`]`)),
		"mall-bad-json":           func() toldAnswer { return in.pushMall(`[` + mallOrder1 + `,]`) },
		"mall-no-array":           func() toldAnswer { return in.pushMall(mallOrder1) },
		"mall-empty":              func() toldAnswer { return in.pushMall(``) },
		"mall-no-orders":          func() toldAnswer { return in.pushMall(`[ ]`) },
		"mall-mixed-shops":        func() toldAnswer { return in.pushMall(`[` + mallOrder1 + `,{"ShopCode":"HQS0002","Code":"2"}]`) },
		"mall-over-100":           func() toldAnswer { return in.pushMall(`[` + strings.Repeat(mallOrder1+`,`, 100) + mallOrder2 + `]`) },
		"mall-same-code":          func() toldAnswer { return in.pushMall(`[` + mallOrder1 + `,` + mallOrder1 + `]`) },
		"mall-too-large":          mallPost(append(mallForm(mallApp1, mallToken, mall.SHA1, now, ``), big...)),
		"mall-compressed":         gzip(mallPath),
		"no-such-address":         func() toldAnswer { return in.post("/icbu/okki/orders/", jsonType, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			a := push()
			a.body = withoutSign(t, name, a.body)
			golden(t, name, a.text(t))
		})
	}
}

var signed = regexp.MustCompile(`"Timestamp":"([0-9]*)","Sign":"([0-9A-F]*)"`)

// withoutSign checks a mall answer's signature and replaces what changes with time.
func withoutSign(t *testing.T, name, content string) string {
	t.Helper()
	found := signed.FindStringSubmatch(content)
	if found == nil {
		return content
	}
	app, secret, method := mallApp1, mallToken, mall.SHA1
	if name == "mall-accepted-md5" {
		app, secret, method = "BRAND", "tok", mall.MD5
	}
	if found[2] != "" && !mall.VerifySign(method, app, found[1], secret, found[2]) {
		t.Errorf("the answer's signature is wrong: %s", content)
	}
	if at, err := mall.ParseTimestamp(found[1]); err != nil || !source.Fresh(at, time.Now(), time.Minute) {
		t.Errorf("the answer's timestamp is not now: %s", content)
	}
	if found[2] == "" {
		return signed.ReplaceAllString(content, `"Timestamp":"(now)","Sign":""`)
	}
	return signed.ReplaceAllString(content, `"Timestamp":"(now)","Sign":"(signed)"`)
}

// A wrong token must look like any address that does not exist.
func TestWrongTokenLooksLikeNoAddress(t *testing.T) {
	in := start(t)
	wrong := in.post(procurementPrefix+"wrong"+procurementSuffix, jsonType, []byte(`{}`))
	nothing := in.post("/nothing/here", jsonType, []byte(`{}`))
	wrong.header.Del("Date")
	nothing.header.Del("Date")
	if wrong.status != nothing.status || wrong.body != nothing.body || len(wrong.header) != len(nothing.header) {
		t.Errorf("wrong token: %+v, no address: %+v", wrong, nothing)
	}
}

func TestProcurementRefusesUnreadableWhenTold(t *testing.T) {
	in := start(t, func(s *Settings) { s.Ingest.Unreadable = unreadableRefuse })
	a := in.pushProcurement(jsonType, []byte(`{"order_info":`))
	golden(t, "procurement-refused", a.text(t))
	if kept := in.quarantined(badJSON); len(kept) != 1 {
		t.Errorf("%d requests kept, want 1", len(kept))
	}
}

// The signature of a refused call would be good for a forged one: only proven callers get one.
func TestNoSignatureForUnprovenCallers(t *testing.T) {
	in := start(t)
	for name, form := range map[string][]byte{
		"wrong sign":  mallForm(mallApp1, "wrong", mall.SHA1, time.Now(), `[]`),
		"unknown app": mallForm("NOBODY", mallToken, mall.SHA1, time.Now(), `[]`),
		"old capture": mallForm(mallApp1, mallToken, mall.SHA1, time.Now().Add(-time.Hour), `[]`),
	} {
		if a := in.post(mallPath, formType, form); !strings.Contains(a.body, `"Sign":""`) {
			t.Errorf("%s: %s", name, a.body)
		}
	}
}

func TestRoutes(t *testing.T) {
	in := start(t)
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/": 404, "/metrics": 404, mallPath: 405, "/Icbu/okki/orders": 404,
		"/fenbeitong/procurement-orders": 404, "/fenbeitong//procurement-orders": 404, "/fenbeitong/a/b/procurement-orders": 404,
		procurementPrefix + token + procurementSuffix: 405,
	} {
		if got := in.get(path).status; got != want {
			t.Errorf("GET %s: %d, want %d", path, got, want)
		}
	}
	if got := in.post("/healthz", "", nil).status; got != 405 {
		t.Errorf("POST /healthz: %d", got)
	}
	if got := in.post(procurementPrefix+url.PathEscape("a/b")+procurementSuffix, "", nil).status; got != 404 {
		t.Errorf("a token with a slash: %d", got)
	}
}
