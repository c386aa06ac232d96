package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// gateway runs a stand-in of OKKI's gateway for one test.
func gateway(t *testing.T, serve http.HandlerFunc) func(*Settings) {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	return func(s *Settings) { s.OKKI.URL = server.URL + "/router/rest" }
}

// A price query goes to OKKI as it came and OKKI's own answer comes back; it is no order.
func TestPriceQueryPassesThrough(t *testing.T) {
	const query = `{"action":0,"ali_order_no":"P1","amount":"1.10","promotion_id":"7"}`
	const priced = `{"success":true,"resp_code":"0","amount":"28600.0","discount_information":"OMS优惠6000元"}`
	var asked string
	in := start(t, gateway(t, func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		asked = string(content)
		_, _ = io.WriteString(w, `{"qimen_alibaba_okki_customer_order_create_response":`+priced+`}`)
	}))
	for _, content := range []string{query, `{"action":"0"}`, `{"action":-0.0}`, `{"action":" 0"}`} {
		if a := in.pushICBU(jsonType, []byte(content)); a.status != http.StatusOK || a.body != priced || a.header.Get(headerReceipt) != "" {
			t.Errorf("%s: %d %s", content, a.status, a.body)
		}
		if asked != content {
			t.Errorf("OKKI was asked %s, want %s", asked, content)
		}
	}
	if all := in.broker.Read(event.Received(order.ICBU)); len(all) != 0 {
		t.Errorf("%d records of price queries", len(all))
	}
	if all := in.broker.Read(event.Quarantine); len(all) != 0 {
		t.Errorf("%d price queries in quarantine", len(all))
	}
}

// OKKI's refusal is an answer too; a gateway's failure is not.
func TestPriceQueryRefusedAndFailed(t *testing.T) {
	const refused = `{"success":false,"resp_code":"no-such-product"}`
	answer := refused
	in := start(t, gateway(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
	for _, c := range []struct{ okki, want string }{
		{refused, refused}, {`{"error_response":{"code":10}}`, icbuNoPrice}, {`not json`, icbuNoPrice},
	} {
		answer = c.okki
		if a := in.pushICBU(jsonType, []byte(`{"action":0}`)); a.status != http.StatusOK || a.body != c.want {
			t.Errorf("%s: %d %s, want %s", c.okki, a.status, a.body, c.want)
		}
	}
}

// A slow OKKI: the sender hears of it within 2 s, and orders are taken meanwhile, however many price queries wait.
func TestPriceQueryWhileOKKIIsSlow(t *testing.T) {
	release, asked := make(chan struct{}), make(chan struct{}, 100)
	in := start(t, gateway(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}), func(s *Settings) { s.Ingest.MaxInFlight = 16 })
	defer close(release)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			a := in.pushICBU(jsonType, []byte(`{"action":0}`))
			if a.status == http.StatusServiceUnavailable {
				return // beyond the slots
			}
			if a.body != icbuNoPrice {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	in.await("asked by as many as may wait", func() bool { return len(asked) >= 2 })
	if a := in.pushICBU(jsonType, []byte(`{"ali_order_no":"P1"}`)); a.status != http.StatusOK || a.header.Get(headerReceipt) == "" {
		t.Errorf("an order beside price queries: %d %s", a.status, a.body)
	}
	all.Wait()
	inTime(t, 2*time.Second, func() { in.pushICBU(jsonType, []byte(`{"action":0}`)) })
}

// inTime holds that an answer comes within a limit. A busy machine may be late, but not each time.
func inTime(t *testing.T, limit time.Duration, ask func()) {
	t.Helper()
	soonest := bustest.Patience
	for late := time.Now().Add(bustest.Patience); time.Now().Before(late); {
		begun := time.Now()
		ask()
		if soonest = min(soonest, time.Since(begun)); soonest <= limit {
			return
		}
	}
	t.Errorf("never answered within %s, the soonest was %s", limit, soonest)
}
