package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"orderflow/pkg/order"
	"orderflow/pkg/receipt"
)

// pushOf is the id of the push that a receipt is for.
func pushOf(t *testing.T, text string) string {
	t.Helper()
	r, err := receipt.Parse(receiptKeys(t), text)
	if err != nil {
		t.Fatal(err)
	}
	return r.PushID.String()
}

// Nobody learns anything from a receipt that is not theirs, and the console does not suffer by it.
func TestReceiptsThatAreNotOurs(t *testing.T) {
	d := start(t)
	good, records := d.push(order.ICBU, "icbu:P1")
	foreign, err := receipt.ParseKeys("2026=b3RoZXItb3RoZXItb3RoZXItb3RoZXI=") // the id of our key over another secret
	if err != nil {
		t.Fatal(err)
	}
	flip := func(n int) string {
		text := []byte(good)
		text[n] = map[bool]byte{true: 'A', false: 'B'}[text[n] != 'A']
		return string(text)
	}
	forged := map[string]string{
		"of a foreign key": receipt.Mint(foreign, receipt.Receipt{Source: order.ICBU, ReceivedAt: at, Records: records}),
		"cut":              good[:len(good)/2], "one character short": good[:len(good)-1], "one too many": good + "A", "padded": good + "==",
		"another first character": flip(0), "another push": flip(12), "another place": flip(len(good) - 26), "another sum": flip(len(good) - 4),
		"long": strings.Repeat("A", receipt.MaxText+1), "very long": strings.Repeat("A", 20<<10), "no text": "%FF%00", "a path": "..%2F..%2Fapi%2Faudit",
		"an order's number": "P1", "an order's key": "icbu:P1",
	}
	for name, text := range forged {
		for _, path := range []string{"/receipts/", "/api/receipts/"} {
			got := d.ask("vera", "GET", path+text, "")
			if verdictOf(got) != "404 not_found" || strings.Contains(got.body, "icbu") || len(text) > 8 && strings.Contains(got.body, text) {
				t.Errorf("%s%s: %d %s", path, name, got.status, got.body)
			}
		}
	}
	if got := d.ask("", "GET", "/receipts/"+strings.Repeat("A", 64<<10), ""); got.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("beyond what a header may hold: %d", got.status)
	}
	if got := d.ask("", "GET", "/receipts/"+good, ""); got.status != http.StatusOK {
		t.Errorf("the good one: %s", got.body)
	}
}

// A receipt outlives the topic that it names: whoever lies at its place now is nobody's business.
func TestReceiptOfAnotherLifeOfTheTopic(t *testing.T) {
	d := start(t)
	_, records := d.push(order.ICBU, "icbu:P1")
	id := receipt.NewPushID(at)
	gone := append(records, receipt.Record{Partition: records[0].Partition, Offset: 900})
	text := receipt.Mint(receiptKeys(t), receipt.Receipt{PushID: id, Source: order.ICBU, ReceivedAt: at, Records: gone})
	for i, r := range gone {
		fact := validatedFact(order.Key(fmt.Sprint("icbu:theirs", i)), r.Offset, "theirs")
		fact.Meta.ReceivedPartition, fact.Meta.PushID = r.Partition, receipt.NewPushID(at).String()
		d.apply(fact)
	}
	got := d.ask("", "GET", "/receipts/"+text, "")
	var want []receiptOrder // without a key, a code, or a time
	for _, r := range gone {
		want = append(want, receiptOrder{Revision: order.NewRevision(1, r.Offset), State: stateUnknown})
	}
	if orders := into[receiptAnswer](t, got).Orders; !slices.Equal(orders, want) {
		t.Errorf("answered %s", got.body)
	}
	if got := d.ask("vera", "GET", "/api/orders?number="+text, ""); strings.Contains(got.body, "theirs") {
		t.Errorf("orders by that receipt: %s", got.body)
	}
}

// A sender without a login learns why its order is parked, and no more.
func TestReceiptSaysWhyAnOrderIsParked(t *testing.T) {
	d := start(t)
	text, records := d.push(order.Mall, "mall:S1:1")
	fact := letterFact("mall:S1:1", records[0].Offset, "bad_amount", "/Dtls/0/Amount")
	fact.Meta.ReceivedPartition, fact.Meta.PushID = records[0].Partition, pushOf(t, text)
	d.apply(fact)
	want := fmt.Sprintf(`"orders":[{"order_key":"mall:S1:1","revision":%d,"state":"parked","code":"bad_amount"}]}`, fact.Meta.Revision)
	if got := d.ask("", "GET", "/receipts/"+text, ""); !strings.Contains(got.body, want) {
		t.Errorf("answered %s, want %s", got.body, want)
	}
}

// Whoever asks too often is told to wait, with or without a receipt; people with a login are not.
func TestReceiptsAreRateLimited(t *testing.T) {
	d := start(t)
	text := receipt.Mint(receiptKeys(t), receipt.Receipt{Source: order.Procurement, ReceivedAt: at, Quarantined: true})
	limited := make(chan said, 50)
	var enough atomic.Bool
	var flood sync.WaitGroup
	for range cap(limited) { // one after the other, a busy machine asks more slowly than it may
		flood.Go(func() {
			for asked := 0; !enough.Load() && asked < 100*receiptBurst; asked++ {
				if got := d.ask("", "GET", "/receipts/x", ""); got.status != http.StatusNotFound {
					enough.Store(true)
					limited <- got
				}
			}
		})
	}
	flood.Wait()
	close(limited)
	if !enough.Load() {
		t.Fatal("nobody was told to wait")
	}
	for got := range limited {
		if verdictOf(got) != "429 rate_limited" || got.header.Get("Retry-After") == "" {
			t.Fatalf("at last: %d %s", got.status, got.body)
		}
	}
	if got := d.ask("vera", "GET", "/api/receipts/"+text, ""); got.status != http.StatusOK {
		t.Errorf("with a login: %s", verdictOf(got))
	}
	d.await("let in again", func() bool { return d.ask("", "GET", "/receipts/"+text, "").status == http.StatusOK })
}

// A procurement push that was no order is told so, by its receipt, however it is asked for.
func TestReceiptOfAQuarantinedPush(t *testing.T) {
	d := start(t)
	text := receipt.Mint(receiptKeys(t), receipt.Receipt{
		PushID: receipt.NewPushID(at), Source: order.Procurement, ReceivedAt: at, Quarantined: true, Records: []receipt.Record{{Partition: 0, Offset: 1 << 40}},
	})
	for _, who := range []string{"", "vera"} {
		got := into[receiptAnswer](t, d.ask(who, "GET", "/receipts/"+text, ""))
		if !got.Quarantined || got.Orders == nil || len(got.Orders) != 0 {
			t.Errorf("answered %+v", got)
		}
	}
	if got := into[page[orderAnswer]](t, d.ask("vera", "GET", "/api/orders?number="+text, "")); got.Items == nil || len(got.Items) != 0 {
		t.Errorf("its orders: %+v", got)
	}
}
