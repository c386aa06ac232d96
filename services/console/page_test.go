package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/order"
)

// browser is a person before the pages: it keeps cookies and follows no redirect by itself.
type browser struct {
	d       *desk
	cookies map[string]string
	headers map[string]string
}

// browse is a browser in which somebody logged in; "" is nobody.
func (d *desk) browse(who string) *browser {
	d.t.Helper()
	b := &browser{d, map[string]string{}, map[string]string{}}
	if who != "" {
		if got := b.post("/login", url.Values{"name": {who}, "password": {who + who}}); got.status != http.StatusSeeOther {
			d.t.Fatalf("login: %d %s", got.status, got.body)
		}
	}
	return b
}

func (b *browser) get(path string) said { b.d.t.Helper(); return b.send("GET", path, "") }

func (b *browser) post(path string, form url.Values) said {
	b.d.t.Helper()
	return b.send("POST", path, form.Encode())
}

func (b *browser) send(method, path, body string) said {
	b.d.t.Helper()
	request, err := http.NewRequestWithContext(b.d.t.Context(), method, b.d.base+path, strings.NewReader(body))
	if err != nil {
		b.d.t.Fatal(err)
	}
	if method == "POST" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range b.headers {
		request.Header.Set(name, value)
	}
	for name, value := range b.cookies {
		request.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		b.d.t.Fatal(err)
	}
	defer response.Body.Close()
	for _, cookie := range response.Cookies() {
		b.cookies[cookie.Name] = cookie.Value
		if cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		}
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.d.t.Fatal(err)
	}
	return said{response.StatusCode, response.Header, string(text)}
}

// led checks a redirect and follows it.
func (b *browser) led(s said, to string) said {
	b.d.t.Helper()
	if got := s.header.Get("Location"); s.status != http.StatusSeeOther || got != to {
		b.d.t.Fatalf("led to %q (%d), want %q: %s", got, s.status, to, s.body)
	}
	return b.get(to)
}

// shows checks a page for texts.
func (s said) shows(t testing.TB, texts ...string) {
	t.Helper()
	if s.status != http.StatusOK {
		t.Errorf("status %d", s.status)
	}
	for _, text := range texts {
		if !strings.Contains(s.body, text) {
			t.Errorf("%q is not on the page:\n%s", text, s.body)
		}
	}
}

func TestLogin(t *testing.T) {
	d := start(t, func(s *settings) { s.Console.Origins = "https://ops.example.com" })
	b := d.browse("")
	login := b.led(b.get("/letters?code=bad_amount&path=%2Fa"), "/login?next="+url.QueryEscape("/letters?code=bad_amount&path=%2Fa"))
	login.shows(t, `name="next" value="/letters?code=bad_amount&amp;path=%2Fa"`, `type="password"`)
	for _, form := range []url.Values{{"name": {"vera"}, "password": {"wrong"}}, {"name": {"nobody"}, "password": {"x"}}, {}} {
		if got := b.post("/login", form); got.status != http.StatusForbidden || !strings.Contains(got.body, "Unknown name or wrong password") || len(b.cookies) != 0 {
			t.Errorf("%v: %d %v", form, got.status, b.cookies)
		}
	}
	form := url.Values{"name": {"vera"}, "password": {"veravera"}, "next": {"/letters?code=bad_amount"}}
	entered := b.post("/login", form)
	if cookie := entered.header.Get("Set-Cookie"); !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") || strings.Contains(cookie, "Secure") {
		t.Errorf("cookie %s", cookie)
	}
	b.led(entered, "/letters?code=bad_amount").shows(t, "vera")
	first := b.cookies[sessionCookie]
	b.led(b.get("/login?next=%2Faudit"), "/audit")
	b.post("/login", form)
	if b.cookies[sessionCookie] == first || len(first) < 20 {
		t.Errorf("a login keeps the session's id %q", first)
	}
	old := d.browse("")
	old.cookies[sessionCookie] = first
	old.led(old.get("/"), "/login")

	b.headers["X-Forwarded-Proto"], b.headers["Origin"] = "https", "https://ops.example.com"
	if cookie := b.post("/login", form).header.Get("Set-Cookie"); !strings.Contains(cookie, "Secure") {
		t.Errorf("behind a proxy with TLS: cookie %s", cookie)
	}
	b.headers["Origin"] = "https://evil.example.com"
	if got := b.post("/login", form); got.status != http.StatusForbidden || got.header.Get("Set-Cookie") != "" {
		t.Errorf("from elsewhere: %d", got.status)
	}
	clear(b.headers)
	b.headers["X-Forwarded-Proto"] = "https" // anybody can write it
	if cookie := b.post("/login", form).header.Get("Set-Cookie"); strings.Contains(cookie, "Secure") {
		t.Errorf("an unknown proxy: cookie %s", cookie)
	}
	clear(b.headers)

	b.headers["Hx-Request"] = "true"
	kept := b.cookies[sessionCookie]
	b.led(b.post("/logout", nil), "/login")
	b.cookies[sessionCookie] = kept
	if got := b.get("/"); got.status != http.StatusUnauthorized || got.header.Get("Hx-Refresh") != "true" || got.body != "" {
		t.Errorf("a page that asks for itself after the logout: %d %s", got.status, got.body)
	}
}

func TestLocalPath(t *testing.T) {
	for address, want := range map[string]string{
		"/": "/", "/letters?code=a&path=%2Fx": "/letters?code=a&path=%2Fx", "/orders/mall:1%3A2": "/orders/mall:1%3A2",
		"": "/", "letters": "/", "//evil.example.com/": "/", "/\\evil.example.com": "/", "https://evil.example.com/": "/", "javascript:alert(1)": "/",
		"/\t/evil.example.com": "/", "/a\nb": "/", "/" + strings.Repeat("x", maxNext): "/", "/%zz": "/",
	} {
		if got := localPath(address); got != want {
			t.Errorf("%.40q: %q, want %q", address, got, want)
		}
	}
}

func TestOrdersOnPages(t *testing.T) {
	d := start(t)
	key := order.Key("mall:S%2F1:<b>")
	d.apply(validatedFact(key, 1, "<b>", "N1"), deliveredFact(key, 1), validatedFact("icbu:P1", 2, "P1", "N1"))
	b := d.browse("vera")
	b.get("/search").shows(t, `name="number"`)
	address := "/orders/mall:S%252F1:%3Cb%3E"
	b.led(b.get("/search?number="+url.QueryEscape(string(key))), address).shows(t, "mall:S%2F1:&lt;b&gt;", "1204.50 CNY", "Received", "Validated", "Delivered", "2026-01-02 03:04:05.678 UTC")
	b.get("/search?number=N1").shows(t, "Orders found: 2", `href="/orders/icbu:P1"`, `href="`+address+`"`)
	b.get("/search?number=none").shows(t, "Nothing is known by this number")
	if got := b.get("/orders/icbu:none"); got.status != http.StatusNotFound || !strings.Contains(got.body, "There is nothing here") {
		t.Errorf("no such order: %d", got.status)
	}
	receipt, _ := d.push(order.ICBU, "icbu:R1")
	b.led(b.get("/search?number="+receipt), "/pushes/"+receipt).shows(t, "icbu:R1", "received", `hx-trigger="every 3s"`)
	var overview said
	d.await("so far that the oldest record is known", func() bool { // a busy machine may have no time to read it
		overview = b.get("/")
		return strings.Contains(overview.body, "<dt>Oldest</dt><dd><time")
	})
	overview.shows(t, `validate</span> checks`, "is not running", "<dt>Open letters</dt><dd>0<", "ICBU (Alibaba)</dt><dd>1<", "set WORKER_OPS")
	if got := b.get("/orders/" + "x%00"); got.status != http.StatusNotFound {
		t.Errorf("an odd key: %d", got.status)
	}
}

func TestLettersOnPages(t *testing.T) {
	d := start(t)
	parked(d, 60)
	d.apply(letterFact("icbu:P1", 99, "too_long", "/amount"))
	b := d.browse("olga")
	b.get("/").shows(t, "61 open dead letters", `href="/letters?service=validate"`)
	b.get("/letters/groups").shows(t, "/Dtls/*/Amount", `href="/letters?code=bad_amount&amp;path=%2FDtls%2F%2A%2FAmount&amp;service=validate"`, "too_long")
	list := b.get("/letters?service=&code=bad_amount&q=mall&state=open&state=fixed")
	list.shows(t, "mall:S1:59", `value="bad_amount"`, "cursor=", `href="/replays/new?code=bad_amount&amp;q=mall&amp;state=open&amp;state=fixed"`)
	if strings.Contains(list.body, "icbu:P1") || strings.Contains(list.body, "13800138000") {
		t.Error("the filter lets through what it should not")
	}
	if got := b.get("/letters?colour=red"); got.status != http.StatusBadRequest || !strings.Contains(got.body, "There is no such parameter") {
		t.Errorf("unknown parameter: %d", got.status)
	}
	b.get("/letters/61").shows(t, "too_long", "/amount", `action="/letters/61/discard"`, "/replays/new?ids=61")
	if got := b.post("/letters/61/discard", url.Values{"reason": {" "}}); got.status != http.StatusBadRequest {
		t.Errorf("without a reason: %d", got.status)
	}
	b.led(b.post("/letters/61/discard", url.Values{"reason": {`<script>alert("x")</script>`}}), "/letters/61").
		shows(t, "Discarded by olga", "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;", "discarded")
	if got := b.post("/letters/61/discard", url.Values{"reason": {"x"}}); got.status != http.StatusConflict || !strings.Contains(got.body, "settled already") {
		t.Errorf("once more: %d", got.status)
	}
	b.get("/orders/icbu:P1").shows(t, "Dead letters of this order", `href="/letters/61"`)

	// A viewer sees the same, has no forms, and is refused and noted.
	v := d.browse("vera")
	for _, path := range []string{"/letters", "/letters/1", "/letters/groups", "/replays"} {
		if body := v.get(path).body; strings.Contains(body, "/replays/new") || strings.Contains(body, "/discard") {
			t.Errorf("%s offers a viewer what only operators may", path)
		}
	}
	if got := v.post("/letters/1/discard", url.Values{"reason": {"x"}}); got.status != http.StatusForbidden || !strings.Contains(got.body, "written to the audit") {
		t.Errorf("by a viewer: %d %s", got.status, got.body)
	}
	v.get("/audit").shows(t, "POST /letters/1/discard", "needs the role operator, is viewer", `<a href="/letters/61">Letter 61</a>`)
}

func TestReplaysOnPages(t *testing.T) {
	d := start(t, func(s *settings) { s.Console.ApprovalSize = 3 })
	parked(d, 5)
	anna, olga, vera := d.browse("anna"), d.browse("olga"), d.browse("vera")
	anna.get("/replays/new?service=validate&state=").shows(t, `<input type="hidden" name="service" value="validate">`, "more than 3 letters", ">5<")
	form := url.Values{"service": {"validate"}, "reason": {"the mapping is mended"}, "rate": {"50"}}
	dry := anna.post("/replays", with(form, "dry_run", "yes"))
	anna.led(dry, "/replays/1").shows(t, "dry run", "the mapping is mended")
	anna.led(anna.post("/replays", with(form, "dry_run", "no")), "/replays/2").shows(t, "waits for approval", "You made this replay", "50 letters a second")
	if got := anna.post("/replays/2/approve", nil); got.status != http.StatusForbidden || !strings.Contains(got.body, "cannot approve it") {
		t.Errorf("approved by its author: %d", got.status)
	}
	if got := olga.get("/replays/2"); strings.Contains(got.body, "/approve") || !strings.Contains(got.body, "/cancel") {
		t.Error("an operator is offered what only approvers may, or not what they may")
	}
	for _, path := range []string{"/replays", "/replays/2/approve", "/replays/2/cancel"} {
		if got := vera.post(path, form); got.status != http.StatusForbidden {
			t.Errorf("%s by a viewer: %d", path, got.status)
		}
	}
	olga.led(olga.post("/replays", with(form, "dry_run", "no")), "/replays/3").shows(t, "You made this replay")
	anna.get("/replays/3").shows(t, "need a second person", `action="/replays/3/approve"`)
	anna.led(anna.post("/replays/3/approve", nil), "/replays/3").shows(t, "Approved by", `hx-trigger="every 3s"`)
	if got := olga.post("/replays/3/approve", nil); got.status != http.StatusForbidden {
		t.Errorf("approval by an operator: %d", got.status)
	}
	olga.led(olga.post("/replays/2/cancel", url.Values{"reason": {"twice"}}), "/replays/2").shows(t, "cancelled")
	if got := olga.post("/replays/2/resume", nil); got.status != http.StatusConflict {
		t.Errorf("resumed after the end: %d", got.status)
	}
	d.await("sent", func() bool { return strings.Contains(vera.get("/replays/3/letters?result=sent").body, "mall:S1:4") })
	olga.led(olga.post("/replays/3/pause", nil), "/replays/3").shows(t, "paused")
	olga.led(olga.post("/replays/3/resume", nil), "/replays/3").shows(t, "running")
	vera.get("/replays").shows(t, "Replay 3", "Replay 2", "olga")
	vera.get("/audit").shows(t, "POST /replays/2/cancel", "cancels", "twice")
	for rate, want := range map[string]int{"": 400, "fast": 400, "-1": 400, "1000000": 400} {
		if got := anna.post("/replays", url.Values{"rate": {rate}}); got.status != want {
			t.Errorf("rate %q: %d", rate, got.status)
		}
	}
	if got := anna.post("/replays", url.Values{"rate": {"1"}, "colour": {"red"}}); got.status != http.StatusBadRequest {
		t.Errorf("an unknown field: %d", got.status)
	}
}

func with(form url.Values, name, value string) url.Values {
	all := url.Values{name: {value}}
	for n, v := range form {
		all[n] = v
	}
	return all
}

// A dry run that is over leads to the replay of the letters that it looked at: no younger ones.
func TestReplayAfterDryRun(t *testing.T) {
	made := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	v := jobViewOf(jobAnswer{DryRun: true, FinishedAt: made, CreatedAt: made}, user{name: "anna"})
	if want := "/replays/new?until=2026-11-22T07%3A00%3A00Z"; v.Repeat != want {
		t.Errorf("led to %s", v.Repeat)
	}
	if v := jobViewOf(jobAnswer{FinishedAt: made}, user{}); v.Repeat != "" {
		t.Errorf("a replay leads to %s", v.Repeat)
	}
}

func TestLanguageSwitch(t *testing.T) {
	d := start(t)
	b := d.browse("vera")
	b.get("/letters").shows(t, `<html lang="en">`, "Dead letters")
	b.led(b.post("/language", url.Values{"language": {"zh"}, "next": {"/letters"}}), "/letters").shows(t, `<html lang="zh-CN">`, "死信", `value="/letters"`)
	b.led(b.post("/language", url.Values{"language": {"fr"}, "next": {"//evil.example.com"}}), "/").shows(t, `<html lang="en">`)
	n := d.browse("")
	n.headers["Accept-Language"] = "zh-TW,zh;q=0.9"
	n.get("/login").shows(t, `lang="zh-CN"`, "登录")
	n.led(n.post("/language", url.Values{"language": {"en"}, "next": {"/login"}}), "/login").shows(t, `lang="en"`)
}

func TestAssets(t *testing.T) {
	d := start(t)
	for name, kind := range map[string]string{"console.css": "text/css", "htmx-2.0.11.min.js": "javascript", "icon.svg": "image/svg+xml", "htmx-LICENSE.txt": "text/plain"} {
		got := d.ask("", "GET", "/assets/"+name, "")
		if got.status != http.StatusOK || !strings.Contains(got.header.Get("Content-Type"), kind) || got.header.Get("Etag") == "" {
			t.Errorf("%s: %d %s", name, got.status, got.header.Get("Content-Type"))
		}
		if again := d.ask("", "GET", "/assets/"+name, "", "If-None-Match: "+got.header.Get("Etag")); again.status != http.StatusNotModified {
			t.Errorf("%s again: %d", name, again.status)
		}
	}
	for _, name := range []string{"..%2fmain.go", "none", "."} {
		if got := d.ask("", "GET", "/assets/"+name, ""); got.status == http.StatusOK {
			t.Errorf("%s: %s", name, fmt.Sprint(got.status))
		}
	}
}
