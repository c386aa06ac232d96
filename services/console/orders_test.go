package main

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/receipt"
	"orderflow/pkg/store"
)

const asJSON = `{"order_key":"icbu:P1","source":"icbu","order_no":"P1","revision":281474976710663,"state":"delivered","total":"1204.50","currency":"CNY",` +
	`"delivered_revision":281474976710663,"delivered_total":"1204.50","placed_at":"2026-01-02T02:04:05.678Z","received_at":"2026-01-02T03:04:05.678Z","updated_at":"T","steps":[` +
	`{"at":"2026-01-02T03:04:05.678Z","step":"received","service":"ingest","code":"","detail":"","revision":281474976710663,"topic":"icbu.received.v1","partition":2,"offset":7},` +
	`{"at":"2026-01-02T03:04:05.679Z","step":"validated","service":"validate","code":"","detail":"","revision":281474976710663},` +
	`{"at":"2026-01-02T03:04:05.68Z","step":"delivered","service":"okkisync","code":"","detail":"","revision":281474976710663}]}`

// An order key holds what a URL has other meanings for, and percent-encoded parts of its own.
var oddKeys = []order.Key{
	order.NewKey(order.Mall, nil, "S:1", "C/1"),
	order.NewKey(order.Mall, nil, "店", "a%2Fb"),
	order.NewKey(order.ICBU, nil, ".."),
	order.NewKey(order.ICBU, nil, "a?b#c&d=e;f+g h"),
	order.NewKey(order.ICBU, []byte("body"), ""),
}

func TestOrders(t *testing.T) {
	d := start(t)
	d.apply(validatedFact("icbu:P1", 7, "P1", "OKKI9", "T5"), deliveredFact("icbu:P1", 7))
	got := d.ask("vera", "GET", "/api/orders/icbu:P1", "")
	updated := into[struct {
		UpdatedAt string `json:"updated_at"`
	}](t, got).UpdatedAt
	if text := replaceOnce(got.body, updated, "T"); text != asJSON+"\n" {
		t.Errorf("got  %s\nwant %s", text, asJSON)
	}
	for _, number := range []string{"P1", "OKKI9", "T5", "icbu:P1", " P1 "} {
		found := into[page[orderAnswer]](t, d.ask("vera", "GET", "/api/orders?number="+url.QueryEscape(number), ""))
		if len(found.Items) != 1 || found.Items[0].OrderKey != "icbu:P1" || len(found.Items[0].Steps) != 3 {
			t.Errorf("%q found %+v", number, found.Items)
		}
	}
	d.apply(validatedFact("icbu:B1", 8, "  B 1 ")) // blanks of its own
	if found := into[page[orderAnswer]](t, d.ask("vera", "GET", "/api/orders?number=++B+1+", "")); len(found.Items) != 1 {
		t.Errorf("a number with blanks found %+v", found.Items)
	}
	for i, key := range oddKeys {
		d.apply(validatedFact(key, int64(100+i), "odd"))
		got := d.ask("vera", "GET", "/api/orders/"+url.PathEscape(string(key)), "")
		if got.status != http.StatusOK || into[orderAnswer](t, got).OrderKey != key {
			t.Errorf("%s: %d %s", key, got.status, got.body)
		}
	}
	if found := into[page[orderAnswer]](t, d.ask("vera", "GET", "/api/orders?number=odd", "")); len(found.Items) != len(oddKeys) {
		t.Errorf("a number of several orders found %d", len(found.Items))
	}
	for _, number := range []string{"odd", "++odd"} {
		keys := allPages(d, "/api/orders?limit=2&number="+number)
		if len(keys) != len(oddKeys) || !slices.IsSorted(keys) {
			t.Errorf("two at a time: %q", keys)
		}
	}
	if found := d.ask("vera", "GET", "/api/orders?number=none", ""); found.body != `{"items":[],"next":null}`+"\n" {
		t.Errorf("a number of no order: %s", found.body)
	}
	for path, want := range map[string]string{
		"/api/orders/icbu:P2":              "404 not_found",
		"/api/orders/a%00b":                "404 not_found",
		"/api/orders/%FF":                  "404 not_found",
		"/api/orders":                      "400 bad_parameter",
		"/api/orders?number=":              "400 bad_parameter",
		"/api/orders?number=a%00b":         "400 bad_parameter",
		"/api/orders?number=a&number=b":    "400 bad_parameter",
		"/api/orders?number=a&source=mall": "400 unknown_parameter",
		"/api/orders?number=a&cursor=!":    "400 bad_parameter",
		"/api/orders?number=a&cursor=_w":   "400 bad_parameter",
		"/api/orders?number=a&cursor=AA":   "400 bad_parameter",
		"/api/orders?number=a&limit=0":     "400 bad_parameter",
		"/api/orders?number=%zz":           "400 bad_query",
		"/api/orders?number=a;b":           "400 bad_query",
		"/api/order":                       "404 not_found",
		"/api/orders/icbu:P1/":             "404 not_found",
	} {
		if got := d.ask("vera", "GET", path, ""); verdictOf(got) != want {
			t.Errorf("%s: %s, want %s", path, verdictOf(got), want)
		}
	}
}

func TestReceiptIsAnsweredBeforeAnyWorker(t *testing.T) {
	d := start(t)
	keys := []order.Key{"mall:S1:1", "mall:S1:2", "mall:S1:3"}
	d.push(order.Mall, "mall:S1:0", "mall:S1:1")
	text, records := d.push(order.Mall, keys...)
	d.push(order.Mall, "mall:S1:1")
	for _, address := range []string{"/receipts/", "/api/receipts/"} {
		got := into[receiptAnswer](t, d.ask("vera", "GET", address+text, ""))
		if got.Receipt != text || got.Source != order.Mall || got.ReceivedAt.IsZero() || len(got.Orders) != len(keys) {
			t.Fatalf("answered %+v", got)
		}
		for i, o := range got.Orders {
			if o.OrderKey != keys[i] || o.Revision != order.NewRevision(1, records[i].Offset) || o.State != stateReceived {
				t.Errorf("order %d: %+v", i, o)
			}
		}
	}
	found := into[page[orderAnswer]](t, d.ask("vera", "GET", "/api/orders?number="+text, ""))
	if len(found.Items) != 3 || found.Items[1].OrderKey != keys[1] || found.Items[1].State != stateReceived || len(found.Items[1].Steps) != 1 {
		t.Errorf("orders by receipt: %+v", found.Items)
	}
	// One of the orders comes through; what is known of the others stays.
	m := metaOf(keys[1], records[1].Offset)
	m.ReceivedPartition, m.PushID = records[1].Partition, pushOf(t, text)
	fact := validatedFact(keys[1], records[1].Offset, "2")
	fact.Meta = m
	d.apply(fact)
	states := func() (all []string) {
		for _, o := range into[receiptAnswer](t, d.ask("", "GET", "/receipts/"+text, "")).Orders {
			all = append(all, string(o.State))
		}
		return all
	}
	if got := states(); !slices.Equal(got, []string{"received", "validated", "received"}) {
		t.Errorf("states %v", got)
	}
	fact = deliveredFact(keys[1], records[1].Offset)
	fact.Meta = m
	d.apply(fact)
	if got := states(); !slices.Equal(got, []string{"received", "delivered", "received"}) {
		t.Errorf("states %v", got)
	}
	found = into[page[orderAnswer]](t, d.ask("vera", "GET", "/api/orders?number="+text, ""))
	if len(found.Items) != 3 || found.Items[1].State != "delivered" || found.Items[0].State != stateReceived {
		t.Errorf("orders by receipt: %+v", found.Items)
	}
}

func TestReceiptsThatNameNoOrder(t *testing.T) {
	d := start(t)
	keys := receiptKeys(t)
	kept := receipt.Mint(keys, receipt.Receipt{PushID: receipt.NewPushID(at), Source: order.Procurement, ReceivedAt: at, Quarantined: true, Records: []receipt.Record{{Partition: 0, Offset: 3}}})
	if got := d.ask("", "GET", "/receipts/"+kept, ""); got.body != `{"receipt":"`+kept+`","source":"procurement","received_at":"2026-01-02T03:04:05.678Z","quarantined":true,"orders":[]}`+"\n" {
		t.Errorf("a quarantined push: %s", got.body)
	}
	// Beyond the end of the topic, and at the place of somebody else's push.
	_, others := d.push(order.ICBU, "icbu:P1")
	lost := receipt.Mint(keys, receipt.Receipt{PushID: receipt.NewPushID(at), Source: order.ICBU, ReceivedAt: at, Records: append(others, receipt.Record{Partition: others[0].Partition, Offset: 900})})
	got := into[receiptAnswer](t, d.ask("", "GET", "/receipts/"+lost, ""))
	if len(got.Orders) != 2 || got.Orders[0].State != stateUnknown || got.Orders[0].OrderKey != "" || got.Orders[1].State != stateUnknown || !got.ReceivedAt.Equal(at) {
		t.Errorf("records that are gone: %+v", got)
	}
	for _, text := range []string{"x", kept[:len(kept)-1], kept + "A", url.PathEscape(kept + "/..")} {
		if got := d.ask("", "GET", "/receipts/"+text, ""); verdictOf(got) != "404 not_found" {
			t.Errorf("%q: %s", text, verdictOf(got))
		}
	}
}

func TestReceiptsWithoutPostgreSQL(t *testing.T) {
	server := pgtest.Server(t)
	d := start(t, func(s *settings) { s.Store.URL = server.URL("postgres") }, func(*settings) {
		if err := store.Migrate(t.Context(), server.URL("postgres")); err != nil {
			t.Fatal(err)
		}
	})
	text, _ := d.push(order.ICBU, "icbu:P1")
	if got := into[receiptAnswer](t, d.ask("", "GET", "/receipts/"+text, "")); got.Orders[0].State != stateReceived {
		t.Errorf("with PostgreSQL: %+v", got)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/receipts/" + text, "/api/orders/icbu:P1", "/api/dead-letters"} {
		if got := d.ask("vera", "GET", path, ""); verdictOf(got) != "503 unavailable" || !strings.Contains(got.body, "PostgreSQL") {
			t.Errorf("%s without PostgreSQL: %s", path, got.body)
		}
	}
}

func TestReceiptsWhileTheWorldIsAway(t *testing.T) {
	d := start(t)
	text, _ := d.push(order.ICBU, "icbu:P1")
	d.broker.Stop()
	if got := d.ask("", "GET", "/receipts/"+text, ""); verdictOf(got) != "503 unavailable" || got.header.Get("Retry-After") == "" {
		t.Errorf("without Kafka: %s", verdictOf(got))
	}
	d.await("red", func() bool { return d.ask("", "GET", "/readyz", "").status == http.StatusServiceUnavailable })
	if got := d.ask("", "GET", "/healthz", ""); got.status != http.StatusOK {
		t.Errorf("/healthz without Kafka: %d", got.status)
	}
}

// allPages are the keys of a search's orders, page by page.
func allPages(d *desk, address string) (keys []string) {
	d.t.Helper()
	for cursor := ""; ; {
		found := into[page[orderAnswer]](d.t, d.ask("vera", "GET", address+"&cursor="+cursor, ""))
		for _, o := range found.Items {
			keys = append(keys, string(o.OrderKey))
		}
		if found.Next == nil {
			return keys
		}
		if len(found.Items) == 0 || len(keys) > 1000 {
			d.t.Fatalf("a page that leads nowhere after %d orders", len(keys))
		}
		cursor = url.QueryEscape(*found.Next)
	}
}

// A number that more orders have than one answer holds finds them all, in parts.
func TestManyOrdersOfANumber(t *testing.T) {
	d := start(t)
	var facts []store.Fact
	for i := range 250 {
		facts = append(facts, validatedFact(order.Key(fmt.Sprintf("mall:S%03d:N7", i)), int64(i), "N7"))
	}
	d.apply(append(facts, validatedFact("N7", 999, "other"))...) // one is called so itself
	for _, limit := range []string{"", "&limit=500", "&limit=1"} {
		if keys := allPages(d, "/api/orders?number=N7"+limit); len(keys) != 251 || len(slices.Compact(keys)) != 251 {
			t.Errorf("limit %q: %d orders", limit, len(keys))
		}
	}
	b := d.browse("vera")
	first := b.get("/search?number=N7")
	first.shows(t, "Orders on this page: 100, and more", "cursor=")
	second := regexp.MustCompile(`/search\?cursor=[^"]+`).FindString(first.body)
	b.get(strings.ReplaceAll(second, "&amp;", "&")).shows(t, "mall:S100:N7", "cursor=")
}
