package icbu_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
	"orderflow/schemas"
)

var receivedAt = time.Date(2026, 11, 20, 10, 0, 0, 0, source.Zone)

func seed(t testing.TB) string {
	t.Helper()
	body, err := schemas.Examples.ReadFile("examples/icbu/good-seed.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestSeedMapsToTheOrder(t *testing.T) {
	doc, o, err := icbu.Judge([]byte(seed(t)), receivedAt)
	if err != nil {
		t.Fatal(err)
	}
	if o.Key != "icbu:Pxxxxx" || o.OrderNo != "Pxxxxx" || o.Kind != order.ServiceContract || o.Status != "unconfirmed" {
		t.Errorf("order %+v", o)
	}
	if strings.Join(o.Numbers, " ") != "Pxxxxx POMxxxxx xxxxx" {
		t.Errorf("numbers %q", o.Numbers)
	}
	if !o.Total.Valid || o.Total.Decimal.String() != "28600" || o.ListPrice.Decimal.String() != "28600" ||
		o.Discount.Decimal.String() != "1000" || o.Paid.Valid {
		t.Errorf("amounts %+v", o)
	}
	if want := time.Date(2020, 8, 1, 4, 44, 50, 0, time.UTC); !o.PlacedAt.Equal(want) {
		t.Errorf("placed at %s", o.PlacedAt)
	}
	if o.Personal != (order.Personal{Account: "122345", Company: "alibaba"}) || len(o.Warnings) != 0 {
		t.Errorf("personal %+v, warnings %q", o.Personal, o.Warnings)
	}
	if len(o.Lines) != 1 || o.Lines[0].No != 1 || o.Lines[0].Product != "21" || o.Lines[0].Amount.Decimal.String() != "28600" ||
		o.Lines[0].Quantity.Valid || o.Lines[0].Name != "OKKI Lite管理软件V1.0" {
		t.Errorf("lines %+v", o.Lines)
	}
	for _, part := range []string{`"amount":"28600.0"`, `"extend_fields":"[{'\"extend_fields_key'\":'\"orderPromoteId'\"`, `"remark":"经理审批"`} {
		if !strings.Contains(string(doc), part) {
			t.Errorf("the document lacks %s", part)
		}
	}
}

func TestStatus(t *testing.T) {
	for ack, want := range map[string]string{`"ack":0`: "unconfirmed", `"ack":"1"`: "confirmed", `"ack":null`: "", `"x":1`: ""} {
		_, o, err := icbu.Judge([]byte(`{"ali_order_no":"P1",`+ack+`}`), receivedAt)
		if err != nil || o.Status != want {
			t.Errorf("%s: %q, %v", ack, o.Status, err)
		}
	}
}

func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		old, replacement string
		code             source.Code // "" passes
		path             string
	}{
		"everything optional": {`"amount":"28600.0","quotation_id":"12332","ack":0,`, ``, "", ""},
		"no number":           {`"ali_order_no":"Pxxxxx",`, ``, source.MissingField, "/ali_order_no"},
		"empty number":        {`"Pxxxxx"`, `""`, source.MissingField, "/ali_order_no"},
		"null number":         {`"Pxxxxx"`, `null`, source.MissingField, "/ali_order_no"},
		"object as number":    {`"Pxxxxx"`, `{"no":1}`, source.BadType, "/ali_order_no"},
		"longest number":      {`"Pxxxxx"`, `"` + strings.Repeat("单", 64) + `"`, "", ""},
		"overlong number":     {`"Pxxxxx"`, `"` + strings.Repeat("单", 65) + `"`, source.TooLong, "/ali_order_no"},
		"no action":           {`"action":1,`, ``, "", ""},
		"price query":         {`"action":1`, `"action":0`, source.BadEnum, "/action"},
		"other action":        {`"action":1`, `"action":2`, source.BadEnum, "/action"},
		"other ack":           {`"ack":0`, `"ack":-1`, source.BadEnum, "/ack"},
		"amount as number":    {`"amount":"28600.0","quot`, `"amount":28600.00,"quot`, "", ""},
		"amount of words":     {`"amount":"28600.0","quot`, `"amount":"28,600","quot`, source.BadAmount, "/amount"},
		"huge amount":         {`"amount":"28600.0","quot`, `"amount":1e1000000000,"quot`, source.BadAmount, "/amount"},
		"line amount":         {`[{"amount":"28600.0"`, `[{"amount":"x"`, source.BadAmount, "/order_product_list/0/amount"},
		"line discount": {
			`"ali_discount":[{"amount":"1000","remark":"经理审批"`, `"ali_discount":[{},{"amount":"1.2.3"`,
			source.BadAmount, "/order_product_list/0/ali_discount/1/amount",
		},
		"line time":          {`"2022-09-01 23:59:59"`, `"2022-09-31 23:59:59"`, source.BadTime, "/order_product_list/0/okki_valid_to"},
		"module count":       {`"count":5`, `"count":"five"`, source.BadType, "/order_product_list/0/standards/0/count"},
		"products no list":   {`"order_product_list":[`, `"order_product_list":5,"x":[`, source.BadType, "/order_product_list"},
		"time with T":        {`"2020-08-01 12:44:50"`, `"2020-08-01T12:44:50"`, source.BadTime, "/ali_create_time"},
		"name twice":         {`"refer":"refer"`, `"refer":"refer","refer":"r"`, source.BadJSON, ""},
		"extend_fields list": {`"extend_fields":"`, `"extend_fields":[1],"x":"`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(seed(t), c.old, c.replacement, 1)
			if body == seed(t) {
				t.Fatal("nothing replaced")
			}
			_, o, err := icbu.Judge([]byte(body), receivedAt)
			expect(t, err, c.code, c.path)
			if c.code == "" && len(o.Warnings) > 0 {
				// The only sensible rule that a case above breaks is the missing total.
				if len(o.Warnings) != 1 || !strings.Contains(o.Warnings[0], "/amount") {
					t.Errorf("warnings %q", o.Warnings)
				}
			}
		})
	}
}

func expect(t *testing.T, err error, code source.Code, path string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	fault, ok := errors.AsType[*source.Fault](err)
	if !ok || fault.Code != code || fault.Path != path {
		t.Errorf("want %s at %s, got %v", code, path, err)
	}
}

func TestWarnings(t *testing.T) {
	line := `{"ali_order_product_id":"P1_1","type":9,"is_free":2}`
	_, o, err := icbu.Judge([]byte(`{"ali_order_no":"P1","order_product_list":[`+line+`,`+line+`]}`), receivedAt)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(o.Warnings, "\n")
	for _, want := range []string{
		"missing_field at /amount", "bad_enum at /order_product_list/0/type",
		"bad_enum at /order_product_list/1/is_free", "duplicate_line at /order_product_list/1/ali_order_product_id",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestPeek(t *testing.T) {
	for body, want := range map[string]icbu.Head{
		seed(t):                                  {OrderNo: "Pxxxxx", Action: "1"},
		`{"ali_order_no":12345,"action":"0"}`:    {OrderNo: "12345", Action: "0"},
		`{"ali_order_no":1.50e3}`:                {OrderNo: "1.50e3"},
		`{"ali\u005forder_no":"P\u0031"}`:        {OrderNo: "P1"},
		`{"ali_order_no":null}`:                  {},
		`{"ali_order_no":["P1"],"action":{}}`:    {},
		`{"x":{"ali_order_no":"P1","action":0}}`: {},
		`{}`:                                     {},
	} {
		head, err := icbu.Peek([]byte(body))
		if err != nil || head != want {
			t.Errorf("%.60s: %+v, %v", body, head, err)
		}
	}
	for _, body := range []string{`[]`, `5`, `null`, ``} {
		if _, err := icbu.Peek([]byte(body)); err == nil {
			t.Errorf("%q has a head", body)
		}
	}
	if key := icbu.Key([]byte("{}"), icbu.Head{}); key.Named() || key.Source() != order.ICBU {
		t.Errorf("key %q", key)
	}
}

func TestFromForm(t *testing.T) {
	doc, err := icbu.FromForm(map[string]string{
		"ali_order_no": "P1", "action": "1", "amount": "100.00", "refer": "a\"b小",
		"order_product_list": `[{"amount":"100.00","extend_fields":"[{'\"k'\":1}]"}]`, "ali_discount": "",
	})
	want := `{"action":"1","ali_discount":"","ali_order_no":"P1","amount":"100.00",` +
		`"order_product_list":[{"amount":"100.00","extend_fields":"[{'\"k'\":1}]"}],"refer":"a\"b小"}`
	if err != nil || string(doc) != want {
		t.Fatalf("%s, %v", doc, err)
	}
	_, o, err := icbu.Judge(doc, receivedAt)
	if err != nil || o.Key != "icbu:P1" || len(o.Lines) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	doc, err = icbu.FromForm(map[string]string{"ali_order_no": "P1", "order_product_list": `[{"amount":1,"amount":2}]`})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = icbu.Judge(doc, receivedAt)
	expect(t, err, source.BadType, "/order_product_list")
	if _, err := icbu.FromForm(map[string]string{"a": "\xd6\xd0"}); err == nil {
		t.Error("GBK bytes taken as UTF-8")
	}
	if _, err := icbu.FromForm(map[string]string{"\xd6": "a"}); err == nil {
		t.Error("GBK name taken as UTF-8")
	}
}

func FuzzPeek(f *testing.F) {
	f.Add([]byte(`{"ali_order_no":"P1","action":1}`))
	f.Add([]byte(`{"ali_order_no":`))
	f.Fuzz(func(t *testing.T, body []byte) {
		head, err := icbu.Peek(body)
		key := icbu.Key(body, head)
		if key.Source() != order.ICBU || err != nil && head != (icbu.Head{}) && source.Check(body) == nil {
			t.Errorf("%q: key %q, head %+v, %v", body, key, head, err)
		}
	})
}
