package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/partner/okki"
	"orderflow/pkg/source"
)

var (
	okkiKeys = okki.Credentials{AppKey: "12345678", AppSecret: "testsecret0123456789abcdef", TargetAppKey: "87654321"}
	ezrKeys  = ezr.Credentials{AppID: "EZP", Token: "9cd8c0ed38a9e113", Sign: "sha1"}
)

// stand is a running sandbox with a client of each partner.
type stand struct {
	*testing.T
	sandbox *sandbox
	url     string
	okki    *okki.Client
	ezr     *ezr.Client
}

func start(t *testing.T) *stand { return startSigned(t, "hmac-sha256", "sha1") }

func startSigned(t *testing.T, okkiMethod, ezrMethod string) *stand {
	t.Helper()
	keys := ezrKeys
	keys.Sign = ezrMethod
	s := newSandbox(okkiKeys, keys)
	server := httptest.NewServer(s.handler())
	t.Cleanup(server.Close)
	okkiClient, err := okki.New(okki.Settings{URL: server.URL + "/router/rest", SignMethod: okkiMethod, Credentials: okkiKeys})
	if err != nil {
		t.Fatal(err)
	}
	ezrClient, err := ezr.New(ezr.Settings{URL: server.URL, AppSystem: "orderflow", Credentials: keys})
	if err != nil {
		t.Fatal(err)
	}
	return &stand{t, s, server.URL, okkiClient, ezrClient}
}

// admin makes one call of the admin API and gives status and body.
func (s *stand) admin(method, path, body string) (int, string) {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), method, s.url+"/_sandbox/"+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// put sets faults or config and wants it to be taken.
func (s *stand) put(path, body string) {
	s.Helper()
	if status, answer := s.admin(http.MethodPut, path, body); status != http.StatusOK {
		s.Fatalf("PUT %s: %d %s", path, status, answer)
	}
}

// held tells the times and the amount of an order, "0 " when it was not taken.
func (s *stand) held(partner, number string) string {
	s.Helper()
	_, body := s.admin(http.MethodGet, "orders?partner="+partner+"&order_no="+number, "")
	var list struct {
		Orders []taken `json:"orders"`
		Total  int     `json:"total"`
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		s.Fatal(err)
	}
	if list.Total != len(list.Orders) || list.Total > 1 {
		s.Fatalf("total %d: %s", list.Total, body)
	}
	if list.Total == 0 {
		return "0 "
	}
	return fmt.Sprintf("%d %s", list.Orders[0].Times, list.Orders[0].Amount)
}

// stats gives one partner's figures.
func (s *stand) stats(partner string) counts {
	s.Helper()
	_, body := s.admin(http.MethodGet, "stats", "")
	var all map[string]counts
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		s.Fatal(err)
	}
	return all[partner]
}

// contract is an OKKI order.
func contract(number, amount string) []byte {
	return fmt.Appendf(nil, `{"ali_order_no":%q,"amount":%q,"action":1,"tomorrow":{"a":[1]}}`, number, amount)
}

// sale is an order in EZR's form, of one line.
func sale(code, amount string) []byte { return mallOrder("S1", code, amount, 1, "") }

func mallOrder(shop, code, amount string, quantity int, original string) []byte {
	if original != "" {
		original = fmt.Sprintf(`"OriginalCode":%q,`, original)
	}
	at := time.Now().In(source.Zone).Add(-time.Hour).Format(time.DateTime)
	return fmt.Appendf(nil, `{"ShopCode":%q,"Code":%q,%s"BuyerCode":"b","OrderTime":%q,"PayTime":%q,"TotalQty":%d,"TotalMoney":%s,`+
		`"PayAmount":%s,"DataOrigin":10,"DiscountMoney":0.00,"Dtls":[{"BarCode":"1","PriceOriginal":1.00,"PriceSell":1.00,`+
		`"Quantity":%d,"Amount":%s,"DiscountMoney":0.00}]}`, shop, code, original, at, at, quantity, amount, amount, quantity, amount)
}

func exactly(t *testing.T, amount string) decimal.Decimal {
	t.Helper()
	exact, err := order.ParseAmount(amount)
	if err != nil {
		t.Errorf("%q is no amount", amount)
	}
	return exact
}
