package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// letterFact is the fact that validate parked an order.
func letterFact(key order.Key, offset int64, code, path string) store.Fact {
	m := metaOf(key, offset)
	failed := at.Add(time.Duration(offset) * time.Minute)
	l := deadletter.Letter{
		Origin: event.Message{Topic: event.Received(key.Source()), Partition: 2, Offset: offset, Key: string(key), Value: []byte(`{"RecvMobile":"13800138000"}`)},
		Stage:  "validate", Code: code, Path: path, Class: "permanent", Message: "a rule", Attempts: 1, First: failed, Last: failed,
	}
	record := deadletter.Wrap(l)
	record.Partition, record.Offset = 2, 10*offset
	return store.Fact{Meta: m, Service: "validate", Letter: &store.Letter{Letter: l, Record: record, Excerpt: store.Excerpt{OrderNo: "1", Shop: "S1"}}}
}

func parked(d *desk, n int) {
	for i := range n {
		d.apply(letterFact(order.Key(fmt.Sprintf("mall:S1:%d", i)), int64(i+1), "bad_amount", fmt.Sprintf("/Dtls/%d/Amount", i)))
	}
}

func TestDeadLetters(t *testing.T) {
	d := start(t)
	parked(d, 7)
	d.apply(letterFact("icbu:P1", 99, "too_long", "/amount"))

	var keys []string
	address := "/api/dead-letters?source=mall&limit=3"
	for pages, cursor := 1, ""; ; pages++ {
		p := into[page[letterAnswer]](t, d.ask("vera", "GET", address+cursor, ""))
		for _, l := range p.Items {
			keys = append(keys, string(l.OrderKey))
		}
		if p.Next == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		cursor = "&cursor=" + *p.Next
	}
	if want := []string{"mall:S1:6", "mall:S1:5", "mall:S1:4", "mall:S1:3", "mall:S1:2", "mall:S1:1", "mall:S1:0"}; !slices.Equal(keys, want) {
		t.Errorf("listed %v", keys)
	}
	groups := into[page[groupAnswer]](t, d.ask("vera", "GET", "/api/dead-letters/groups", ""))
	if len(groups.Items) != 2 || groups.Items[0].Path != "/Dtls/*/Amount" || groups.Items[0].Count != 7 || groups.Items[1].Code != "too_long" {
		t.Errorf("groups %+v", groups.Items)
	}
	byGroup := into[page[letterAnswer]](t, d.ask("vera", "GET", "/api/dead-letters?path=/Dtls/*/Amount&code=bad_amount", ""))
	if len(byGroup.Items) != 7 {
		t.Errorf("a group's letters: %d", len(byGroup.Items))
	}
	one := into[wholeLetter](t, d.ask("vera", "GET", fmt.Sprint("/api/dead-letters/", groups.Items[1].Example), ""))
	if one.OrderKey != "icbu:P1" || one.Code != "too_long" || one.State != store.LetterOpen || one.Replays == nil || one.Total != nil {
		t.Errorf("a letter %+v", one)
	}
	for path, want := range map[string]string{
		"/api/dead-letters/999":             "404 not_found",
		"/api/dead-letters/-1":              "404 not_found",
		"/api/dead-letters/x":               "404 not_found",
		"/api/dead-letters?colour=red":      "400 unknown_parameter",
		"/api/dead-letters?since=yesterday": "400 bad_parameter",
		"/api/dead-letters?cursor=x":        "400 bad_parameter",
		"/api/dead-letters?limit=0":         "400 bad_parameter",
		"/api/dead-letters?limit=501":       "400 bad_parameter",
		"/api/dead-letters/groups?cursor=x": "400 unknown_parameter",
		"/api/replays?state=open":           "400 unknown_parameter",
		"/api/replays?cursor=zz":            "400 bad_parameter",
		"/api/replays/7":                    "404 not_found",
		"/api/replays/7/letters":            "404 not_found",
		"/api/audit?who=anna":               "400 unknown_parameter",
	} {
		if got := d.ask("vera", "GET", path, ""); verdictOf(got) != want {
			t.Errorf("%s: %s, want %s", path, verdictOf(got), want)
		}
	}
	for _, path := range []string{"/api/dead-letters", "/api/dead-letters/1"} {
		if body := d.ask("vera", "GET", path, "").body; strings.Contains(body, "13800138000") {
			t.Errorf("%s shows a person: %s", path, body)
		}
	}
}

func TestDiscard(t *testing.T) {
	d := start(t)
	parked(d, 2)
	for body, want := range map[string]string{
		"":                           "400 bad_parameter",
		`{"reason":" "}`:             "400 bad_parameter",
		`{"reason":"a\u001b[2Jb"}`:   "400 bad_parameter",
		`{"reason":"a\u009b2Jb"}`:    "400 bad_parameter",
		`{"reason":"a\u202eb"}`:      "400 bad_parameter",
		`{"reason":"a\nb"}`:          "400 bad_parameter",
		`{"reason":"x","by":"vera"}`: "400 bad_body",
		`{"reason":7}`:               "400 bad_body",
		`{"reason":"` + strings.Repeat("x", 2000) + `"}`:    "400 bad_parameter",
		`{"reason":"` + strings.Repeat("x", maxBody) + `"}`: "413 too_large",
	} {
		if got := d.ask("olga", "POST", "/api/dead-letters/1/discard", body); verdictOf(got) != want {
			t.Errorf("%.40s: %s, want %s", body, verdictOf(got), want)
		}
	}
	if got := d.ask("olga", "POST", "/api/dead-letters/9/discard", `{"reason":"x"}`); verdictOf(got) != "404 not_found" {
		t.Errorf("no such letter: %s", verdictOf(got))
	}
	got := into[wholeLetter](t, d.ask("olga", "POST", "/api/dead-letters/1/discard", `{"reason":" a test order "}`))
	if got.State != store.LetterDiscarded || got.DiscardedBy != "olga" || got.DiscardReason != "a test order" {
		t.Errorf("discarded: %+v", got)
	}
	if got := d.ask("olga", "POST", "/api/dead-letters/1/discard", `{"reason":"again"}`); verdictOf(got) != "409 settled" {
		t.Errorf("once more: %s", verdictOf(got))
	}
	if o := into[orderAnswer](t, d.ask("vera", "GET", "/api/orders/mall:S1:0", "")); o.State != store.StateDiscarded {
		t.Errorf("the order: %+v", o)
	}
	// A viewer tries, and that is kept.
	for _, path := range []string{"/api/dead-letters/2/discard", "/api/replays", "/api/replays/1/cancel"} {
		if got := d.ask("vera", "POST", path, `{"reason":"x"}`); verdictOf(got) != "403 forbidden" {
			t.Errorf("%s by a viewer: %s", path, verdictOf(got))
		}
	}
	if got := d.ask("olga", "POST", "/api/replays/1/approve", ""); verdictOf(got) != "403 forbidden" {
		t.Errorf("approval by an operator: %s", verdictOf(got))
	}
	var lines []string
	for _, e := range into[page[auditAnswer]](t, d.ask("vera", "GET", "/api/audit", "")).Items {
		lines = append(lines, strings.Join([]string{e.Who, e.Action, e.Object, e.Reason}, "|"))
	}
	want := []string{
		"olga|refused|POST /api/replays/1/approve|needs approver, is operator", "vera|refused|POST /api/replays/1/cancel|needs operator, is viewer",
		"vera|refused|POST /api/replays|needs operator, is viewer", "vera|refused|POST /api/dead-letters/2/discard|needs operator, is viewer",
		"olga|discard|letter 1|a test order",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("audit\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// The job runs through Kafka here; what becomes of its letters is the engine's own test.
func TestReplays(t *testing.T) {
	d := start(t, func(s *settings) { s.Console.ApprovalSize = 3 })
	parked(d, 5)
	for body, want := range map[string]string{
		``:                             "400 bad_parameter",
		`{"dry_run":true}`:             "400 bad_parameter",
		`{"filter":{"code":""}}`:       "400 bad_parameter",
		`{"filter":{"ids":[]}}`:        "400 bad_parameter",
		`{"filter":{"ids":null}}`:      "400 bad_parameter",
		`{"filter":{"ids":","}}`:       "400 bad_parameter",
		`{"filter":{"colour":"red"}}`:  "400 unknown_parameter",
		`{"filter":{"since":"x"}}`:     "400 bad_parameter",
		`{"filter":{},"rate":-1}`:      "400 bad_parameter",
		`{"filter":{},"rate":1000000}`: "400 bad_parameter",
		`{"filter":{},"speed":1}`:      "400 bad_body",
		`{"filter":{"q":"a","q":"b"}}`: "400 bad_body",
		`[]`:                           "400 bad_body",
		`{"filter":`:                   "400 bad_body",
	} {
		if got := d.ask("olga", "POST", "/api/replays", body); verdictOf(got) != want {
			t.Errorf("%s: %s, want %s", body, verdictOf(got), want)
		}
	}
	large := into[jobAnswer](t, d.ask("anna", "POST", "/api/replays", `{"filter":{"service":"validate"},"rate":1000,"reason":"the mapping is mended"}`))
	if large.State != store.JobWaitingApproval || large.Selected != 5 || large.By != "anna" || large.Rate != 1000 || large.Filter.Service != "validate" || !large.Balanced {
		t.Errorf("a large job: %+v", large)
	}
	address := fmt.Sprint("/api/replays/", large.ID)
	if got := d.ask("anna", "POST", address+"/approve", ""); verdictOf(got) != "403 own_job" {
		t.Errorf("approved by its author: %s", verdictOf(got))
	}
	if got := d.ask("olga", "POST", address+"/pause", ""); verdictOf(got) != "409 wrong_state" || !strings.Contains(got.body, "waiting_approval") {
		t.Errorf("pause: %s %s", verdictOf(got), got.body)
	}
	items := into[page[itemAnswer]](t, d.ask("vera", "GET", address+"/letters?result=selected&limit=2", ""))
	if len(items.Items) != 2 || items.Next == nil || items.Items[0].OrderKey != "mall:S1:0" {
		t.Errorf("its letters: %+v", items)
	}
	if got := d.ask("vera", "GET", address+"/letters?result=none", ""); verdictOf(got) != "400 bad_parameter" {
		t.Errorf("a result that is none: %s", verdictOf(got))
	}
	if got := into[jobAnswer](t, d.ask("olga", "POST", address+"/cancel", `{"reason":"too many"}`)); got.State != store.JobCancelled || got.Skipped != 5 || !got.Balanced {
		t.Errorf("cancelled: %+v", got)
	}
	if got := d.ask("vera", "POST", "/api/replays", `{"filter":{}}`); got.status != http.StatusForbidden {
		t.Errorf("by a viewer: %d", got.status)
	}
	none := into[jobAnswer](t, d.ask("olga", "POST", "/api/replays", `{"filter":{"code":"none"}}`))
	if none.State != store.JobDone || none.Selected != 0 {
		t.Errorf("a job of nothing: %+v", none)
	}
	small := into[jobAnswer](t, d.ask("olga", "POST", "/api/replays", `{"filter":{"ids":[1,"2"]}}`))
	if small.Selected != 2 || small.State == store.JobWaitingApproval {
		t.Errorf("a small job: %+v", small)
	}
	d.await("sent", func() bool {
		return into[jobAnswer](t, d.ask("vera", "GET", fmt.Sprint("/api/replays/", small.ID), "")).Sent == 2
	})
	into[jobAnswer](t, d.ask("olga", "POST", fmt.Sprint("/api/replays/", small.ID, "/pause"), `{"reason":"lunch, back at two"}`))
	if got := d.ask("vera", "GET", "/api/audit", ""); !strings.Contains(got.body, `"pause"`) || !strings.Contains(got.body, "lunch, back at two") {
		t.Errorf("the audit of a pause: %s", got.body)
	}
	jobs := into[page[jobAnswer]](t, d.ask("vera", "GET", "/api/replays?limit=2", ""))
	if len(jobs.Items) != 2 || jobs.Items[0].ID != small.ID || jobs.Next == nil {
		t.Errorf("jobs: %+v", jobs)
	}
}
