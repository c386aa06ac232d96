package main

import (
	"bytes"
	"path"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
	"orderflow/schemas"
)

// good reads the house's good examples of one source.
func good(t *testing.T, source string) map[string][]byte {
	t.Helper()
	entries, err := schemas.Examples.ReadDir(path.Join("examples", source))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "good-") {
			continue
		}
		if found[entry.Name()], err = schemas.Examples.ReadFile(path.Join("examples", source, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if found["good-seed.json"] == nil {
		t.Fatalf("the seed's example of %s is missing", source)
	}
	return found
}

// What validate accepts, OKKI takes, with the amount to the last digit; the seed's own example among it.
func TestOKKITakesTheExamples(t *testing.T) {
	s := start(t)
	for name, body := range good(t, "icbu") {
		document, judged, err := icbu.Judge(body, time.Now())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s.admin("DELETE", "orders", "")
		_, err = s.okki.Create(t.Context(), document)
		wantClass(t, name, err, "", "")
		times, amount, _ := strings.Cut(s.held("okki", judged.OrderNo), " ")
		if times != "1" || (judged.Total.Valid && !judged.Total.Decimal.Equal(exactly(t, amount))) || (!judged.Total.Valid && amount != "") {
			t.Errorf("%s: held %s times with %q, want %v", name, times, amount, judged.Total)
		}
		if name == "good-seed.json" && amount != "28600.0" {
			t.Errorf("the seed's amount became %q", amount)
		}
	}
}

// What validate accepts, EZR takes in our encoding, batch by batch.
func TestEZRTakesTheExamples(t *testing.T) {
	for name, args := range good(t, "mall") {
		s := start(t)
		shifted, err := mall.ShiftDates(args, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		items, err := mall.Split(shifted)
		if err != nil || len(items) == 0 {
			t.Fatalf("%s: %d orders, %v", name, len(items), err)
		}
		var batch [][]byte
		totals := map[string]string{}
		for _, item := range items {
			document, judged, err := mall.Judge(item.Raw, time.Now())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			encoded, err := ezr.Encode(document)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if encoded.Total != judged.Total.Decimal.StringFixed(2) || encoded.ShopCode != judged.Shop || encoded.Code != judged.OrderNo {
				t.Errorf("%s: encoded %s/%s of %s", name, encoded.ShopCode, encoded.Code, encoded.Total)
			}
			batch = append(batch, encoded.Body)
			totals[encoded.Code] = "1 " + encoded.Total
		}
		_, err = s.ezr.Upload(t.Context(), batch)
		wantClass(t, name, err, "", "")
		for code, want := range totals {
			if got := s.held("ezr", code); got != want {
				t.Errorf("%s: EZR holds %q of %s, want %q", name, got, code, want)
			}
		}
		if name == "good-seed.json" && totals["0000128092"] != "1 450.00" {
			t.Errorf("the seed's totals became %v", totals)
		}
	}
}

// The shape of seed 000's response: the request's fields in their order, without promotion_id at the top.
func TestOKKIAnswerShape(t *testing.T) {
	answer := okkiSuccess([]byte(`{"promotion_id":"1","amount":"28600.0","success":false,"lines":[{"promotion_id":"2"}]}`))
	head, _, _ := bytes.Cut(answer, []byte(`,"request_id"`))
	want := `{"` + okkiWrapper + `":{"amount":"28600.0","lines":[{"promotion_id":"2"}],"success":true,"resp_code":"0",` +
		`"resp_msg":"success","error_desc":"","discount_information":"","upgrade_product_list":[]`
	if string(head) != want {
		t.Errorf("answer %s\nwant   %s", head, want)
	}
}
