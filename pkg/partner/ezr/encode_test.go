package ezr

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

const sale = `{"ShopCode":"HQS0001","Code":"0000128092","BuyerCode":"EZ00001201","OrderTime":"2026-06-22   10:30:01",` +
	`"TotalQty":1,"TotalMoney":"450","PayTime":"2026-06-22 10:35:01","PayAmount":450.5,"DataOrigin":10,"DiscountMoney":0,` +
	`"RecvConsignee":"测试","RecvMobile":"13122136787","RecvTel":"","RecvCity":null,"Remark":{"secret":[1,2]},` +
	`"Dtls":[{"BarCode":"15026609123","PriceOriginal":4.5e2,"PriceSell":"450.00","Quantity":"1","Amount":450.0,"DiscountMoney":-0.0,"Sku":"x"}]}`

const sent = `{"ShopCode":"HQS0001","Code":"0000128092","BuyerCode":"EZ00001201","OrderTime":"2026-06-22 10:30:01",` +
	`"TotalQty":1,"TotalMoney":450.00,"PayTime":"2026-06-22 10:35:01","PayAmount":450.50,"DataOrigin":10,"DiscountMoney":0.00,` +
	`"RecvConsignee":"测试","RecvMobile":"13122136787",` +
	`"Dtls":[{"BarCode":"15026609123","PriceOriginal":450.00,"PriceSell":450.00,"Quantity":1,"Amount":450.00,"DiscountMoney":0.00}]}`

func TestEncode(t *testing.T) {
	got, err := Encode([]byte(sale))
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Body) != sent {
		t.Errorf("sent\n%s\nwant\n%s", got.Body, sent)
	}
	if got.ShopCode != "HQS0001" || got.Code != "0000128092" || got.Total != "450.00" {
		t.Errorf("kept %q %q %q", got.ShopCode, got.Code, got.Total)
	}
	again, err := Encode(got.Body)
	if err != nil || string(again.Body) != sent {
		t.Errorf("encoded twice: %s, %v", again.Body, err)
	}
}

func TestEncodeShapes(t *testing.T) {
	for document, want := range map[string]string{
		`{}`:                                           `{}`,
		`{"Code":12345}`:                               `{"Code":"12345"}`,
		`{"Code":"a\"b\u0001\\","Dtls":[]}`:            `{"Code":"a\"b\u0001\\","Dtls":[]}`,
		`{"Dtls":[{},{}]}`:                             `{"Dtls":[{},{}]}`,
		`{"Dtls":null,"Code":"1"}`:                     `{"Code":"1"}`,
		`{"RecvTel":"","Code":"1"}`:                    `{"Code":"1"}`,
		`{"TotalMoney":-450.1,"TotalQty":-1}`:          `{"TotalMoney":-450.10,"TotalQty":-1}`,
		`{"TotalMoney":999999999999999999.99}`:         `{"TotalMoney":999999999999999999.99}`,
		`{"TotalMoney":0.10000,"code":"x","CODE":"y"}`: `{"TotalMoney":0.10}`,
	} {
		got, err := Encode([]byte(document))
		if err != nil || string(got.Body) != want {
			t.Errorf("%s: %s, %v; want %s", document, got.Body, err, want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for document, want := range map[string]string{
		`{"TotalMoney":450.001}`:                 "/TotalMoney: more than two decimals",
		`{"TotalMoney":1e1000000000}`:            "/TotalMoney: not a decimal number within bounds",
		`{"TotalMoney":"13122136787a"}`:          "/TotalMoney: not a decimal number within bounds",
		`{"TotalQty":1.5}`:                       "/TotalQty: not a whole number",
		`{"Code":{"x":1}}`:                       "/Code: neither text nor number",
		`{"Code":true}`:                          "/Code: neither text nor number",
		`{"Dtls":{}}`:                            "/Dtls: not an array",
		`{"Dtls":[{"Amount":1},{"Amount":"x"}]}`: "/Dtls/1/Amount: not a decimal number within bounds",
		`{"Dtls":[1]}`:                           "/Dtls/0: not an object",
		`[]`:                                     ": not an object",
		``:                                       "not one JSON document",
		`{"Code":"1"`:                            "not one JSON document",
		`{"Code":"1"} {"Code":"2"}`:              "not one JSON document",
		`{"Code":"1","Code":"2"}`:                "not one JSON document",
		`{"张三":1,"张三":2}`:                        "not one JSON document",
		"{\"Code\":\"\xff\"}":                    "not one JSON document",
		`{"Dtls":[{"Amount":1]}`:                 "not one JSON document",
		`{"TotalMoney":01}`:                      "not one JSON document",
	} {
		got, err := Encode([]byte(document))
		if err == nil || !strings.HasSuffix(err.Error(), want) || got.Body != nil {
			t.Errorf("%s: %q, %v; want %s", document, got.Body, err, want)
		}
	}
}

// Money never changes: what is sent is the same decimal, with two decimals, as a JSON number.
func TestEncodeKeepsMoneyExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cents := rapid.Int64Range(-1e17, 1e17).Draw(t, "cents")
		amount := decimal.New(cents, -2)
		text := rapid.SampledFrom([]string{
			amount.String(), amount.StringFixed(2), amount.StringFixed(5), `"` + amount.String() + `"`,
			decimal.NewFromInt(cents).String() + "e-2",
		}).Draw(t, "text")
		got, err := Encode([]byte(`{"TotalMoney":` + text + `,"Dtls":[{"Amount":` + text + `}]}`))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want := amount.StringFixed(2)
		if string(got.Body) != `{"TotalMoney":`+want+`,"Dtls":[{"Amount":`+want+`}]}` || got.Total != want {
			t.Fatalf("%s became %s, total %s", text, got.Body, got.Total)
		}
	})
}

// FuzzEncode holds that what is sent is JSON of documented fields only, and that encoding it again changes nothing.
func FuzzEncode(f *testing.F) {
	for _, document := range []string{sale, sent, `{}`, `{"Dtls":[{"Amount":1e2}]}`, `{"Code":[`, `{"TotalMoney":1e1000000000}`} {
		f.Add([]byte(document))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		got, err := Encode(document)
		if err != nil {
			return
		}
		if !jsontext.Value(got.Body).IsValid() {
			t.Fatalf("%q is no JSON", got.Body)
		}
		var fields map[string]jsontext.Value
		if err := json.Unmarshal(got.Body, &fields); err != nil {
			t.Fatal(err)
		}
		for name := range fields {
			if orderFields[name] == dropped {
				t.Fatalf("undocumented field %q", name)
			}
		}
		again, err := Encode(got.Body)
		if err != nil || string(again.Body) != string(got.Body) {
			t.Fatalf("%q became %q, %v", got.Body, again.Body, err)
		}
	})
}
