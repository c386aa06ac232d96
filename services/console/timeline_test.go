package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// told is a step as one line: its revision's offset, its name, and the fields that only some steps have.
func told(t *testing.T, s step) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprint(s.Revision.Offset(), " ", s.Step)
	for _, name := range []string{
		"code", "detail", "topic", "partition", "offset", "other_revision", "attempt", "outcome", "took_ms", "letter", "letter_state", "path",
		"job", "result", "by", "reason",
	} {
		if value, given := all[name]; given && value != "" {
			line += fmt.Sprintf(" %s=%v", name, value)
		}
	}
	return line
}

// eventful is a desk with the order icbu:P1, to whose revisions 7, 8 and 9 most of what there is happened.
func eventful(t *testing.T) (d *desk, newer order.Revision) {
	t.Helper()
	d = start(t)
	const key = order.Key("icbu:P1")
	old := metaOf(key, 7).Revision
	newer = metaOf(key, 8).Revision
	d.apply(validatedFact(key, 7, "P1"))
	ledger := d.store.Ledger("okki", "okkisync", "a")
	call := func(revision order.Revision, ending store.Ending, code string) {
		t.Helper()
		grants, err := ledger.Claim(t.Context(), []store.Intent{{OrderKey: key, Revision: revision, Digest: fmt.Sprint(revision), Total: "1"}})
		if err != nil || grants[0].Verdict != store.Call {
			t.Fatalf("claim: %+v %v", grants, err)
		}
		_, err = ledger.Settle(t.Context(), []store.Settlement{{
			OrderKey: key, Revision: revision, Attempt: grants[0].Attempt, Ending: ending, Code: code, Took: 31 * time.Millisecond, Request: []byte("sealed"),
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	call(old, store.Unknown, "timeout")
	call(old, store.Refused, "isv.bad")
	rejected := letterFact(key, 7, "partner_rejected", "")
	rejected.Service, rejected.Letter.Stage, rejected.Letter.Detail = "okkisync", "okkisync", "isv.bad"
	rejected.Letter.Origin.Topic = event.Validated(order.ICBU)
	d.apply(rejected, validatedFact(key, 8, "P1"))
	call(newer, store.Delivered, "0")
	delivered := deliveredFact(key, 8)
	superseded := deliveredFact(key, 7)
	superseded.Meta.ReplayJob, superseded.Delivery.Outcome, superseded.Delivery.Other = "1", event.Superseded, newer
	d.apply(delivered, superseded, letterFact(key, 9, "bad_amount", "/amount"))
	pgtest.Rows(t, d.url, `insert into replay_jobs (state, filter, dry_run, rate, reason, created_by) values
		('done', '{}', false, 0, '', 'anna'), ('done', '{}', true, 0, '', 'olga'), ('done', '{}', false, 0, '', 'olga') returning id`)
	pgtest.Rows(t, d.url, `insert into replay_items (job_id, letter_id, result, code, path) values (1, 1, 'superseded', '', ''), (2, 2, 'would_fail', 'bad_amount', '/amount'),
		(3, 2, 'failed_again', 'too_long', '/trade_no') returning job_id`)
	if got := d.ask("olga", "POST", "/api/dead-letters/2/discard", `{"reason":"ticket 77"}`, "Content-Type: application/json"); got.status != 200 {
		t.Fatalf("discard: %s", got.body)
	}
	return d, newer
}

// A timeline tells everything that happened: to a call, by a replay, by a person.
func TestTimelineTellsEverything(t *testing.T) {
	d, newer := eventful(t)
	var lines []string
	for _, s := range into[orderAnswer](t, d.ask("vera", "GET", "/api/orders/icbu:P1", "")).Steps {
		lines = append(lines, told(t, s))
	}
	slices.Sort(lines)
	want := []string{
		"7 attempt code=isv.bad detail=refused, 31 ms attempt=2 outcome=refused took_ms=31",
		"7 attempt code=timeout detail=unknown, 31 ms attempt=1 outcome=unknown took_ms=31",
		"7 claimed attempt=1", "7 claimed attempt=2",
		"7 dead_lettered code=partner_rejected detail=isv.bad letter=1 letter_state=superseded",
		"7 received topic=icbu.received.v1 partition=2 offset=7",
		"7 replayed detail=1 letter=1 letter_state=superseded job=1 result=superseded by=anna",
		fmt.Sprintf("7 superseded detail=%d other_revision=%v", newer, float64(newer)),
		"7 validated",
		"8 attempt code=0 detail=delivered, 31 ms attempt=1 outcome=delivered took_ms=31",
		"8 claimed attempt=1",
		"8 delivered",
		"8 received topic=icbu.received.v1 partition=2 offset=8",
		"8 validated",
		"9 discarded letter=2 letter_state=discarded by=olga reason=ticket 77",
		"9 received topic=icbu.received.v1 partition=2 offset=9",
		"9 refused code=bad_amount detail=/amount letter=2 letter_state=discarded path=/amount",
		"9 replayed code=too_long detail=3 letter=2 letter_state=discarded path=/trade_no job=3 result=failed_again by=olga",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// The steps of two orders of one push are told apart, and an order whose job nobody remembers still says that it was replayed.
func TestTimelinesOfOnePush(t *testing.T) {
	d := start(t)
	text, records := d.push(order.Mall, "mall:S1:1", "mall:S1:2")
	for i, key := range []order.Key{"mall:S1:1", "mall:S1:2"} {
		fact := validatedFact(key, records[i].Offset, fmt.Sprint(i+1))
		fact.Meta.ReceivedPartition, fact.Meta.PushID = records[i].Partition, pushOf(t, text)
		fact.Meta.ReplayJob = fmt.Sprint(70 + i)
		d.apply(fact)
	}
	found := into[page[orderAnswer]](t, d.ask("vera", "GET", "/api/orders?number="+text, ""))
	if len(found.Items) != 2 {
		t.Fatalf("found %+v", found)
	}
	for i, o := range found.Items {
		if len(o.Steps) != 3 || !slices.ContainsFunc(o.Steps, func(s step) bool { return s.Job == int64(70+i) }) {
			t.Errorf("order %d: %+v", i, o)
		}
	}
}

var tagsAndSpace = regexp.MustCompile(`(?:<[^>]*>|\s)+`)

// The order's page tells all of it too, in both languages.
func TestOrderPageTellsEverything(t *testing.T) {
	d, newer := eventful(t)
	// A job came too late: the letter was fixed already.
	pgtest.Rows(t, d.url, `insert into replay_jobs (state, filter, dry_run, rate, reason, created_by) values ('done', '{}', false, 0, '', 'anna') returning id`)
	pgtest.Rows(t, d.url, `insert into replay_items (job_id, letter_id, result, code, path) values (4, 1, 'skipped', 'fixed', '') returning job_id`)
	old := metaOf("icbu:P1", 7).Revision
	pgtest.Rows(t, d.url, fmt.Sprintf(`insert into order_events (order_key, revision, step, dedupe, at, service, code, detail) values
		('icbu:P1', %d, 'duplicate', 'x', now(), 'validate', '', '%d') returning revision`, newer, old))
	b := d.browse("vera")
	for l, want := range map[language][]string{
		english: {
			"call 1: nobody knows whether it was taken: it is sent again before anything else of this order, answer timeout , 31 ms",
			"call 2: refused, answer isv.bad , 31 ms", "call 1: taken, answer 0 , 31 ms",
			"partner_rejected (isv.bad) · Letter 1 (now: superseded by a newer push)",
			"bad_amount /amount · Letter 2 (now: discarded)",
			"Replay 1 of anna: superseded by a newer push · Letter 1", "Replay 3 of olga: failed again ( too_long /trade_no ) · Letter 2",
			"Replay 4 of anna: skipped (fixed) · Letter 1",
			"by olga: ticket 77 · Letter 2", fmt.Sprintf("by revision %d", newer), fmt.Sprintf("repeats revision %d", old),
		},
		chinese: {
			"第 2 次发送: 被拒绝, 应答 isv.bad , 31 毫秒", "重放 4 由 anna 发起: 已跳过 (已修复)", "重放 3 由 olga 发起: 再次失败 ( too_long /trade_no )",
			"由 olga 操作: ticket 77", fmt.Sprintf("被版本 %d 取代", newer), fmt.Sprintf("与版本 %d 内容相同", old),
		},
	} {
		b.post("/language", url.Values{"language": {string(l)}, "next": {"/"}})
		got := b.get("/orders/icbu:P1")
		walkable(t, got, "/orders/icbu:P1", l)
		got.shows(t, `<a href="/replays/4">`, `<a href="/letters/2">`)
		said{got.status, got.header, tagsAndSpace.ReplaceAllString(got.body, " ")}.shows(t, want...)
	}
}
