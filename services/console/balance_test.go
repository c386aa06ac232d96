package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// counted stores an hour as the balance process does.
func (d *desk) counted(source order.Source, hour time.Time, state store.HourState, tally store.Tally, faults ...store.FaultyOffset) {
	d.t.Helper()
	h := store.BalanceHour{Source: source, Hour: hour, Generation: 1, State: state, Ranges: []store.OffsetRange{{Partition: 2, First: 7, End: 7 + tally.Received}}}
	err := d.store.SaveRanges(d.t.Context(), []store.BalanceHour{h})
	if err == nil {
		h.Tally = tally
		err = d.store.SaveTally(d.t.Context(), &h, faults)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

const balanceJSON = `{"items":[{"source":"mall","hour":"2026-01-02T03:00:00Z","state":"closed","received":9,"refused":1,"validated":8,"published":8,"delivered":5,` +
	`"persisted":0,"duplicate":1,"superseded":1,"parked":1,"discarded":0,"open":0,"missing_count":1,"faults":2,"accepted":0,"balanced":false,"complete":false,"revision":0,` +
	`"sums":[{"currency":"CNY","records":8,"total":"80.40"}],"checked_at":"T",` +
	`"missing":[{"order_key":"mall:S:1","partition":2,"offset":8,"fault":"no_row"},{"order_key":"mall:S:2","partition":2,"offset":9,"fault":"two_rows"}],` +
	`"waiting":[{"order_key":"","partition":2,"offset":10,"fault":"open"}],"accepted_differences":[]}],"next":null}`

var badTally = store.Tally{
	Received: 9, Refused: 1, Validated: 8, Published: 8, Delivered: 5, Duplicate: 1, Superseded: 1, Parked: 1, Missing: 1, Faults: 2,
	Sums: []store.Sum{{Currency: "CNY", Records: 8, Total: "80.40"}},
}

func TestBalanceAPI(t *testing.T) {
	d := start(t)
	hour := at.Truncate(time.Hour)
	d.counted(order.Mall, hour, store.HourClosed, badTally, store.FaultyOffset{Partition: 2, Offset: 8, Fault: store.NoRow, OrderKey: "mall:S:1"},
		store.FaultyOffset{Partition: 2, Offset: 9, Fault: store.TwoRows, OrderKey: "mall:S:2"}, store.FaultyOffset{Partition: 2, Offset: 10, Fault: store.StillOpen})
	got := d.ask("vera", "GET", "/api/balance?source=mall&from=2026-01-02&to=2026-01-02", "")
	item := into[page[hourAnswer]](t, got).Items[0]
	if text := replaceOnce(got.body, item.CheckedAt.Format(time.RFC3339Nano), "T"); text != balanceJSON+"\n" {
		t.Errorf("got  %s\nwant %s", text, balanceJSON)
	}
	d.counted(order.ICBU, hour.Add(time.Hour), store.HourClosed, store.Tally{})
	now := time.Now().UTC().Truncate(time.Hour)
	d.counted(order.ICBU, now, store.HourOpen, store.Tally{Received: 1, Open: 1})
	for query, want := range map[string]string{
		"":             "icbu" + now.Format("15"), // the last day
		"?source=mall": "",
		"?from=2026-01-01&to=2026-01-02T03:00:00Z":           "",
		"?from=2026-01-02T03:00:00Z&to=2026-01-02T05:00:00Z": "icbu04 mall03",
		"?from=2026-01-02T12:00:00%2B08:00&to=2026-01-02":    "icbu04",
		"?to=2026-01-02":                         "icbu04 mall03",
		"?from=2026-01-02&to=2026-01-02&limit=1": "icbu04",
	} {
		var seen []string
		found := into[page[hourAnswer]](t, d.ask("vera", "GET", "/api/balance"+query, ""))
		for _, item := range found.Items {
			seen = append(seen, string(item.Source)+item.Hour.Format("15"))
		}
		if strings.Join(seen, " ") != want {
			t.Errorf("%s: %v, wanted %s", query, seen, want)
		}
		if strings.Contains(query, "limit=1") {
			rest := into[page[hourAnswer]](t, d.ask("vera", "GET", "/api/balance"+query+"&cursor="+*found.Next, ""))
			if len(rest.Items) != 1 || rest.Items[0].Source != order.Mall || rest.Next != nil {
				t.Errorf("behind the first page: %+v", rest)
			}
		}
	}
	for query, want := range map[string]string{
		"?source=x": "source: not one of icbu, procurement, mall", "?from=2026-01-03&to=2026-01-01": "from: not before to",
		"?from=2026-01-02T03:00:00Z&to=2026-01-02T03:00:00Z": "from: not before to",
	} {
		if got := d.ask("vera", "GET", "/api/balance"+query, ""); got.status != http.StatusBadRequest || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
	for _, query := range []string{"?source=x", "?from=yesterday", "?to=1", "?from=2026-01-02&from=2026-01-03", "?hours=1", "?cursor=x", "?limit=0"} {
		if got := d.ask("vera", "GET", "/api/balance"+query, ""); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
	if got := d.ask("", "GET", "/api/balance", ""); got.status != http.StatusUnauthorized {
		t.Errorf("without a login: %d", got.status)
	}
}

// The board of a day, and the page of an hour behind each of its cells, by plain links.
func TestBalancePages(t *testing.T) {
	d := start(t)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	hour := today.Add(-20 * time.Hour)
	d.counted(order.Mall, hour, store.HourClosed, badTally, store.FaultyOffset{Partition: 2, Offset: 8, Fault: store.NoRow, OrderKey: "mall:S:1"},
		store.FaultyOffset{Partition: 2, Offset: 10, Fault: store.StillOpen})
	d.counted(order.ICBU, hour, store.HourFrozen, store.Tally{Received: 2, Delivered: 1, Open: 1})
	d.counted(order.Procurement, hour, store.HourClosed, store.Tally{Received: 1234, Persisted: 1234})
	d.counted(order.Procurement, hour.Add(time.Hour), store.HourClosed, store.Tally{})
	vera := d.browse("vera")
	for _, l := range languages {
		vera.post("/language", url.Values{"language": {string(l)}, "next": {"/"}})
		seen := walk(t, vera, l)
		board := "/balance?day=" + hour.Format(time.DateOnly)
		for _, want := range []string{"/balance", board, "/balance/hour", "/search?number=mall%3AS%3A1"} {
			if !seen[want] {
				t.Errorf("%s is reached by no link", want)
			}
		}
		if text := vera.get("/").body; !strings.Contains(text, texts[l]["wrong.hours"]) {
			t.Errorf("the overview in %s is silent about hours that do not balance", l)
		}
		text := vera.get(board).body
		for _, want := range []string{
			`class="state bad"`, `class="state good"`, `class="state warn"`, `class="state quiet"`, fmt.Sprintf(texts[l]["balance.received"], "1,234"),
			fmt.Sprintf(texts[l]["balance.faults"], "2"), texts[l]["balance.unknown"], `data-label="` + texts[l]["source.mall"],
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the board in %s lacks %s", l, want)
			}
		}
		one := vera.get("/balance/hour?source=mall&hour=" + hour.Format(time.RFC3339)).body
		for _, want := range []string{"2/8", "2/10", texts[l]["fault.no_row"], `href="/search?number=mall%3AS%3A1"`, "80.40", texts[l]["balance.next"][:20]} {
			if !strings.Contains(one, want) {
				t.Errorf("the hour in %s lacks %s", l, want)
			}
		}
	}
	for _, odd := range []string{"/balance?day=x", "/balance/hour?source=x&hour=2026-01-01T00:00:00Z", "/balance/hour?source=mall&hour=2020-01-01T00:00:00Z", "/balance/hour"} {
		if got := vera.get(odd); got.status != http.StatusNotFound && got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", odd, got.status)
		}
	}
	d.counted(order.Mall, time.Now().UTC().Truncate(time.Hour), store.HourOpen, store.Tally{Received: 1, Open: 1})
	if text := vera.get("/balance").body; !strings.Contains(text, `hx-trigger="every 3s"`) || strings.Contains(text, texts[chinese]["balance.stale"]) {
		t.Error("today's board is not alive, or is called stale")
	}
}

// What an approver accepts is no fault of its hour any more, once it is counted again; the audit, the API and the page tell who
// did it and why.
func TestADifferenceIsAccepted(t *testing.T) {
	d := start(t)
	hour := time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	twice := store.FaultyOffset{Partition: 2, Offset: 8, Fault: store.PublishedTwice, OrderKey: "mall:S:1"}
	count := func(tally store.Tally) {
		d.counted(order.Mall, hour, store.HourFrozen, tally, twice, store.FaultyOffset{Partition: 2, Offset: 9, Fault: store.StillOpen},
			store.FaultyOffset{Partition: store.NoPartition, Offset: 9, Fault: store.StrayOrder, OrderKey: "mall:S:X"})
	}
	count(store.Tally{Received: 3, Delivered: 2, Open: 1, Faults: 2})
	const body = `{"source":"mall","partition":2,"offset":8,"reason":"seen by both teams"}`
	for _, c := range []struct {
		who, body string
		status    int
		code      string
	}{
		{"olga", body, http.StatusForbidden, "forbidden"},
		{"anna", `{"source":"mall","partition":2,"offset":8,"reason":" "}`, http.StatusBadRequest, "bad_parameter"},
		{"anna", `{"source":"x","partition":2,"offset":8,"reason":"r"}`, http.StatusBadRequest, "bad_parameter"},
		{"anna", `{"source":"icbu","partition":2,"offset":8,"reason":"r"}`, http.StatusNotFound, "no_difference"},
		{"anna", `{"source":"mall","partition":2,"offset":9,"reason":"open ones are none"}`, http.StatusNotFound, "no_difference"},
		{"anna", `{"source":"mall","partition":-1,"offset":9,"reason":"to be removed"}`, http.StatusNotFound, "no_difference"},
		{"anna", body, http.StatusOK, ""},
		{"anna", body, http.StatusNotFound, "no_difference"},
	} {
		if got := d.ask(c.who, "POST", "/api/balance/accept", c.body); got.status != c.status || c.code != "" && got.code() != c.code {
			t.Errorf("%s %s: %d %s", c.who, c.body, got.status, got.body)
		}
	}
	count(store.Tally{Received: 3, Delivered: 2, Open: 1, Faults: 1, Accepted: 1})
	item := into[page[hourAnswer]](t, d.ask("vera", "GET", "/api/balance?source=mall", "")).Items[0]
	if len(item.Waived) != 1 || item.Waived[0].By != "anna" || item.Waived[0].Reason != "seen by both teams" || item.Waived[0].Fault != store.PublishedTwice ||
		item.Accepted != 1 || len(item.Missing) != 1 || item.Missing[0].Fault != store.StrayOrder || len(item.Waiting) != 1 {
		t.Errorf("%+v", item)
	}
	if text := d.ask("vera", "GET", "/api/audit", "").body; !strings.Contains(text, "published_twice at mall/2/8 of mall:S:1") {
		t.Errorf("the audit: %s", text)
	}
	vera := d.browse("vera")
	for _, l := range languages {
		vera.post("/language", url.Values{"language": {string(l)}, "next": {"/"}})
		text := vera.get("/balance/hour?source=mall&hour=" + hour.Format(time.RFC3339)).body
		for _, want := range []string{texts[l]["balance.accepted_differences"], "seen by both teams", "anna", texts[l]["fault.stray_order"], texts[l]["balance.no_record"]} {
			if !strings.Contains(text, want) {
				t.Errorf("the page in %s lacks %q", l, want)
			}
		}
	}
}
