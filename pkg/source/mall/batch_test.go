package mall_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
	"orderflow/schemas"
)

func TestSplit(t *testing.T) {
	args := "[\n " + sale + " ,\t{ \"Code\" : 7.50 , \"ShopCode\":\"\\u0053\\\"\" }\r\n,{\"ShopCode\":null,\"Code\":{\"Code\":\"x\"}}]"
	items, err := mall.Split([]byte(args))
	if err != nil || len(items) != 3 {
		t.Fatalf("%d items, %v", len(items), err)
	}
	if items[0].ShopCode != "HQS0001" || items[0].Code != "0000128092" || string(items[0].Raw) != sale {
		t.Errorf("%+v", items[0])
	}
	if items[1].ShopCode != `S"` || items[1].Code != "7.50" || string(items[1].Raw) != `{ "Code" : 7.50 , "ShopCode":"\u0053\"" }` {
		t.Errorf("%+v", items[1])
	}
	if items[2].ShopCode != "" || items[2].Code != "" {
		t.Errorf("%+v", items[2])
	}
	if mall.Key(items[0]) != "mall:HQS0001:0000128092" || mall.Key(items[2]).Named() || mall.Key(items[2]).Source() != order.Mall {
		t.Errorf("keys %q, %q", mall.Key(items[0]), mall.Key(items[2]))
	}
}

func TestSplitRefuses(t *testing.T) {
	for args, want := range map[string]struct {
		code source.Code
		path string
	}{
		sale:          {source.BadType, ""},
		`5`:           {source.BadType, ""},
		``:            {source.BadType, ""},
		`[{},5]`:      {source.BadType, "/1"},
		`[[]]`:        {source.BadType, "/0"},
		`[null]`:      {source.BadType, "/0"},
		`[{}`:         {source.BadJSON, ""},
		`[{"a":1},`:   {source.BadJSON, ""},
		batchOf(101):  {source.OverLimit, ""},
		batchOf(5000): {source.OverLimit, ""},
	} {
		items, err := mall.Split([]byte(args))
		fault, ok := errors.AsType[*source.Fault](err)
		if !ok || fault.Code != want.code || fault.Path != want.path || items != nil {
			t.Errorf("%.30s: %d items, %v", args, len(items), err)
		}
	}
	for _, n := range []int{0, 1, 100} {
		if items, err := mall.Split([]byte(batchOf(n))); err != nil || len(items) != n {
			t.Errorf("%d orders: %d items, %v", n, len(items), err)
		}
	}
}

func batchOf(n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(`{"Code":"1"},`, n), ",") + "]"
}

func TestSeedBatch(t *testing.T) {
	args, err := schemas.Examples.ReadFile("examples/mall/good-seed.json")
	if err != nil {
		t.Fatal(err)
	}
	shifted, err := mall.ShiftDates(args, receivedAt)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{string(args): "2019-06-22 10:35:01", string(shifted): "2026-11-19 10:00:00"} {
		if strings.Count(text, `"PayTime": "`+want+`"`) != 2 {
			t.Errorf("no PayTime of %s", want)
		}
	}
	if !strings.Contains(string(shifted), `"OrderTime": "2026-11-19 09:55:00"`) {
		t.Error("the span between two times changed")
	}
	items, err := mall.Split(shifted)
	if err != nil || len(items) != 2 {
		t.Fatalf("%d items, %v", len(items), err)
	}
	for _, item := range items {
		_, o, err := mall.Judge(item.Raw, receivedAt)
		if err != nil || o.Total.Decimal.StringFixed(2) != "450.00" || o.Key != mall.Key(item) || len(o.Warnings) != 0 {
			t.Errorf("%+v, %v", o, err)
		}
	}
}

func TestShiftDatesTouchesNothingElse(t *testing.T) {
	in := `[{"OrderTime":"2019-06-22   10:30:01","PayTime":"2019-06-22 10:35:01","x":{"PayTime":"2019-06-22 00:00:00"},` +
		`"Note":"2019-06-22 10:35:01","OrderTime2":"2019-06-22 10:35:01","a":["PayTime","2019-06-22 10:35:01"]}]`
	want := strings.Replace(in, `"PayTime":"2019-06-22 10:35:01"`, `"PayTime":"2026-11-19 10:00:00"`, 1)
	want = strings.Replace(want, `{"PayTime":"2019-06-22 00:00:00"}`, `{"PayTime":"2026-11-18 23:24:59"}`, 1)
	got, err := mall.ShiftDates([]byte(in), receivedAt)
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\n%s", err, got, want)
	}
	escaped := `{"PayTime":"\u0032019-06-22 10:35:01"}`
	if got, err := mall.ShiftDates([]byte(escaped), receivedAt); err != nil || string(got) != escaped {
		t.Errorf("%s, %v", got, err)
	}
	ages := `[{"OrderTime":"0001-01-01 00:00:00","PayTime":"2500-01-01 00:00:00"}]` // so far back there is no year of four digits
	want = strings.Replace(ages, "2500-01-01 00:00:00", "2026-11-19 10:00:00", 1)
	if got, err := mall.ShiftDates([]byte(ages), receivedAt); err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := mall.ShiftDates([]byte(`[{"PayTime":`), receivedAt); err == nil || strings.Contains(err.Error(), "PayTime") {
		t.Errorf("no JSON: %v", err)
	}
}

// The published vector of protocols 4.1; the MD5 one is computed by md5sum.
func TestSignVectors(t *testing.T) {
	const appID, timestamp, token = "EZP", "20150701093010", "9cd8c0ed38a9e113"
	for method, want := range map[string]string{
		mall.SHA1: "657D0E34AD7B342F888CA3856F207F35CF2622A8", "": "657D0E34AD7B342F888CA3856F207F35CF2622A8",
		mall.MD5: "EEA423559697D74A5159678797B953B8",
	} {
		if got := mall.Sign(method, appID, timestamp, token); got != want {
			t.Errorf("%s: %s", method, got)
		}
		if !mall.VerifySign(method, appID, timestamp, token, want) {
			t.Errorf("%s: refused", method)
		}
		for _, bad := range []string{"", strings.ToLower(want), want[1:], want + "0"} {
			if mall.VerifySign(method, appID, timestamp, token, bad) {
				t.Errorf("%s: takes %q", method, bad)
			}
		}
		if mall.VerifySign(method, appID, timestamp, token+"x", want) || mall.VerifySign(method, appID, "20150701093011", token, want) {
			t.Errorf("%s: takes another token or time", method)
		}
	}
}

func TestParseTimestamp(t *testing.T) {
	at, err := mall.ParseTimestamp("20150701093010")
	if err != nil || !at.Equal(time.Date(2015, 7, 1, 1, 30, 10, 0, time.UTC)) {
		t.Errorf("%v, %v", at, err)
	}
	for _, text := range []string{"", "2015070109301", "201507010930100", "2015-07-01 09:30", "20150701093010.5", "20151301093010", "2015070109301."} {
		if at, err := mall.ParseTimestamp(text); err == nil {
			t.Errorf("%q is %v", text, at)
		}
	}
}

// TestLawSplitLosesNothing: the items' bytes are the elements' bytes.
func TestLawSplitLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		elements := rapid.SliceOfN(rapid.SampledFrom([]string{sale, refund, `{}`, `{"Code":"],["}`, `{"ShopCode":"\\","x":[{}]}`}), 0, 8).Draw(t, "elements")
		blank := rapid.StringMatching(`[ \n\t\r]{0,3}`).Draw(t, "blank")
		items, err := mall.Split([]byte("[" + blank + strings.Join(elements, blank+","+blank) + blank + "]"))
		if err != nil || len(items) != len(elements) {
			t.Fatalf("%d of %d, %v", len(items), len(elements), err)
		}
		for i, item := range items {
			if string(item.Raw) != elements[i] {
				t.Errorf("%q became %q", elements[i], item.Raw)
			}
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("[" + sale + "," + refund + "]"))
	f.Add([]byte(`[{"Code":"`))
	f.Fuzz(func(t *testing.T, args []byte) {
		items, err := mall.Split(args)
		if err != nil {
			return
		}
		ok := source.Check(args) == nil
		for _, item := range items {
			if !bytes.Contains(args, item.Raw) || ok && source.Check(item.Raw) != nil || mall.Key(item).Source() != order.Mall {
				t.Errorf("%q: item %q", args, item.Raw)
			}
		}
	})
}

func FuzzShiftDates(f *testing.F) {
	f.Add([]byte("[" + sale + "]"))
	f.Add([]byte(`[{"OrderTime":"0001-01-01 00:00:00","PayTime":"9999-01-01 00:00:00"}]`))
	f.Fuzz(func(t *testing.T, args []byte) {
		shifted, err := mall.ShiftDates(args, receivedAt)
		if err == nil && (len(shifted) != len(args) || source.Check(args) == nil && source.Check(shifted) != nil) {
			t.Errorf("%q became %q", args, shifted)
		}
	})
}
