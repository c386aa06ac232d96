package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
)

const reasonBody = `{"reason":"the customer disputes the amount"}`

func TestReadInClear(t *testing.T) {
	d := start(t)
	fact := validatedFact("icbu:a/b%", 1, "N1")
	fact.Validated.Document = []byte(`{"phone":"13812345678","amount":1.10}`)
	fact.Validated.Order.Personal = order.Personal{Name: "陈小平", Phone: "13812345678"}
	d.apply(fact, letterFact("mall:S1:1", 2, "bad_amount", "/x"), validatedFact("icbu:gone", 3, "N3"))
	const orderAddress, letterAddress = "/api/orders/icbu:a%2Fb%25/payload", "/api/dead-letters/1/payload"

	for who, want := range map[string]string{"": "401", "vera": "403", "olga": "403"} {
		for _, address := range []string{orderAddress, letterAddress} {
			if said := d.ask(who, "POST", address, reasonBody); fmt.Sprint(said.status) != want || strings.Contains(said.body, "138") {
				t.Errorf("%q got %d %s", who, said.status, said.body)
			}
		}
	}
	for address, want := range map[string]string{
		"/api/orders/icbu:none/payload":    "404 not_found",
		"/api/dead-letters/99/payload":     "404 not_found",
		"/api/dead-letters/x/payload":      "404 not_found",
		"/api/orders/icbu:a%2Fb%25/paylod": "404 not_found",
	} {
		if said := d.ask("anna", "POST", address, reasonBody); fmt.Sprint(said.status, " ", said.code()) != want {
			t.Errorf("%s: %d %s", address, said.status, said.body)
		}
	}
	for _, body := range []string{"", `{}`, `{"reason":" "}`, `{"reason":"x","bulk":true}`, `{"reason":"` + strings.Repeat("x", 2000) + `"}`} {
		for _, address := range []string{orderAddress, letterAddress} {
			if said := d.ask("anna", "POST", address, body); said.status != http.StatusBadRequest {
				t.Errorf("%.40q: %d %s", body, said.status, said.body)
			}
		}
	}
	if said := d.ask("anna", "GET", orderAddress, ""); said.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", said.status)
	}
	audit := func() []string {
		return pgtest.Rows(t, d.url, `select who, action, object from audit where action = 'read_payload' order by id`)
	}
	if read := audit(); len(read) != 0 {
		t.Fatalf("read without a right: %v", read)
	}
	if refused := pgtest.Rows(t, d.url, `select count(*) from audit where action = 'refused' and object like 'POST /api/%/payload'`); !slices.Equal(refused, []string{"4"}) {
		t.Errorf("refusals in the audit: %v", refused)
	}

	said := d.ask("anna", "POST", orderAddress, reasonBody)
	if want := `{"order_key":"icbu:a/b%","revision":281474976710657,"personal":{"name":"陈小平","phone":"13812345678"},"payload":{"phone":"13812345678","amount":1.10}}`; strings.TrimSpace(said.body) != want {
		t.Errorf("an order: %d %s", said.status, said.body)
	}
	if said.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", said.header)
	}
	letter := into[clearLetter](t, d.ask("anna", "POST", letterAddress, reasonBody))
	if letter.OrderKey != "mall:S1:1" || fmt.Sprint(letter.Payload) != "map[RecvMobile:13800138000]" || letter.Headers == nil {
		t.Errorf("a letter: %+v", letter)
	}
	if read := audit(); !slices.Equal(read, []string{"anna read_payload order icbu:a/b%", "anna read_payload letter 1"}) {
		t.Errorf("audit %v", read)
	}

	if _, err := d.store.Erase(t.Context(), "mall:S1:1", "anna", "x"); err != nil {
		t.Fatal(err)
	}
	pgtest.Texts(t, d.url, `update orders set payload = null, personal = null where order_key = 'icbu:gone'; `)
	// A byte is turned round, not overwritten: it may be any, so a fixed one may change nothing.
	pgtest.Texts(t, d.url, `update orders set payload = set_byte(payload, 39, 255 - get_byte(payload, 39)) where order_key = 'icbu:a/b%'`)
	for address, want := range map[string]string{letterAddress: "410 gone", "/api/orders/icbu:gone/payload": "410 gone", orderAddress: "409 sealed"} {
		if said := d.ask("anna", "POST", address, reasonBody); fmt.Sprint(said.status, " ", said.code()) != want {
			t.Errorf("%s: %d %s", address, said.status, said.body)
		}
	}
	if one := into[wholeLetter](t, d.ask("vera", "GET", "/api/dead-letters/1", "")); one.Record != nil {
		t.Errorf("an erased record is shown: %+v", one.Record)
	}
	// The audit comes first: without it nobody reads.
	pgtest.Texts(t, d.url, `alter table audit rename to elsewhere`)
	d.apply(letterFact("mall:S1:2", 4, "bad_amount", "/x"))
	if said := d.ask("anna", "POST", "/api/dead-letters/2/payload", reasonBody); said.status != http.StatusServiceUnavailable || strings.Contains(said.body, "138") {
		t.Errorf("without an audit: %d %s", said.status, said.body)
	}
	for _, entry := range d.logs.All() {
		if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "13800138000") || strings.Contains(text, "disputes") {
			t.Errorf("the log tells %s", text)
		}
	}
}
