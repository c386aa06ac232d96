package main

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestBalance(t *testing.T) {
	const from = "2026-01-02T00%3A00%3A00Z"
	asked := script{
		"GET /api/balance?from=" + from + "&limit=500&to=2026-01-03T00%3A00%3A00Z": {`{"items":[
			{"source":"mall","hour":"2026-01-02T03:00:00Z","state":"closed","received":9,"refused":1,"published":8,"delivered":7,"parked":1,"missing_count":1,"faults":3,"accepted":1,"balanced":false,"checked_at":"2026-01-02T05:00:00Z",
				"missing":[{"order_key":"mall:S:1","partition":2,"offset":8,"fault":"no_row"},{"order_key":"","partition":2,"offset":9,"fault":"two_rows"},{"order_key":"mall:S:X","partition":-1,"offset":7,"fault":"stray_order"}],"waiting":[],
				"accepted_differences":[{"order_key":"mall:S:2","partition":2,"offset":7,"fault":"published_twice","by":"anna","reason":"seen","at":"2026-01-02T05:00:00Z"}]},
			{"source":"icbu","hour":"2026-01-02T03:00:00Z","state":"frozen","received":1,"open":1,"balanced":true,"missing":[],"waiting":[{"order_key":"icbu:P1","partition":0,"offset":4,"fault":"open"}]}],"next":null}`},
		"GET /api/balance?from=" + from + "&limit=500&source=mall": {`{"items":[{"source":"mall","hour":"2026-01-02T03:00:00Z","state":"closed","received":9,"delivered":9,"balanced":true,"complete":true,"accepted":2}],"next":null}`},
		"GET /api/balance?from=" + from + "&limit=500&source=icbu": {`{"items":[],"next":null}`},
	}.start(t)
	out, err := orderctl(t, "balance", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-03T00:00:00Z")
	if !errors.Is(err, errRefused) {
		t.Errorf("an hour that does not balance: %v", err)
	}
	for _, want := range []string{
		"DOES NOT BALANCE", "mall:S:1  mall.received.v1/2/8", "PostgreSQL has no row", "orderctl balance restore KEY", "MISSING", "mall:S:X\n", "mall:S:2  mall.received.v1/2/7", "accepted by anna", ": seen", "(order not known any more)  mall.received.v1/2/9",
		"not closed", "icbu:P1  icbu.received.v1/0/4", "RECEIVED",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours where nobody sees them")
	}
	out, err = orderctl(t, "balance", "--from", "2026-01-02T00:00:00Z", "--source", "mall")
	if err != nil || !strings.Contains(out, "complete, 2 accepted") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = orderctl(t, "balance", "--from", "2026-01-02T00:00:00Z", "--source", "mall", "--json"); err != nil || !strings.HasPrefix(out, `{"items":[`) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = orderctl(t, "balance", "--from", "2026-01-02T00:00:00Z", "--source", "icbu"); err != nil || !strings.Contains(out, "next: see that the service balance runs") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err = orderctl(t, "balance", "--from", "yesterday"); err == nil || !strings.Contains(err.Error(), "--from") {
		t.Errorf("an odd day: %v", err)
	}
	for flag, args := range map[string][]string{
		"--source: not one of icbu, procurement, mall": {"balance", "--source", "foo"},
		"--from: not before --to":                      {"balance", "--from", "2026-01-03", "--to", "2026-01-01"},
	} {
		if _, err := orderctl(t, args...); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if len(*asked) != 4 {
		t.Errorf("asked %v", *asked)
	}
}

// Days are those of the machine's zone; a last day is the whole day.
func TestBalanceDays(t *testing.T) {
	zone := time.FixedZone("CST", 8*3600)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, zone)
	for _, c := range []struct {
		from, to string
		want     url.Values
	}{
		{"", "", url.Values{"from": {"2026-01-01T16:00:00Z"}}},
		{"2026-01-01", "", url.Values{"from": {"2025-12-31T16:00:00Z"}}},
		{"", "2026-01-01", url.Values{"from": {"2025-12-31T16:00:00Z"}, "to": {"2026-01-01T16:00:00Z"}}},
		{"2025-12-30", "2025-12-31T00:00:00Z", url.Values{"from": {"2025-12-29T16:00:00Z"}, "to": {"2025-12-31T00:00:00Z"}}},
	} {
		if got, err := balanceQuery("", c.from, c.to, now); err != nil || got.Encode() != c.want.Encode() {
			t.Errorf("%s to %s: %v %v", c.from, c.to, got, err)
		}
	}
}

func TestBalanceAccept(t *testing.T) {
	asked := script{
		"POST /api/balance/accept": {`{"items":[{"source":"mall","hour":"2026-01-02T03:00:00Z","order_key":"mall:S:1","partition":2,"offset":8,"fault":"published_twice"}],"next":null}`},
	}.start(t)
	out, err := orderctl(t, "balance", "accept", "mall.received.v1/2/8", "--reason", "seen")
	if err != nil || !strings.Contains(out, "accepted: mall:S:1") || !strings.Contains(out, "more than once") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, place := range []string{"mall/2/8", "mall.received.v1/2", "mall.received.v1/-1/8", "mall.received.v1/2/x", "mall.received.v1/2/8/9", "mall:S:1"} {
		if _, err := orderctl(t, "balance", "accept", "--reason", "r", "--", place); err == nil || !strings.Contains(err.Error(), "PLACE") {
			t.Errorf("%s: %v", place, err)
		}
	}
	if len(*asked) != 1 {
		t.Errorf("asked %v", *asked)
	}
}
