//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// Journeys that do not break anything share a stack; each has its own orders.
func TestJourneys(t *testing.T) {
	onEachBroker(t, func(t *testing.T, s *stack) {
		for _, journey := range []struct {
			name string
			run  func(t *testing.T, s *stack)
		}{
			{"refused pushes", refusedPushes}, // first: it wants the received topics empty
			{"price query", priceQuery},
			{"seed examples", seedExamples},
			{"one bad order among a hundred", oneBadOrderAmongAHundred},
			{"one of a hundred that EZR refuses", oneOfAHundredThatEZRRefuses},
			{"an order that OKKI refuses", orderThatOKKIRefuses},
			{"OKKI fails three times", okkiFailsThreeTimes},
			{"the largest body", largestBody},
			{"where is my order", whereIsMyOrder},
		} {
			t.Run(journey.name, func(t *testing.T) { journey.run(t, s.in(t)) })
		}
		s.waitAccounted()
	}, "QUARANTINE_RATE=1000")
}

// What each sender is told when its push cannot be believed or read, and that it is kept in quarantine with its cause.
func refusedPushes(t *testing.T, s *stack) {
	icbu, mall := icbuOrder("P100", "100.01"), mallOrder("HQS0001", "R100", "100.01")
	args := batch([]pushed{mall})
	icbuURL := s.ingest + "/icbu/okki/orders?"
	mallURL := s.ingest + "/api/morder/thirdOrdAdd"
	signed := func(secret string, at time.Time, body string) string {
		query := icbuQuery(at)
		query.Set("sign", spiSign(secret, query, []byte(body)))
		return icbuURL + query.Encode()
	}
	postICBU := func(url, body string) answer { return s.postUntilTaken(url, "application/json", nil, []byte(body)) }
	postMall := func(change func(map[string][]string)) answer {
		form := mallForm(args, time.Now())
		change(form)
		return s.postUntilTaken(mallURL, "application/x-www-form-urlencoded", nil, []byte(form.Encode()))
	}
	postProcurement := func(body []byte) answer {
		return s.sentUntilTaken(1, func() answer { return s.pushProcurement(body) })
	}

	illegal := func(a answer) bool {
		return a.Status == 200 && a.field(t, "success") == false && a.field(t, "resp_code") == "sign-check-failure" && a.field(t, "error_desc") == "Illegal request"
	}
	unreadable := func(a answer) bool {
		code, _ := a.field(t, "resp_code").(string)
		return a.Status == 200 && a.field(t, "success") == false && code != "" && code != "0" && !strings.HasPrefix(code, "sign-check")
	}
	ezr := func(code float64) func(answer) bool {
		return func(a answer) bool {
			return a.Status == 200 && a.field(t, "Status") == false && a.field(t, "StatusCode") == code
		}
	}
	status := func(code int) func(answer) bool { return func(a answer) bool { return a.Status == code } }
	now := time.Now()

	for _, c := range []struct {
		name string
		got  answer
		want func(answer) bool
	}{
		{"icbu, unsigned", postICBU(icbuURL+icbuQuery(now).Encode(), icbu.body), illegal},
		{"icbu, wrongly signed", postICBU(signed("another secret", now, icbu.body), icbu.body), illegal},
		{"icbu, another body", postICBU(signed(icbuSecret, now, icbu.body), strings.Replace(icbu.body, "100.01", "900.01", 1)), illegal},
		{"icbu, stale", postICBU(signed(icbuSecret, now.Add(-time.Hour), icbu.body), icbu.body), illegal},
		{"icbu, empty", postICBU(signed(icbuSecret, now, ""), ""), unreadable},
		{"icbu, no JSON", postICBU(signed(icbuSecret, now, "order"), "order"), unreadable},
		{"icbu, no order number", postICBU(signed(icbuSecret, now, `{"action":1}`), `{"action":1}`), func(a answer) bool {
			return unreadable(a) && a.field(t, "resp_code") == "missing-order-no"
		}},
		{"procurement, wrong token", s.postUntilTaken(s.ingest+"/fenbeitong/another/procurement-orders", "application/json", nil, []byte("{}")), status(404)},
		{"procurement, empty", postProcurement(nil), status(200)},
		{"mall, wrongly signed", postMall(func(f map[string][]string) { f["Sign"] = []string{strings.Repeat("0", 40)} }), ezr(405)},
		{"mall, unsigned", postMall(func(f map[string][]string) { delete(f, "Sign") }), ezr(405)},
		{"mall, stale", func() answer {
			form := mallForm(args, now.Add(-time.Hour))
			return s.postUntilTaken(mallURL, "application/x-www-form-urlencoded", nil, []byte(form.Encode()))
		}(), ezr(308)},
		{"mall, no JSON", postMall(func(f map[string][]string) { f["Args"] = []string{"[{"} }), ezr(303)},
		{"mall, empty", postMall(func(f map[string][]string) { f["Args"] = []string{"[]"} }), ezr(307)},
		{"mall, 101 orders", postMall(func(f map[string][]string) { f["Args"] = []string{string(batch(manyMall("HQS0001", "X", 101)))} }), ezr(406)},
		{"mall, two shops", postMall(func(f map[string][]string) {
			f["Args"] = []string{string(batch([]pushed{mall, mallOrder("HQS0002", "R101", "1.00")}))}
		}), ezr(406)},
		{"mall, the same Code twice", postMall(func(f map[string][]string) { f["Args"] = []string{string(batch([]pushed{mall, mall}))} }), ezr(1200)},
		{"procurement, over 1 MiB", postProcurement(bytes.Repeat([]byte(" "), 1<<20+1)), status(413)},
	} {
		if !c.want(c.got) {
			t.Errorf("%s: answered %v", c.name, c.got)
		}
	}

	for source := range final {
		for partition, end := range s.broker.ends(t, source+".received.v1") {
			if end > 0 {
				t.Errorf("%s.received.v1/%d holds %d records of refused pushes", source, partition, end)
			}
		}
	}
	want := map[string]bool{}
	for _, cause := range []string{"bad_signature", "stale", "unknown_token", "bad_json", "too_large", "missing_order_no", "bad_batch"} {
		want[cause] = true
	}
	eventually(t, patience, "every cause is in quarantine", func() error {
		seen := map[string]bool{}
		for _, m := range s.broker.read(t, "quarantine.v1") {
			seen[header(m, "quarantine-cause")] = true
		}
		for cause := range want {
			if !seen[cause] {
				return fmt.Errorf("%s is not there, of %v", cause, seen)
			}
		}
		return nil
	})
}

func manyMall(shop, prefix string, n int) []pushed {
	orders := make([]pushed, n)
	for i := range orders {
		orders[i] = mallOrder(shop, fmt.Sprintf("%s%04d", prefix, i), amount(i))
	}
	return orders
}

// One bad order among a hundred: the others arrive, it lies in validate's dead letters with its code and the field's path.
func oneBadOrderAmongAHundred(t *testing.T, s *stack) {
	orders := manyMall("HQS0001", "B", 100)
	bad := orders[42]
	orders[42].body = strings.Replace(bad.body, `"TotalMoney":`+bad.total, `"TotalMoney":`+bad.total+`1`, 1)
	s.pushAll(orders) // as one batch
	good := append(append([]pushed{}, orders[:42]...), orders[43:]...)
	s.waitFinal(patience, good)
	s.deliveredOnce(good)
	s.waitState(bad.key, "parked")
	if all := s.letters(orders...); len(all) != 1 || all[0].Service != "validate" || all[0].OrderKey != bad.key || all[0].Code != "bad_amount" || all[0].Path != "/TotalMoney" {
		t.Errorf("want one letter of validate for %s, got %+v", bad.key, all)
	}
}

// An order that EZR refuses, with all that came in its batch, is found by at most 15 calls; the others arrive. The uploader
// begins when all are validated, in however many transactions. They may still come to it from up to six partitions, one after
// the other: then the smaller batches have a call each.
func oneOfAHundredThatEZRRefuses(t *testing.T, s *stack) {
	orders := manyMall("HQS0002", "C", 100)
	bad, before := orders[42], s.calls("ezr")
	s.faults(`{"partner":"ezr","order_no":"C0042","code":2001}`)
	s.services["mallupload"].stop()
	s.pushAll(orders) // as one batch
	for _, o := range orders {
		s.waitState(o.key, "validated")
	}
	s.restart("mallupload")
	good := append(append([]pushed{}, orders[:42]...), orders[43:]...)
	s.waitFinal(patience, good)
	s.waitState(bad.key, "parked")
	s.faults("")
	calls := s.calls("ezr") - before
	if t.Logf("%d calls for a hundred orders, one of them refused", calls); calls > 15+5 {
		t.Errorf("%d calls", calls)
	}
	if all := s.letters(orders...); len(all) != 1 || all[0].Service != "mallupload" || all[0].OrderKey != bad.key || all[0].Code != "partner_rejected" || all[0].Detail != "2001" {
		t.Errorf("want one letter of mallupload for %s, got %+v", bad.key, all)
	}
}

// An order that OKKI refuses for good lies in okkisync's dead letters with OKKI's code, and its bytes are what was sent.
func orderThatOKKIRefuses(t *testing.T, s *stack) {
	bad, good := icbuOrder("P200", "200.02"), icbuOrder("P201", "201.03")
	before := s.calls("okki")
	s.faults(`{"partner":"okki","order_no":"P200","code":15,"sub_code":"isv.invalid-parameter:amount","sub_msg":"王小明 13900001111"}`)
	s.push(bad, good)
	s.waitFinal(patience, []pushed{good})
	s.waitState(bad.key, "parked")
	records := s.broker.readKey(t, "okkisync.dlq.v1", bad.key)
	if len(records) != 1 {
		t.Fatalf("okkisync.dlq.v1 holds %d records of %s", len(records), bad.key)
	}
	m := records[0]
	if header(m, "dlq-code") != "partner_rejected" || !strings.HasPrefix(header(m, "dlq-detail"), "isv.") ||
		header(m, "dlq-origin-topic") != "icbu.validated.v1" || !strings.Contains(string(m.Value), bad.total) {
		t.Errorf("the letter: key %s, %v", m.Key, headers(m))
	}
	if calls := s.calls("okki") - before; calls != 2 {
		t.Errorf("OKKI was called %d times for two orders, one of them refused", calls)
	}
}

func headers(m kafka.Message) map[string]string {
	all := map[string]string{}
	for _, h := range m.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}

// OKKI fails three times: the fourth call delivers, and nothing is dead-lettered.
func okkiFailsThreeTimes(t *testing.T, s *stack) {
	o := icbuOrder("P300", "300.03")
	before := s.calls("okki")
	s.faults(`{"partner":"okki","order_no":"P300","status":500,"times":3}`)
	s.push(o)
	s.waitFinal(patience, []pushed{o})
	s.deliveredOnce([]pushed{o})
	if calls := s.calls("okki") - before; calls != 4 {
		t.Errorf("OKKI was called %d times, want 4", calls)
	}
	if all := s.letters(o); len(all) > 0 {
		t.Errorf("letters: %+v", all)
	}
}

// A body of exactly 1 MiB passes through every hop of its way, the dead letters included.
func largestBody(t *testing.T, s *stack) {
	const limit = 1 << 20
	fill := func(build func(pad string) pushed) pushed {
		o := build("")
		return build(strings.Repeat("x", limit-len(o.body)))
	}
	note := func(pad string) string { return `,"note":"` + pad + `"` }
	icbu := fill(func(pad string) pushed { return icbuOrder("P400", "400.04", note(pad)) })
	refused := fill(func(pad string) pushed { return icbuOrder("P401", "401.04", note(pad)) })
	bad := fill(func(pad string) pushed { return icbuOrder("P402", "not a number", note(pad)) })
	procurement := fill(func(pad string) pushed { return procurementOrder("OMLJ400", "402.04", note(pad)) })
	for _, o := range []pushed{icbu, refused, bad, procurement} {
		if len(o.body) != limit {
			t.Fatalf("%s has %d bytes", o.key, len(o.body))
		}
	}
	s.faults(`{"partner":"okki","order_no":"P401","code":40,"sub_code":"isv.invalid-parameter"}`)
	s.push(icbu, refused, bad, procurement)

	// A mall order as a raw array, the other fields in the query: the body is the array and nothing else.
	mall := mallOrder("HQS0001", "L400", "403.04")
	mall = mallOrder("HQS0001", "L400", "403.04", note(strings.Repeat("x", limit-len(mall.body)-2-len(note("")))))
	query := mallForm(nil, time.Now())
	query.Del("Args")
	args := batch([]pushed{mall})
	if len(args) != limit {
		t.Fatalf("the mall push has %d bytes", len(args))
	}
	s.accepted("mall", s.postUntilTaken(s.ingest+"/api/morder/thirdOrdAdd?"+query.Encode(), "application/json", nil, args))

	s.waitFinal(patience, []pushed{icbu, procurement, mall})
	s.deliveredOnce([]pushed{icbu, mall})
	s.waitState(refused.key, "parked")
	s.waitState(bad.key, "parked")
	// Only here can this witness look: validate writes in transactions.
	records := s.broker.readKey(t, "okkisync.dlq.v1", refused.key)
	if len(records) != 1 || len(records[0].Value) < limit/2 {
		t.Errorf("okkisync.dlq.v1 holds %d records of %s", len(records), refused.key)
	}
	if all := s.letters(icbu, refused, bad, procurement, mall); len(all) != 2 {
		t.Errorf("want two letters, got %+v", all)
	}
	if status := s.pushProcurement([]byte(procurement.body + " ")).Status; status != http.StatusRequestEntityTooLarge {
		t.Errorf("a byte more: status %d, want 413", status)
	}
}
