package main

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// hostile is what somebody may have made us store.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>'{{.}}`

// Walking by plain links from the first page reaches every page; none holds script, style or a handler of its own, whatever
// is stored, and each says so to the browser.
func TestWalk(t *testing.T) {
	d := start(t, func(s *settings) { s.Console.ApprovalSize = 1 })
	parked(d, 3)
	evil := letterFact(order.Key("mall:"+hostile), 50, "bad_amount", "/"+hostile)
	l := &evil.Letter.Letter
	l.Message, l.Detail, evil.Letter.Excerpt.Shop = hostile, hostile, hostile
	d.apply(evil, validatedFact("icbu:N1", 7, hostile), deliveredFact("icbu:N1", 7))
	anna := d.browse("anna")
	for _, dry := range []string{"yes", "no"} {
		anna.led(anna.post("/replays", url.Values{"rate": {"0"}, "reason": {hostile}, "dry_run": {dry}}), "/replays/"+map[string]string{"yes": "1", "no": "2"}[dry])
	}
	anna.post("/letters/1/discard", url.Values{"reason": {hostile}})
	d.apply(store.Fact{Meta: metaOf("icbu:N2", 8), Service: "validate", Validated: validatedFact("icbu:N2", 8, "N2").Validated})

	for _, l := range languages {
		anna.post("/language", url.Values{"language": {string(l)}, "next": {"/"}})
		seen := walk(t, anna, l)
		for _, want := range []string{
			"/", "/search", "/letters", "/letters/groups", "/letters/2", "/replays", "/replays/1", "/replays/2", "/replays/2/letters", "/replays/new",
			"/audit", orderPath("mall:S1:1"), orderPath(order.Key("mall:" + hostile)),
		} {
			if !seen[want] {
				t.Errorf("%s is reached by no link", want)
			}
		}
	}
	walkable(t, d.browse("").get("/login"), "/login", english)
	walkable(t, anna.get("/search?number="+url.QueryEscape(hostile+"x")), "/search", chinese)
	walkable(t, anna.get("/letters?code="+url.QueryEscape(hostile)+"&state=open"), "/letters", chinese)
	walkable(t, anna.get("/replays/new?ids=2&q="+url.QueryEscape(hostile)), "/replays/new", chinese)
	if got := anna.get("/letters?" + url.QueryEscape(hostile) + "=1"); got.status != http.StatusBadRequest {
		t.Errorf("an odd parameter: %d", got.status)
	} else {
		walkable(t, said{http.StatusOK, got.header, got.body}, "failure", chinese)
	}
}

var (
	hrefs    = regexp.MustCompile(`href="([^"]*)"`)
	quoted   = regexp.MustCompile(`"[^"]*"`)
	handlers = regexp.MustCompile(`(?i)<[^>]*\s(on[a-z]+|style)\s*=`)
	scripts  = regexp.MustCompile(`(?is)<script([^>]*)>(.*?)</script>`)
)

func walk(t *testing.T, b *browser, l language) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	todo := []string{"/"}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		path, _, _ := strings.Cut(at, "?")
		if seen[at] || len(seen) > 300 {
			continue
		}
		seen[at], seen[path] = true, true
		got := b.get(at)
		walkable(t, got, at, l)
		for _, link := range hrefs.FindAllStringSubmatch(got.body, -1) {
			to := html.UnescapeString(link[1])
			if strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/assets/") {
				todo = append(todo, to)
			} else if !strings.HasPrefix(to, "/assets/") && to != "#main" {
				t.Errorf("%s leads to %s", at, to)
			}
		}
	}
	return seen
}

func walkable(t *testing.T, got said, at string, l language) {
	t.Helper()
	if got.status != http.StatusOK {
		t.Errorf("%s: %d", at, got.status)
		return
	}
	policy := got.header.Get("Content-Security-Policy")
	if policy != pagePolicy || strings.Contains(policy, "unsafe") || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%s: headers %v", at, got.header)
	}
	lang := map[language]string{english: "en", chinese: "zh-CN"}[l]
	for _, want := range []string{`<html lang="` + lang + `">`, `class="skip" href="#main"`, `<main id="main"`, "<h1"} {
		if !strings.Contains(got.body, want) {
			t.Errorf("%s lacks %s", at, want)
		}
	}
	if found := handlers.FindString(quoted.ReplaceAllString(got.body, `""`)); found != "" {
		t.Errorf("%s holds %s", at, found)
	}
	for _, script := range scripts.FindAllStringSubmatch(got.body, -1) {
		if !strings.Contains(script[1], `src="/assets/`) || script[2] != "" {
			t.Errorf("%s holds %s", at, script[0])
		}
	}
	for _, never := range []string{"<style", "<img", "javascript:", "ZgotmplZ", "13800138000", "<no value>", "%!"} {
		if strings.Contains(got.body, never) {
			t.Errorf("%s holds %s", at, never)
		}
	}
}
