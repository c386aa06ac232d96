package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/event"
)

// refuse writes requests as ingest refuses them.
func (d *desk) refuse(n int) {
	var messages []event.Message
	for i := range n {
		m := event.New(event.Quarantine, "ingest", event.Meta{PushID: fmt.Sprint("push-", i), Digest: "9f2c"}, time.Now(), "application/json", []byte(`{"phone":"13800138000","name":"王小明"`))
		m.Key = "mall"
		m.SetHeader("quarantine-cause", "bad_json")
		m.SetHeader("quarantine-remote", "203.0.113.0/24")
		if i > 0 {
			m.SetHeader("quarantine-length", "41")
		}
		messages = append(messages, m)
	}
	d.broker.Produce(messages...)
}

// A batch of refused requests has one time, and 10 is newer than 9.
func TestRefusedInOneBatchAreListedTheNewestFirst(t *testing.T) {
	d := start(t)
	d.refuse(12)
	var ids []string
	for _, a := range into[page[refusedAnswer]](t, d.ask("vera", "GET", "/api/quarantine", "")).Items {
		ids = append(ids, a.PushID)
	}
	var want []string
	for i := range 12 {
		want = append(want, fmt.Sprint("push-", 11-i))
	}
	if !slices.Equal(ids, want) {
		t.Errorf("listed %v", ids)
	}
}

func TestQuarantinePages(t *testing.T) {
	d := start(t)
	b := d.browse("vera")
	b.get("/quarantine").shows(t, "Nothing was refused")
	d.refuse(3)
	list := into[page[refusedAnswer]](t, d.ask("vera", "GET", "/api/quarantine", ""))
	if len(list.Items) != 3 || list.Next != nil || list.Items[0].PushID != "push-2" || list.Items[2].Bytes != nil || *list.Items[0].Bytes != 41 || list.Items[0].Shape != "" {
		t.Fatalf("listed %+v", list)
	}
	if two := into[page[refusedAnswer]](t, d.ask("vera", "GET", "/api/quarantine?limit=2", "")); len(two.Items) != 2 || two.Items[0] != list.Items[0] && two.Items[0].Number != list.Items[0].Number {
		t.Errorf("two of them %+v", two)
	}
	one := into[refusedAnswer](t, d.ask("vera", "GET", "/api/quarantine/"+list.Items[0].Number, ""))
	if one.Shape != `{"xxxxx":"00000000000","xxxx":"xxx"` || one.Cause != "bad_json" || one.Source != "mall" || one.From != "203.0.113.0/24" || one.Digest != "9f2c" {
		t.Errorf("one %+v", one)
	}
	b.get("/quarantine").shows(t, `href="/quarantine/`+one.Number+`"`, "bad_json", "203.0.113.0/24", ">41<")
	page := b.get("/quarantine/" + one.Number)
	page.shows(t, "{&#34;xxxxx&#34;:&#34;00000000000&#34;", "What to do:", "push-2")
	for _, secret := range []string{"138", "王"} {
		if strings.Contains(page.body, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	for path, want := range map[string]string{
		"/api/quarantine/0/999999": "404 not_found", "/api/quarantine/-1/0": "404 not_found", "/api/quarantine/x/0": "404 not_found", "/api/quarantine/0/9999999999999999999": "404 not_found",
		"/api/quarantine?limit=0": "400 bad_parameter", "/api/quarantine?colour=red": "400 unknown_parameter",
	} {
		if got := verdictOf(d.ask("vera", "GET", path, "")); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := verdictOf(d.ask("", "GET", "/api/quarantine", "")); got != "401 unauthorized" {
		t.Errorf("a stranger: %s", got)
	}
}
