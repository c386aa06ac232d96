package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// What orders.v1 has twice was counted once, and accepted: the hour is exported with the first record of each revision. A further
// revision is still one too many.
func TestExportTakesARevisionOnce(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	older, newer, alone := sale(1, noon, "1"), sale(1, noon.Add(time.Minute), "10"), sale(2, noon, "0.25")
	newer.Revision += 100
	otherwise := newer
	otherwise.Total = amountOf("999")
	w.publish(kgo.TryCommit, older, alone, newer)
	say := w.balance()
	for _, source := range order.Sources {
		said := completeness{Source: source, Hour: noon, Revision: 1, Complete: true}
		if source == order.Mall {
			said.Published = 3
		}
		say(said)
	}
	_, _, before, err := exportNoon(t)
	if err != nil {
		t.Fatal(err)
	}
	w.publish(kgo.TryCommit, alone, older, otherwise)
	w.publish(kgo.TryCommit, older, otherwise, alone)
	for _, flags := range [][]string{nil, {"--incomplete"}} {
		out, rows, content, err := exportNoon(t, flags...)
		if err != nil || len(rows) != 2 || amountIn(rows[0].Total) != "10" || amountIn(rows[1].Total) != "0.25" || !bytes.Equal(content, before) {
			t.Errorf("%v: %d rows, another file than without the doubles: %t, %v\n%s", flags, len(rows), !bytes.Equal(content, before), err, out)
		}
		contains(t, out, "15 of 15 records passed, 2 orders\n") // soon after the first word
	}
	further := sale(1, noon, "2")
	further.Revision += 50
	w.publish(kgo.TryCommit, further)
	if _, _, _, err := exportNoon(t); err == nil || !strings.Contains(err.Error(), "the topic has 4 records of this hour that can be read, 3 were counted") {
		t.Errorf("a revision that nobody counted: %v", err)
	}
}

// Of any records, each revision counts once, and the first record of the greatest is chosen.
func TestNewestCountsEachRevisionOnce(t *testing.T) {
	type record struct{ number, revision int }
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOf(rapid.Custom(func(t *rapid.T) record {
			return record{rapid.IntRange(1, 3).Draw(t, "number"), rapid.IntRange(1, 5).Draw(t, "revision")}
		})).Draw(t, "records")
		metaOf := func(r record) event.Meta {
			return event.Meta{OrderKey: sale(r.number, noon, "1").OrderKey, Revision: order.NewRevision(1, int64(r.revision)), ReceivedAt: noon}
		}
		n, first, greatest := newNewest(), map[record]int{}, map[int]int{}
		for i, r := range records {
			n.note(metaOf(r), int64(i))
			if _, ok := first[r]; !ok {
				first[r] = i
			}
			greatest[r.number] = max(greatest[r.number], r.revision)
		}
		if got := n.counts[hourOf{order.Mall, noon}]; got != int64(len(first)) {
			t.Fatalf("%d are counted of %d revisions", got, len(first))
		}
		for i, r := range records {
			if want := r.revision == greatest[r.number] && first[r] == i; n.chosen(metaOf(r), int64(i)) != want {
				t.Fatalf("record %d chosen: %t", i, !want)
			}
		}
	})
}
