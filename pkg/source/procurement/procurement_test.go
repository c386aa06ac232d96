package procurement_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/procurement"
	"orderflow/schemas"
)

var receivedAt = time.Date(2026, 11, 20, 10, 0, 0, 0, source.Zone)

func seed(t testing.TB) string {
	t.Helper()
	body, err := schemas.Examples.ReadFile("examples/procurement/good-seed.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestSeedMapsToTheOrder(t *testing.T) {
	doc, o, err := procurement.Judge([]byte(seed(t)), receivedAt)
	if err != nil {
		t.Fatal(err)
	}
	if o.Key != "procurement:OMLJ202007011357473416078" || o.Kind != order.Purchase || o.Status != "4202" ||
		o.Shop != "深圳市天瑞优品有限公司" || strings.Join(o.Numbers, " ") != "OMLJ202007011357473416078 5efc25dbe4b0f378a7b74abb" {
		t.Errorf("order %+v", o)
	}
	if o.Total.Decimal.String() != "296" || !o.Discount.Valid || !o.Discount.Decimal.IsZero() || o.Paid.Valid || len(o.Warnings) != 0 {
		t.Errorf("amounts %+v, warnings %q", o, o.Warnings)
	}
	want := order.Personal{
		Account: "5b6be60e23445f249e28b913", Name: "分贝小五", Phone: "13049904881",
		Address: "北京北京市朝阳区三环以内东大桥路12号润诚中心211室",
	}
	if o.Personal != want {
		t.Errorf("personal %+v", o.Personal)
	}
	if len(o.Lines) != 1 || o.Lines[0].Quantity.Decimal.String() != "1" || o.Lines[0].UnitPrice.Decimal.String() != "299" ||
		o.Lines[0].Amount.Decimal.String() != "299" {
		t.Errorf("lines %+v", o.Lines)
	}
	// The document has the table's types where the example differs, and the sender's own names.
	for _, part := range []string{
		`"personal_total_pay":0,`, `"is_exceed":true`, `"exceed_reason":"qwert12345"`, `"archive_id":""`,
		`"cost_attribution_info":[{"cost_attribution_category":2`, `"weight":33.34`,
	} {
		if !strings.Contains(string(doc), part) {
			t.Errorf("the document lacks %s\n%s", part, doc)
		}
	}
}

func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		old, replacement string
		code             source.Code // "" passes
		path             string
	}{
		"no number":             {`"order_id": "OMLJ202007011357473416078",`, ``, source.MissingField, "/order_info/order_id"},
		"empty number":          {`"OMLJ202007011357473416078"`, `""`, source.MissingField, "/order_info/order_id"},
		"number as number":      {`"OMLJ202007011357473416078"`, `202007011357473416078`, "", ""},
		"overlong number":       {`"OMLJ202007011357473416078"`, `"` + strings.Repeat("1", 65) + `"`, source.TooLong, "/order_info/order_id"},
		"reverse order":         {`"order_op_type": 10`, `"order_op_type": 20`, source.BadEnum, "/order_info/order_op_type"},
		"no direction":          {`"order_op_type": 10,`, ``, source.MissingField, "/order_info/order_op_type"},
		"direction as text":     {`"order_op_type": 10`, `"order_op_type": "10"`, "", ""},
		"other category":        {`"order_category_type": 20`, `"order_category_type": 7`, source.BadEnum, "/order_info/order_category_type"},
		"known status":          {`4202`, `4701`, "", ""},
		"deleted":               {`4202`, `"-256"`, "", ""},
		"no status":             {`"status": 4202,`, ``, source.MissingField, "/order_info/status"},
		"no finish time":        {`"finish_time": "2020-07-01 14:13:20",`, ``, "", ""},
		"bad finish time":       {`"2020-07-01 14:13:20"`, `"2020-07-01"`, source.BadTime, "/order_info/finish_time"},
		"no create time":        {`"create_time": "2020-07-01 13:57:47",`, ``, source.MissingField, "/order_info/create_time"},
		"no total":              {`"total_price": 296,`, ``, source.MissingField, "/price_info/total_price"},
		"blank total":           {`"total_price": 296,`, `"total_price": "",`, source.MissingField, "/price_info/total_price"},
		"total of words":        {`"total_price": 296,`, `"total_price": "二百",`, source.BadAmount, "/price_info/total_price"},
		"huge total":            {`"total_price": 296,`, `"total_price": 1e1000000000,`, source.BadAmount, "/price_info/total_price"},
		"no personal pay":       {`"personal_total_pay": "0",`, ``, source.MissingField, "/price_info/personal_total_pay"},
		"no price_info":         {`"price_info": {`, `"prices": {`, source.MissingField, "/price_info/total_price"},
		"price_info a text":     {`"price_info": {`, `"price_info": "x", "prices": {`, source.BadType, "/price_info"},
		"order_info a list":     {`"order_info": {`, `"order_info": [], "info": {`, source.BadType, "/order_info"},
		"phone as number":       {`"13049904881"`, `13049904881`, "", ""},
		"no consignee phone":    {`"phone": "13049904881",`, ``, source.MissingField, "/consignee_info/phone"},
		"no user name":          {`"name": "陈丞晨橙",`, ``, source.MissingField, "/user_info/name"},
		"no employee number":    {`"unit_name": "礼部"`, `"unit_name": "礼部", "employee_number": null`, "", ""},
		"exceeded as text":      {`"is_exceed": true`, `"is_exceed": "false"`, "", ""},
		"exceeded as word":      {`"is_exceed": true`, `"is_exceed": "yes"`, source.BadType, "/saas_info/is_exceed"},
		"reason an object":      {`"qwert12345"`, `{"a":[1]}`, "", ""},
		"remark an object":      {`"exceed_item"`, `"remark": {"x":1.50}, "exceed_item"`, "", ""},
		"share of words":        {`"weight":33.34,`, `"weight":"x",`, source.BadAmount, "/saas_info/cost_attribution/0/details/2/weight"},
		"no saas_info":          {`"saas_info"`, `"saas"`, "", ""},
		"no third_info":         {`"third_info"`, `"third"`, "", ""},
		"no products":           {`"product_info"`, `"products"`, source.MissingField, "/product_info"},
		"empty products":        {`"product_info": [`, `"product_info": [], "products": [`, source.EmptyLines, "/product_info"},
		"product an object":     {`"product_info": [`, `"product_info": {}, "products": [`, source.BadType, "/product_info"},
		"no product price":      {`"price": 299,`, ``, source.MissingField, "/product_info/0/price"},
		"product price a list":  {`"price": 299,`, `"price": [299],`, source.BadType, "/product_info/0/price"},
		"half a product":        {`"amount": 1,`, `"amount": 0.5,`, source.BadType, "/product_info/0/amount"},
		"no product id":         {`"id": "202007011201140",`, ``, source.MissingField, "/product_info/0/id"},
		"no tracking":           {`"order_track_info"`, `"tracks"`, "", ""},
		"tracking without time": {`"msg_time": "2020-07-01 14:12:37",`, ``, source.MissingField, "/order_track_info/1/msg_time"},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(seed(t), c.old, c.replacement, 1)
			if body == seed(t) {
				t.Fatal("nothing replaced")
			}
			_, o, err := procurement.Judge([]byte(body), receivedAt)
			if c.code == "" {
				if err != nil || len(o.Warnings) != 0 {
					t.Errorf("%v, warnings %q", err, o.Warnings)
				}
				return
			}
			fault, ok := errors.AsType[*source.Fault](err)
			if !ok || fault.Code != c.code || fault.Path != c.path {
				t.Errorf("want %s at %s, got %v", c.code, c.path, err)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for change, want := range map[[2]string]string{
		{`"company_total_pay": 296`, `"company_total_pay": 295.99`}: "sum_mismatch at /price_info/total_price",
		{`4202`, `4299`}: "bad_enum at /order_info/status",
	} {
		_, o, err := procurement.Judge([]byte(strings.Replace(seed(t), change[0], change[1], 1)), receivedAt)
		if err != nil || len(o.Warnings) != 1 || !strings.HasPrefix(o.Warnings[0], want) {
			t.Errorf("%s: %q, %v", change[1], o.Warnings, err)
		}
	}
}

func TestPeek(t *testing.T) {
	for body, want := range map[string]string{
		seed(t): "OMLJ202007011357473416078",
		`{"x":1,"order_info":{"a":{},"order_id":7}}`: "7",
		`{"order_id":"X"}`:                           "",
		`{"order_info":{"order_id":null}}`:           "",
		`{"order_info":{"order_id":{"a":1}}}`:        "",
		`{"order_info":"X"}`:                         "",
		`{"order_info":[{"order_id":"X"}]}`:          "",
		`{"price_info":{"order_id":"X"}}`:            "",
		`{}`:                                         "",
	} {
		head, err := procurement.Peek([]byte(body))
		if err != nil || head.OrderID != want {
			t.Errorf("%.60s: %+v, %v", body, head, err)
		}
		if key := procurement.Key([]byte(body), head); key.Named() != (want != "") || key.Source() != order.Procurement {
			t.Errorf("%.60s: key %q", body, key)
		}
	}
	for _, body := range []string{`[]`, `"x"`, `null`, ``} {
		if _, err := procurement.Peek([]byte(body)); err == nil {
			t.Errorf("%q has a head", body)
		}
	}
}

func FuzzPeek(f *testing.F) {
	f.Add([]byte(`{"order_info":{"order_id":"X"}}`))
	f.Add([]byte(`{"order_info":{"order_id":`))
	f.Fuzz(func(t *testing.T, body []byte) {
		head, _ := procurement.Peek(body) // on bytes that are no JSON any head will do
		if key := procurement.Key(body, head); key.Source() != order.Procurement {
			t.Errorf("%q: key %q", body, key)
		}
	})
}
