package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/partner"
	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
)

func TestEZRTakesBatches(t *testing.T) {
	for _, method := range []string{"sha1", "md5"} {
		s := startSigned(t, "md5", method)
		var batch [][]byte
		for i := range 100 {
			batch = append(batch, sale(fmt.Sprintf("C%03d", i), fmt.Sprintf("%d.10", i)))
		}
		_, err := s.ezr.Upload(t.Context(), batch)
		wantClass(t, method, err, "", "")
		if got := s.held("ezr", "C042"); got != "1 42.10" {
			t.Errorf("%s: holds %q", method, got)
		}
		if got := s.stats("ezr"); got != (counts{Calls: 1, Accepted: 1, MaxInFlight: 1, LargestBatch: 100}) {
			t.Errorf("%s: %+v", method, got)
		}
	}
}

func TestEZRExisting(t *testing.T) {
	s := start(t)
	upload := func(orders ...[]byte) error {
		_, err := s.ezr.Upload(t.Context(), orders)
		return err
	}
	wantClass(t, "first", upload(sale("A", "1.00")), "", "")
	wantClass(t, "again", upload(sale("A", "1.00")), partner.Exists, "2102")
	wantClass(t, "beside a new one", upload(sale("B", "2.00"), sale("A", "3.00")), partner.Exists, "2102")
	wantClass(t, "other shop", upload(mallOrder("S2", "A", "7.00", 1, "")), "", "")
	if a, b := s.held("ezr", "B"), s.stats("ezr"); a != "0 " || b.Accepted != 2 || b.Calls != 4 {
		t.Errorf("a refused batch was taken: %q, %+v", a, b)
	}
	s.put("config", `{"ezr_existing":"overwrite"}`)
	wantClass(t, "overwrite", upload(sale("B", "2.00"), sale("A", "3.00")), "", "")
	_, body := s.admin(http.MethodGet, "orders?partner=ezr", "")
	want := `{"orders":[{"partner":"ezr","shop":"S1","order_no":"A","times":2,"amount":"3.00"},` +
		`{"partner":"ezr","shop":"S2","order_no":"A","times":1,"amount":"7.00"},` +
		`{"partner":"ezr","shop":"S1","order_no":"B","times":1,"amount":"2.00"}],"total":3}`
	if body != want {
		t.Errorf("orders %s\nwant   %s", body, want)
	}
}

func TestEZRMissingSale(t *testing.T) {
	s := start(t)
	upload := func(orders ...[]byte) error {
		_, err := s.ezr.Upload(t.Context(), orders)
		return err
	}
	back := func(code, original string) []byte { return mallOrder("S1", code, "-1.00", -1, original) }
	wantClass(t, "by default", upload(back("R1", "A")), "", "")
	s.put("config", `{"ezr_missing_sale":"refuse"}`)
	wantClass(t, "no sale", upload(back("R2", "A")), partner.Missing, "2103")
	wantClass(t, "beside its sale", upload(sale("A", "1.00"), back("R2", "A")), partner.Split, "2103")
	wantClass(t, "its sale", upload(sale("A", "1.00")), "", "")
	wantClass(t, "another shop's sale", upload(mallOrder("S2", "R2", "-1.00", -1, "A")), partner.Missing, "2103")
	wantClass(t, "after its sale", upload(back("R2", "A")), "", "")
	if got := s.held("ezr", "R2"); got != "1 -1.00" {
		t.Errorf("holds %q", got)
	}
}

// The rules of protocols 4.2, each broken alone, in a batch with a good order that must not be taken.
func TestEZRRules(t *testing.T) {
	s := start(t)
	whole := string(sale("BAD", "450.00"))
	swap := func(from, to string) []byte {
		if !strings.Contains(whole, from) {
			t.Fatalf("nothing to replace: %s", from)
		}
		return []byte(strings.ReplaceAll(whole, from, to))
	}
	_, at, _ := strings.Cut(whole, `"OrderTime":"`)
	at = at[:len(time.DateOnly)]
	for name, c := range map[string]struct {
		order []byte
		code  string
	}{
		"no shop":            {swap(`"ShopCode":"S1"`, `"ShopCode":""`), "1010"},
		"another shop":       {mallOrder("S2", "BAD", "450.00", 1, ""), "406"},
		"the same code":      {sale("GOOD", "450.00"), "1200"},
		"no code":            {swap(`"Code":"BAD"`, `"x":1`), "406"},
		"no buyer":           {swap(`"BuyerCode":"b"`, `"x":1`), "406"},
		"long code":          {swap(`"BAD"`, `"`+strings.Repeat("x", 27)+`"`), "406"},
		"long buyer":         {swap(`"b"`, `"`+strings.Repeat("测", 33)+`"`), "406"},
		"three blanks":       {swap(at+" ", at+"   "), "406"},
		"fraction of second": {swap(`","PayTime"`, `.5","PayTime"`), "406"},
		"no time":            {swap(`"OrderTime"`, `"x"`), "406"},
		"unknown origin":     {swap(`"DataOrigin":10`, `"DataOrigin":1`), "406"},
		"money as text":      {swap(`"TotalMoney":450.00`, `"TotalMoney":"450.00"`), "406"},
		"three decimals":     {swap(`"TotalMoney":450.00`, `"TotalMoney":450.001`), "406"},
		"no lines":           {swap(`"Dtls":[`, `"Dtls":[],"x":[`), "406"},
		"no quantity":        {swap(`"Quantity"`, `"x"`), "406"},
		"no pay amount":      {swap(`"PayAmount"`, `"x"`), "406"},
		"fractional count":   {swap(`"TotalQty":1`, `"TotalQty":1.5`), "406"},
		"sum":                {swap(`"TotalMoney":450.00`, `"TotalMoney":450.01`), "2001"},
		"count":              {swap(`"TotalQty":1`, `"TotalQty":2`), "2001"},
		"negative discount":  {swap(`"DataOrigin":10,"DiscountMoney":0.00`, `"DataOrigin":10,"DiscountMoney":-0.01`), "2001"},
		"line discount":      {swap(`"Amount":450.00,"DiscountMoney":0.00`, `"Amount":450.00,"DiscountMoney":-1.00`), "2001"},
		"too old":            {swap(at, time.Now().AddDate(-1, 0, -2).Format(time.DateOnly)), "2001"},
		"half a return":      {mallOrder("S1", "BAD", "-450.00", 1, "GOOD"), "2001"},
		"other half":         {mallOrder("S1", "BAD", "450.00", -1, "GOOD"), "2001"},
		"return of nothing":  {mallOrder("S1", "BAD", "-450.00", -1, ""), "2001"},
	} {
		_, err := s.ezr.Upload(t.Context(), [][]byte{sale("GOOD", "1.00"), c.order})
		class := partner.Split
		switch c.code {
		case "1010":
			class = partner.Refused
		case "1200":
			class = partner.Exists
		}
		wantClass(t, name, err, class, c.code)
	}
	if got := s.held("ezr", "GOOD"); got != "0 " {
		t.Errorf("half a batch was taken: %q", got)
	}
	_, err := s.ezr.Upload(t.Context(), [][]byte{sale("GOOD", "1.00"), mallOrder("S1", "R", "-1.00", -1, "GOOD")})
	wantClass(t, "a sale and its return", err, "", "")
	if got := s.held("ezr", "R"); got != "1 -1.00" {
		t.Errorf("holds %q", got)
	}
}

// What EZR checks of a call, by requests that are right but for one thing. The answer is always HTTP 200 and signed.
func TestEZRCallChecks(t *testing.T) {
	s := start(t)
	minutes := func(n int) string {
		return time.Now().Add(time.Duration(n) * time.Minute).In(source.Zone).Format(mall.TimestampLayout)
	}
	stamp := func(form url.Values, timestamp string) {
		form.Set("Timestamp", timestamp)
		form.Set("Sign", mall.Sign("sha1", "EZP", timestamp, ezrKeys.Token))
	}
	many := "[" + strings.TrimSuffix(strings.Repeat(`{"ShopCode":"S1"},`, 101), ",") + "]"
	for name, c := range map[string]struct {
		spoil func(url.Values)
		code  string
	}{
		"fine":             {func(url.Values) {}, "200"},
		"app id":           {func(f url.Values) { f.Set("AppId", "x") }, "1000"},
		"no app id":        {func(f url.Values) { f.Del("AppId") }, "1000"},
		"sign":             {func(f url.Values) { f.Set("Sign", strings.ToLower(f.Get("Sign"))) }, "405"},
		"no sign":          {func(f url.Values) { f.Del("Sign") }, "405"},
		"old":              {func(f url.Values) { stamp(f, minutes(-11)) }, "308"},
		"early":            {func(f url.Values) { stamp(f, minutes(11)) }, "308"},
		"nearly old":       {func(f url.Values) { stamp(f, minutes(-9)); f.Set("Args", "["+string(sale("B", "1.00"))+"]") }, "200"},
		"no timestamp":     {func(f url.Values) { f.Del("Timestamp") }, "308"},
		"no system":        {func(f url.Values) { f.Del("AppSystem") }, "306"},
		"no args":          {func(f url.Values) { f.Del("Args") }, "307"},
		"empty batch":      {func(f url.Values) { f.Set("Args", " [] ") }, "307"},
		"no JSON":          {func(f url.Values) { f.Set("Args", `[{"ShopCode":"S1"},]`) }, "303"},
		"name twice":       {func(f url.Values) { f.Set("Args", `[{"Code":"1","Code":"2"}]`) }, "303"},
		"no array":         {func(f url.Values) { f.Set("Args", `{}`) }, "306"},
		"no object":        {func(f url.Values) { f.Set("Args", `[1]`) }, "406"},
		"101 orders":       {func(f url.Values) { f.Set("Args", many) }, "406"},
		"payload too long": {func(f url.Values) { f.Set("Args", strings.Repeat(" ", maxBody)) }, "1001"},
	} {
		form := url.Values{"AppId": {"EZP"}, "AppSystem": {"orderflow"}, "Args": {"[" + string(sale("A", "1.00")) + "]"}}
		stamp(form, minutes(0))
		c.spoil(form)
		code, signed := s.form(form)
		if code != c.code || !signed {
			t.Errorf("%s: %s, signed %v; want %s", name, code, signed, c.code)
		}
	}
	if got := s.stats("ezr"); got.Accepted != 2 || got.LargestBatch != 1 {
		t.Errorf("%+v", got)
	}
}

// form posts a form and tells the answer's code and whether its signature is right.
func (s *stand) form(form url.Values) (code string, signed bool) {
	s.Helper()
	response, err := http.PostForm(s.url+"/"+ezr.Path, form)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.Fatalf("status %d, %v", response.StatusCode, err)
	}
	var answer struct {
		Status          bool
		StatusCode      int
		Timestamp, Sign string
		Result          *int
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		s.Fatalf("%s: %v", body, err)
	}
	if answer.Status != (answer.StatusCode == 200) || answer.Status != (answer.Result != nil) {
		s.Errorf("odd answer %s", body)
	}
	return fmt.Sprint(answer.StatusCode), mall.VerifySign("sha1", "EZP", answer.Timestamp, ezrKeys.Token, answer.Sign)
}

func TestEZRConcurrencyLimit(t *testing.T) {
	s := start(t)
	s.put("config", `{"ezr_concurrency":1}`)
	s.put("faults", `{"faults":[{"partner":"ezr","hang":true,"times":1,"order_no":"A"}]}`)
	ctx, cancel := contextWithCancel(t)
	defer cancel()
	done := make(chan error, 1)
	go func() { _, err := s.ezr.Upload(ctx, [][]byte{sale("A", "1.00")}); done <- err }()
	s.waitFor("the first call hangs", func() bool { return len(s.sandbox.faults.list()) == 0 })
	_, err := s.ezr.Upload(t.Context(), [][]byte{sale("B", "1.00")})
	wantClass(t, "a second call", err, partner.NotTaken, "407")
	cancel()
	wantClass(t, "the first call", <-done, partner.Unknown, "cancelled")
}
