package mall_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
)

var receivedAt = time.Date(2026, 11, 20, 10, 0, 0, 0, source.Zone)

// sale is a good order with every field of the contract; a case replaces a part of it.
const sale = `{"ShopCode":"HQS0001","Code":"0000128092","OrderTime":"2026-06-22 10:30:01","TotalQty":3,"TotalMoney":600.00,` +
	`"PayTime":"2026-06-22 10:35:01","PayAmount":590.00,"BuyerCode":"EZ00001201","DiscountMoney":9.80,"RecvConsignee":"测试",` +
	`"RecvMobile":"13122136787","RecvTel":"0571-88150001","RecvAddress":"路1号","RecvProvince":"浙江省","RecvCity":"杭州市",` +
	`"RecvCounty":"区","DataOrigin":10,"Dtls":[` +
	`{"BarCode":"15026609123","PriceOriginal":460.00,"PriceSell":450.00,"Quantity":1,"Amount":450.00,"DiscountMoney":0.00},` +
	`{"BarCode":"15026609130","PriceOriginal":79.90,"PriceSell":79.90,"Quantity":2,"Amount":150.00,"DiscountMoney":9.80}]}`

const refund = `{"ShopCode":"HQS0001","Code":"0000128092R","OriginalCode":"0000128092","OrderTime":"2026-06-25 10:30:01","TotalQty":-3,` +
	`"TotalMoney":-600.00,"PayTime":"2026-06-25 10:35:01","PayAmount":-590.00,"BuyerCode":"EZ00001201","DiscountMoney":0,"DataOrigin":11,"Dtls":[` +
	`{"BarCode":"15026609123","PriceOriginal":460.00,"PriceSell":450.00,"Quantity":-1,"Amount":-450.00,"DiscountMoney":0.00},` +
	`{"BarCode":"15026609130","PriceOriginal":79.90,"PriceSell":79.90,"Quantity":-2,"Amount":-150.00,"DiscountMoney":9.80}]}`

func TestSaleMapsToTheOrder(t *testing.T) {
	_, o, err := mall.Judge([]byte(sale), receivedAt)
	if err != nil {
		t.Fatal(err)
	}
	if o.Key != "mall:HQS0001:0000128092" || o.Kind != order.Sale || o.Shop != "HQS0001" || o.Channel != "taobao" ||
		o.Status != "completed" || o.OriginalNo != "" || len(o.Numbers) != 1 || len(o.Warnings) != 0 {
		t.Errorf("order %+v", o)
	}
	if o.Total.Decimal.StringFixed(2) != "600.00" || o.Paid.Decimal.StringFixed(2) != "590.00" || o.Discount.Decimal.StringFixed(2) != "9.80" {
		t.Errorf("amounts %+v", o)
	}
	want := order.Personal{
		Account: "EZ00001201", Name: "测试", Phone: "13122136787", Tel: "0571-88150001", Province: "浙江省",
		City: "杭州市", County: "区", Address: "路1号",
	}
	if o.Personal != want {
		t.Errorf("personal %+v", o.Personal)
	}
	if !o.PlacedAt.Equal(time.Date(2026, 6, 22, 2, 30, 1, 0, time.UTC)) || o.PaidAt.Sub(o.PlacedAt) != 5*time.Minute {
		t.Errorf("times %s, %s", o.PlacedAt, o.PaidAt)
	}
	line := o.Lines[1]
	if len(o.Lines) != 2 || line.No != 2 || line.Product != "15026609130" || line.Quantity.Decimal.String() != "2" ||
		line.UnitPrice.Decimal.String() != "79.9" || line.Discount.Decimal.String() != "9.8" || line.Amount.Decimal.String() != "150" {
		t.Errorf("lines %+v", o.Lines)
	}
}

func TestReturnMapsToTheOrder(t *testing.T) {
	_, o, err := mall.Judge([]byte(refund), receivedAt)
	if err != nil || o.Kind != order.Return || o.OriginalNo != "0000128092" || o.Channel != "jd" || !o.Total.Decimal.IsNegative() {
		t.Errorf("%+v, %v", o, err)
	}
}

type ruleCase struct {
	old, replacement string
	code             source.Code // "" passes
	path             string
}

func TestRules(t *testing.T) {
	long := func(n int) string { return `"` + strings.Repeat("测", n) + `"` }
	for name, c := range map[string]ruleCase{
		"no shop":             {`"ShopCode":"HQS0001",`, ``, source.MissingField, "/ShopCode"},
		"empty shop":          {`"HQS0001"`, `""`, source.MissingField, "/ShopCode"},
		"longest shop":        {`"HQS0001"`, long(16), "", ""},
		"overlong shop":       {`"HQS0001"`, long(17), source.TooLong, "/ShopCode"},
		"no number":           {`"Code":"0000128092",`, ``, source.MissingField, "/Code"},
		"number as number":    {`"0000128092"`, `128092`, "", ""},
		"overlong number":     {`"0000128092"`, long(27), source.TooLong, "/Code"},
		"overlong buyer":      {`"EZ00001201"`, long(33), source.TooLong, "/BuyerCode"},
		"overlong name":       {`"测试"`, long(33), source.TooLong, "/RecvConsignee"},
		"longest address":     {`"路1号"`, long(128), "", ""},
		"overlong address":    {`"路1号"`, long(129), source.TooLong, "/RecvAddress"},
		"overlong mobile":     {`"13122136787"`, `"13122136787131221"`, source.TooLong, "/RecvMobile"},
		"overlong tel":        {`"0571-88150001"`, long(17), source.TooLong, "/RecvTel"},
		"overlong province":   {`"浙江省"`, long(33), source.TooLong, "/RecvProvince"},
		"overlong city":       {`"杭州市"`, long(65), source.TooLong, "/RecvCity"},
		"overlong county":     {`"区"`, long(65), source.TooLong, "/RecvCounty"},
		"no buyer code":       {`"BuyerCode":"EZ00001201",`, ``, "", ""},
		"no mobile":           {`"RecvMobile":"13122136787",`, ``, "", ""},
		"neither":             {`"EZ00001201","DiscountMoney":9.80,"RecvConsignee":"测试","RecvMobile":"13122136787"`, `"","DiscountMoney":9.80`, source.MissingField, "/BuyerCode"},
		"no order time":       {`"OrderTime":"2026-06-22 10:30:01",`, ``, source.MissingField, "/OrderTime"},
		"three blanks":        {`06-22 10:30`, `06-22   10:30`, source.BadTime, "/OrderTime"},
		"seed's blanks":       {`06-22 10:30`, "06-22 \u00a0 10:30", source.BadTime, "/OrderTime"},
		"no pay time":         {`"PayTime":"2026-06-22 10:35:01",`, ``, source.MissingField, "/PayTime"},
		"bad pay time":        {`"2026-06-22 10:35:01"`, `"2026-06-22"`, source.BadTime, "/PayTime"},
		"no total quantity":   {`"TotalQty":3,`, ``, source.MissingField, "/TotalQty"},
		"no total":            {`"TotalMoney":600.00,`, ``, source.MissingField, "/TotalMoney"},
		"null total":          {`600.00`, `null`, source.MissingField, "/TotalMoney"},
		"no pay amount":       {`"PayAmount":590.00,`, ``, source.MissingField, "/PayAmount"},
		"no discount":         {`"DiscountMoney":9.80,"RecvC`, `"RecvC`, source.MissingField, "/DiscountMoney"},
		"no origin":           {`"DataOrigin":10,`, ``, source.MissingField, "/DataOrigin"},
		"seed's origin":       {`"DataOrigin":10`, `"DataOrigin":1`, source.BadEnum, "/DataOrigin"},
		"origin as text":      {`"DataOrigin":10`, `"DataOrigin":"12"`, "", ""},
		"one decimal":         {`600.00`, `600.0`, "", ""},
		"three decimals":      {`600.00`, `600.000`, "", ""},
		"exponent":            {`600.00`, `6e2`, "", ""},
		"too exact":           {`600.00`, `600.001`, source.BadAmount, "/TotalMoney"},
		"too exact pay":       {`590.00`, `589.999`, source.BadAmount, "/PayAmount"},
		"too exact line":      {`460.00`, `460.005`, source.BadAmount, "/Dtls/0/PriceOriginal"},
		"huge exponent":       {`600.00`, `1e1000000000`, source.BadAmount, "/TotalMoney"},
		"many digits":         {`600.00`, strings.Repeat("6", 100), source.BadAmount, "/TotalMoney"},
		"negative discount":   {`"DiscountMoney":9.80,"RecvC`, `"DiscountMoney":-9.80,"RecvC`, source.NegativeDiscount, "/DiscountMoney"},
		"minus zero discount": {`"DiscountMoney":9.80,"RecvC`, `"DiscountMoney":-0.00,"RecvC`, "", ""},
		"negative line disc.": {`"DiscountMoney":9.80}`, `"DiscountMoney":-9.80}`, source.NegativeDiscount, "/Dtls/1/DiscountMoney"},
		"no lines":            {`"Dtls"`, `"Details"`, source.MissingField, "/Dtls"},
		"empty lines":         {`"Dtls":[`, `"Dtls":[],"Details":[`, source.EmptyLines, "/Dtls"},
		"no bar code":         {`"BarCode":"15026609130",`, ``, source.MissingField, "/Dtls/1/BarCode"},
		"overlong bar code":   {`"15026609130"`, long(31), source.TooLong, "/Dtls/1/BarCode"},
		"no sell price":       {`"PriceSell":450.00,`, ``, source.MissingField, "/Dtls/0/PriceSell"},
		"no quantity":         {`"Quantity":1,`, ``, source.MissingField, "/Dtls/0/Quantity"},
		"half a piece":        {`"Quantity":1,`, `"Quantity":0.5,`, source.BadType, "/Dtls/0/Quantity"},
		"no amount":           {`"Amount":450.00,`, ``, source.MissingField, "/Dtls/0/Amount"},
		"amount of words":     {`"Amount":450.00,`, `"Amount":"x",`, source.BadAmount, "/Dtls/0/Amount"},
		"a cent missing":      {`600.00`, `599.99`, source.SumMismatch, "/TotalMoney"},
		"a piece missing":     {`"TotalQty":3`, `"TotalQty":2`, source.QtyMismatch, "/TotalQty"},
		"negative quantity":   {`"TotalQty":3`, `"TotalQty":-3`, source.ReturnSign, "/TotalMoney"},
		"negative amount":     {`600.00`, `-600.00`, source.ReturnSign, "/TotalQty"},
	} {
		t.Run(name, func(t *testing.T) { checkRule(t, sale, c) })
	}
}

func TestReturnRules(t *testing.T) {
	for name, c := range map[string]ruleCase{
		"no original":       {`"OriginalCode":"0000128092",`, ``, source.MissingField, "/OriginalCode"},
		"overlong original": {`"OriginalCode":"0000128092"`, `"OriginalCode":"` + strings.Repeat("1", 27) + `"`, source.TooLong, "/OriginalCode"},
		"positive quantity": {`"TotalQty":-3`, `"TotalQty":3`, source.ReturnSign, "/TotalQty"},
		"positive amount":   {`-600.00`, `600.00`, source.ReturnSign, "/TotalMoney"},
		"zero quantity":     {`"TotalQty":-3`, `"TotalQty":0`, source.ReturnSign, "/TotalQty"},
		"positive line":     {`"Amount":-450.00`, `"Amount":450.00`, source.ReturnSign, "/Dtls/0/Amount"},
		"zero line":         {`"Amount":-450.00`, `"Amount":0`, source.ReturnSign, "/Dtls/0/Amount"},
		"positive pieces":   {`"Quantity":-2`, `"Quantity":2`, source.ReturnSign, "/Dtls/1/Quantity"},
		"negative discount": {`"DiscountMoney":0,`, `"DiscountMoney":-1,`, source.NegativeDiscount, "/DiscountMoney"},
		"wrong sum":         {`-600.00`, `-600.01`, source.SumMismatch, "/TotalMoney"},
		"wrong quantity":    {`"TotalQty":-3`, `"TotalQty":-4`, source.QtyMismatch, "/TotalQty"},
		"unknown field":     {`"OriginalCode"`, `"Reason":"x","OriginalCode"`, "", ""},
	} {
		t.Run(name, func(t *testing.T) { checkRule(t, refund, c) })
	}
}

func checkRule(t *testing.T, base string, c ruleCase) {
	t.Helper()
	body := strings.Replace(base, c.old, c.replacement, 1)
	if body == base {
		t.Fatal("nothing replaced")
	}
	_, o, err := mall.Judge([]byte(body), receivedAt)
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
}

// The year counts from the receipt, to the second, whatever zone the receipt's time is in.
func TestTooOld(t *testing.T) {
	for text, old := range map[string]bool{
		"2025-11-20 10:00:00": false, "2025-11-20 09:59:59": true, "2019-06-22 10:30:01": true, "2026-11-20 09:59:59": false,
	} {
		body := strings.ReplaceAll(sale, "2026-06-22 10:30:01", text)
		for _, at := range []time.Time{receivedAt, receivedAt.UTC()} {
			_, _, err := mall.Judge([]byte(body), at)
			fault, is := errors.AsType[*source.Fault](err)
			if old != is || is && (fault.Code != source.TooOld || fault.Path != "/OrderTime") {
				t.Errorf("%s at %s: %v", text, at, err)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct{ old, replacement, want string }{
		"future":        {`"OrderTime":"2026-06-22`, `"OrderTime":"2027-06-22`, "bad_time at /OrderTime"},
		"paid before":   {`"PayTime":"2026-06-22 10:35:01"`, `"PayTime":"2026-06-21 10:35:01"`, "bad_time at /PayTime"},
		"negative line": {`"Amount":150.00`, `"Amount":-150.00`, "return_sign at /Dtls/1/Amount"},
		"same line": {`"Dtls":[`, `"Dtls":[{"BarCode":"15026609123","PriceOriginal":460.00,"PriceSell":450.00,"Quantity":1,` +
			`"Amount":450.00,"DiscountMoney":0.00},`, "duplicate_line at /Dtls/1/BarCode"},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(sale, c.old, c.replacement, 1)
			switch name {
			case "negative line":
				body = strings.Replace(body, "600.00", "300.00", 1)
			case "same line":
				body = strings.Replace(strings.Replace(body, "600.00", "1050.00", 1), `"TotalQty":3`, `"TotalQty":4`, 1)
			}
			_, o, err := mall.Judge([]byte(body), receivedAt)
			if err != nil || !strings.Contains(strings.Join(o.Warnings, "\n"), c.want) {
				t.Errorf("%q, %v", o.Warnings, err)
			}
		})
	}
}

// Map applies no rule, so a document that an earlier validate let through stays readable.
func TestMapAppliesNoRule(t *testing.T) {
	o, err := mall.Map([]byte(strings.Replace(sale, "600.00", "599.99", 1)))
	if err != nil || o.Total.Decimal.String() != "599.99" {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := mall.Map([]byte(`[]`)); err == nil {
		t.Error("a list is an order")
	}
}
