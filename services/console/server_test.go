package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// verdictOf is the status and the code of an error.
func verdictOf(s said) string { return fmt.Sprint(s.status, " ", s.code()) }

func replaceOnce(text, old, with string) string { return strings.Replace(text, old, with, 1) }

func TestAddresses(t *testing.T) {
	d := start(t, func(s *settings) { s.Console.Origins = "https://ops.example.com" })
	for _, c := range []struct{ who, method, path, want string }{
		{"", "GET", "/api/orders?number=x", "401 unauthorized"},
		{"nobody", "GET", "/api/orders?number=x", "401 unauthorized"},
		{"", "GET", "/api/receipts/x", "401 unauthorized"},
		{"", "GET", "/receipts/x", "404 not_found"},
		{"vera", "POST", "/api/orders", "405 method_not_allowed"},
		{"vera", "DELETE", "/api/orders/icbu:1", "405 method_not_allowed"},
		{"vera", "GET", "/nothing", "404 not_found"},
		{"vera", "GET", "/api/nothing", "404 not_found"},
		{"vera", "GET", "/favicon.ico", "404 not_found"},
	} {
		got := d.ask(c.who, c.method, c.path, "")
		if verdictOf(got) != c.want {
			t.Errorf("%s %s by %q: %s, want %s", c.method, c.path, c.who, verdictOf(got), c.want)
		}
		if challenged := got.header.Get("WWW-Authenticate") != ""; challenged != (got.status == http.StatusUnauthorized) {
			t.Errorf("%s: WWW-Authenticate %v", c.path, challenged)
		}
		if allowed := got.header.Get("Allow") != ""; allowed != (got.status == http.StatusMethodNotAllowed) {
			t.Errorf("%s: Allow %v", c.path, allowed)
		}
	}
	home := d.ask("", "GET", "/", "")
	if home.status != http.StatusSeeOther || home.header.Get("Location") != "/login" {
		t.Errorf("/: %d %s", home.status, home.body)
	}
	if list := d.ask("", "GET", "/api/", ""); list.status != http.StatusOK || !strings.Contains(list.body, "/api/orders?number=") || strings.Contains(list.body, "<script") {
		t.Errorf("/api/: %d %s", list.status, list.body)
	}
	for _, got := range []said{home, d.ask("vera", "GET", "/api/orders?number=x", ""), d.ask("", "GET", "/nothing", "")} {
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if !strings.Contains(got.header.Get(name), want) {
				t.Errorf("%s is %q", name, got.header.Get(name))
			}
		}
	}
	for origin, want := range map[string]string{
		"https://evil.example.com": "403 cross_origin", "https://ops.example.com": "405 method_not_allowed", "": "405 method_not_allowed", d.base: "405 method_not_allowed",
	} {
		if got := d.ask("anna", "POST", "/api/orders", "{}", "Origin: "+origin); verdictOf(got) != want {
			t.Errorf("from %q: %s, want %s", origin, verdictOf(got), want)
		}
	}
}

// The log holds addresses' patterns, never what stood in them.
func TestLogIsWithoutValues(t *testing.T) {
	d := start(t)
	d.ask("vera", "GET", "/api/orders?number=13800138000", "")
	d.ask("", "GET", "/receipts/geheim", "")
	d.ask("mallory", "GET", "/geheim?q=geheim", "")
	seen := map[string]bool{}
	for _, entry := range d.logs.All() {
		text := fmt.Sprint(entry.Message, entry.ContextMap())
		for _, secret := range []string{"13800138000", "geheim", "mallory", "veravera", "$2a"} {
			if strings.Contains(text, secret) {
				t.Errorf("the log holds %q: %s", secret, text)
			}
		}
		seen[fmt.Sprint(entry.ContextMap()["address"])] = true
	}
	for _, want := range []string{"GET /api/orders", "GET /receipts/{id}", "none"} {
		if !seen[want] {
			t.Errorf("no line about %s", want)
		}
	}
}
