package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

const (
	statesSQL = `select state, revision & 1023, coalesce(delivered_revision & 1023, 0), total::text from orders order by order_key`
	endsSQL   = `select "offset", coalesce(end_state, '-') from received order by "offset"`
	letterSQL = `select service, code, state from dead_letters order by id`
	stepsSQL  = `select revision & 1023, step from order_events order by revision, at, step`
)

func TestDeliveredOrder(t *testing.T) {
	s := openShelf(t)
	s.apply(validated("icbu:P1", 1, "a"))
	s.want(statesSQL, "validated 1 0 101.10")
	s.want(endsSQL, "1 -")
	s.apply(delivery("icbu:P1", 1, "a", event.Delivered))
	s.want(statesSQL, "delivered 1 1 101.10")
	s.want(endsSQL, "1 delivered")
	s.want(stepsSQL, "1 received", "1 validated", "1 delivered")
	s.want(`select line_no, name, quantity::text from order_lines order by line_no`, "1 tea a 2", "2 cup <nil>")
	document, err := s.store.Document(t.Context(), s.keys, "icbu:P1")
	if err != nil || string(document) != `{"content":"a"}` {
		t.Errorf("document %q %v", document, err)
	}
	s.want(`select count(*) from orders where position('content'::bytea in payload) > 0 or position('13812345678'::bytea in personal) > 0
		or phone_pseudonym not like 'p.%'`, "0")
	found, err := s.store.OrdersByNumber(t.Context(), "X1")
	if err != nil || len(found) != 1 || found[0].Total != "101.10" || found[0].DeliveredTotal != "100.10" {
		t.Errorf("by number: %+v %v", found, err)
	}
	if _, err := s.store.Order(t.Context(), "icbu:P2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown order: %v", err)
	}
	lines, err := s.store.Timelines(t.Context(), []order.Key{"icbu:P1", "icbu:P1", "icbu:none"}, 2)
	if err != nil || len(lines["icbu:P1"].Events) != 2 || lines["icbu:P1"].Events[1].Step != store.StepDelivered || lines["icbu:none"].Events != nil {
		t.Errorf("timelines: %+v %v", lines, err)
	}
}

func TestRefusedOrderStandsAsParked(t *testing.T) {
	s := openShelf(t)
	s.apply(refused("icbu:P1", 1, "a", 0))
	s.want(statesSQL, "parked 1 0 <nil>")
	s.want(`select order_no from orders`, "EX0 of the push, not of a")
	s.want(endsSQL, "1 parked")
	s.want(letterSQL, "validate bad_amount open")
	s.want(stepsSQL, "1 received", "1 refused")
	payload, headers, err := s.store.LetterRecord(t.Context(), s.keys, 1)
	if err != nil || string(payload) != `{"refused":1}` || len(headers) != 1 || !bytes.Equal(headers[0].Value, []byte{0, 255}) {
		t.Errorf("letter record %q %v %v", payload, headers, err)
	}
}

func TestRefusedNewerPushLeavesTheAcceptedOne(t *testing.T) {
	s := openShelf(t)
	s.apply(refused("icbu:P1", 2, "b", 0))
	s.apply(validated("icbu:P1", 1, "a"), delivery("icbu:P1", 1, "a", event.Delivered))
	s.want(statesSQL, "delivered 1 1 101.10")
	s.want(endsSQL, "1 delivered", "2 parked")
	s.want(letterSQL, "validate bad_amount open")
}

func TestEqualPushLeavesTheStateAlone(t *testing.T) {
	s := openShelf(t)
	s.apply(validated("icbu:P1", 1, "a"))
	s.apply(delivery("icbu:P1", 1, "a", event.Delivered))
	s.apply(validated("icbu:P1", 2, "a"))
	s.want(statesSQL, "delivered 2 1 101.10")
	s.apply(delivery("icbu:P1", 2, "a", event.Duplicate))
	s.want(statesSQL, "delivered 2 1 101.10")
	s.want(endsSQL, "1 delivered", "2 duplicate")
	s.want(`select step from order_events where revision & 1023 = 2 order by at`, "received", "validated", "duplicate")
	if document, err := s.store.Document(t.Context(), s.keys, "icbu:P1"); err != nil || string(document) != `{"content":"a"}` {
		t.Errorf("document %q %v", document, err)
	}
}

func TestEqualPushOfAParkedOrderStaysParked(t *testing.T) {
	s := openShelf(t)
	s.apply(validated("icbu:P1", 1, "a"))
	s.apply(rejected("icbu:P1", 1, "a", 0))
	s.apply(validated("icbu:P1", 2, "a"))
	s.want(statesSQL, "parked 2 0 101.10")
	s.apply(validated("icbu:P1", 3, "a"))
	s.want(statesSQL, "parked 3 0 101.10")
	s.apply(delivery("icbu:P1", 2, "a", event.Delivered))
	s.want(statesSQL, "delivered 3 2 101.10")
	s.want(endsSQL, "1 parked", "2 delivered", "3 -")
}

func TestProcurementEndsPersisted(t *testing.T) {
	s := openShelf(t)
	s.apply(validated("procurement:1", 1, "a"))
	s.apply(validated("procurement:1", 2, "a"))
	s.apply(validated("procurement:1", 4, "bb"))
	late := validated("procurement:1", 3, "c")
	late.Meta.ReplayJob, late.Meta.ReplayLetter = "7", "1"
	s.apply(refused("procurement:1", 3, "c", 0))
	s.want(endsSQL, "1 persisted", "2 duplicate", "3 parked", "4 persisted")
	s.apply(late)
	s.want(statesSQL, "persisted 4 0 102.10")
	s.want(endsSQL, "1 persisted", "2 duplicate", "3 superseded", "4 persisted")
	s.want(letterSQL, "validate bad_amount superseded")
	s.want(`select step from order_events where revision & 1023 = 3 order by step`, "received", "refused", "replayed", "superseded", "validated")
	s.want(`select name from order_lines order by line_no`, "tea bb", "cup")
}

// Lines whose order somebody has deleted do not spoil the next push of it.
func TestLeftLinesAreReplaced(t *testing.T) {
	s := openShelf(t)
	s.apply(validated("mall:S:1", 1, "a"))
	s.rows(`delete from orders`)
	s.apply(validated("mall:S:1", 2, "bb"))
	s.want(statesSQL, "validated 2 0 102.10")
	s.want(`select line_no, name from order_lines order by line_no`, "1 tea bb", "2 cup")
}

func TestOlderRevisionNeverOverwrites(t *testing.T) {
	s := openShelf(t)
	s.apply(validated("mall:S:1", 5, "new"))
	s.apply(validated("mall:S:1", 4, "a"), delivery("mall:S:1", 4, "a", event.Superseded))
	s.want(statesSQL, "validated 5 0 103.10")
	s.want(endsSQL, "4 superseded", "5 -")
	s.apply(delivery("mall:S:1", 5, "new", event.Delivered))
	s.apply(delivery("mall:S:1", 4, "a", event.Delivered)) // a late call that the partner took all the same
	s.want(statesSQL, "delivered 5 5 103.10")
	s.want(endsSQL, "4 delivered", "5 delivered")
}

func TestReplayOfALetter(t *testing.T) {
	s := openShelf(t)
	s.apply(validated("icbu:P1", 1, "a"))
	s.apply(rejected("icbu:P1", 1, "a", 0))
	s.want(statesSQL, "parked 1 0 101.10")
	if _, err := s.conn.Exec(t.Context(), `update dead_letters set sent_replays = 1`); err != nil {
		t.Fatal(err)
	}
	s.apply(validated("icbu:P1", 1, "a"))
	s.want(letterSQL, "okkisync partner_rejected replaying")
	again := rejected("icbu:P1", 1, "a", 1)
	again.Letter.Code = "partner_conflict"
	s.apply(again)
	s.want(letterSQL, "okkisync partner_conflict failed_again")
	s.apply(rejected("icbu:P1", 1, "a", 0)) // the first letter is delivered once more
	s.want(letterSQL, "okkisync partner_conflict failed_again")
	s.want(endsSQL, "1 parked")
	fixed := delivery("icbu:P1", 1, "a", event.Delivered)
	fixed.Meta.ReplayJob = "2"
	s.apply(fixed)
	s.want(letterSQL, "okkisync partner_conflict fixed")
	s.want(statesSQL, "delivered 1 1 101.10")
	s.want(`select step, dedupe from order_events where step in ('dead_lettered', 'replayed') order by step, dedupe`,
		"dead_lettered okkisync icbu.validated.v1 0", "dead_lettered okkisync icbu.validated.v1 1", "replayed 2")
}

func TestDiscard(t *testing.T) {
	s := openShelf(t)
	s.apply(validated("icbu:P1", 1, "a"))
	s.apply(rejected("icbu:P1", 1, "a", 0))
	if err := s.Discard(t.Context(), 1, "ops", "sold by hand"); err != nil {
		t.Fatal(err)
	}
	s.want(statesSQL, "discarded 1 0 101.10")
	s.want(endsSQL, "1 discarded")
	s.want(`select state, discarded_by, discard_reason from dead_letters`, "discarded ops sold by hand")
	s.want(`select who, action, object, reason from audit`, "ops discard letter 1 sold by hand")
	s.want(`select step from order_events order by at desc limit 1`, "discarded")
	for _, id := range []int64{1, 99} {
		if err := s.Discard(t.Context(), id, "ops", ""); !errors.Is(err, store.ErrSettled) {
			t.Errorf("discard of %d: %v", id, err)
		}
	}
	s.apply(rejected("icbu:P1", 1, "a", 0))
	s.want(letterSQL, "okkisync partner_rejected discarded")
	for _, sql := range []string{"update audit set who = 'x'", "delete from audit", "truncate audit"} {
		if _, err := s.conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "append only") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestLetterWithoutAnOrder(t *testing.T) {
	s := openShelf(t)
	f := refused("", 1, "", 0)
	for range 2 {
		if err := s.AddLetter(t.Context(), f.Letter); err != nil {
			t.Fatal(err)
		}
	}
	s.want(letterSQL, "validate bad_amount open")
	s.want(`select count(*) from orders`, "0")
	if err := s.Discard(t.Context(), 1, "ops", "x"); err != nil {
		t.Fatal(err)
	}
	s.want(letterSQL, "validate bad_amount discarded")
}

// One row that the database cannot take fails alone; all others of its batch are stored.
func TestBadRowStandsAlone(t *testing.T) {
	s := openShelf(t)
	var facts []store.Fact
	for n := range int64(40) {
		facts = append(facts, validated(order.Key(fmt.Sprint("mall:S:", n)), n+1, "a"))
	}
	facts[17].Validated.Order.Lines[0].Name = "nul \x00 byte"
	facts[30].Validated.Order.Numbers = []string{strings.Repeat("n", 5000)} // merely not searchable
	facts[31].Meta.ReceivedOffset, facts[31].Meta.Revision = 31, rev(31)    // the coordinates of another order's record
	for i, err := range s.Apply(t.Context(), facts) {
		if bad := i == 17 || i == 31; bad != (err != nil) || bad && store.Classify(err) != store.RowData {
			t.Errorf("fact %d: %v", i, err)
		}
		if err != nil && strings.Contains(store.Describe(err), "nul") {
			t.Errorf("fact %d: the error quotes the row", i)
		}
	}
	s.want(`select count(*) from orders`, "38")
	s.want(`select count(*) from received where end_state is null`, "38")
}

func TestOutageBlamesNoRow(t *testing.T) {
	s := openShelf(t)
	s.store.Close()
	for _, err := range s.Apply(t.Context(), []store.Fact{validated("icbu:P1", 1, "a"), validated("icbu:P2", 2, "a")}) {
		if err == nil || store.Classify(err) != store.Outage {
			t.Errorf("error %v", err)
		}
	}
}
