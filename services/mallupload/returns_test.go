package main

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/worker"
)

// returned is a return of S1 with the number code.
func returned(code, sale string, revision order.Revision) event.Message {
	content := bytes.Replace(document("S1", code, "-450.5"), []byte(`"TotalQty":1`), fmt.Appendf(nil, `"TotalQty":-1,"OriginalCode":%q`, sale), 1)
	return message("S1", code, revision, content)
}

// startKnowing runs the service where persist knows of some sales of S1, by number: "validated" or "parked".
func startKnowing(t *testing.T, s *shopServer, maxAttempts int, sales map[string]string, in ...event.Message) *bustest.Broker {
	t.Helper()
	broker, url := bustest.Start(t), pgtest.New(t)
	record(t, broker, url)
	for number, state := range sales {
		pgtest.Texts(t, url, `insert into orders (order_key, source, revision, validated, state, received_at, updated_at, version)
			values ('mall:S1:`+number+`', 'mall', 1, true, '`+state+`', now(), now(), 1) returning state`)
		if state == "parked" {
			pgtest.Texts(t, url, `insert into dead_letters (service, code, origin_topic, origin_partition, origin_offset, first_failed_at,
				failed_at, dlq_topic, dlq_partition, dlq_offset, state, updated_at, order_key, revision)
				values ('validate', 'bad_amount', 't', 0, 1, now(), now(), 'd', 0, 1, 'open', now(), 'mall:S1:`+number+`', 1) returning state`)
		}
	}
	broker.Produce(in...)
	serve(t, s, unlimited, broker, url, maxAttempts)
	return broker
}

// missing makes EZR miss the sale of one return in its first calls, or in all of them.
func (s *shopServer) missing(code string, calls int) {
	alone := 0
	s.judge = func(codes []string) string {
		if !slices.Contains(codes, code) {
			return ""
		}
		if len(codes) == 1 {
			if alone++; alone > calls {
				return ""
			}
		}
		return ezr.CodeMissing
	}
}

func letterOf(t *testing.T, broker *bustest.Broker) deadletter.Letter {
	t.Helper()
	letter, err := deadletter.Parse(broker.Wait(event.DeadLetters(service), 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	return letter
}

func TestReturnGoesAfterItsSale(t *testing.T) {
	s := startShopServer(t)
	broker := startKnowing(t, s, 10, map[string]string{"1": "validated"}, returned("R1", "1", 1), validated("S1", "1", 1, "450.5"))
	all := deliveries(t, broker, 2)
	if all["mall:S1:1"].Outcome != event.Delivered || all["mall:S1:R1"].Outcome != event.Delivered || all["mall:S1:R1"].Total != "-450.50" {
		t.Errorf("deliveries: %+v", all)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.batches) != 2 || !slices.Equal(s.batches[0], []string{"1"}) || !slices.Equal(s.batches[1], []string{"R1"}) {
		t.Errorf("calls: %v", s.batches)
	}
}

func TestReturnOfAParkedSaleIsParked(t *testing.T) {
	s := startShopServer(t)
	broker := startKnowing(t, s, 10, map[string]string{"1": "parked"}, returned("R1", "1", 1), returned("R2", "unknown", 2))
	if letter := letterOf(t, broker); letter.Code != string(worker.SaleParked) || letter.Origin.Key != "mall:S1:R1" || letter.Class != "permanent" {
		t.Errorf("letter: %+v", letter)
	}
	if all := deliveries(t, broker, 1); all["mall:S1:R2"].Outcome != event.Delivered {
		t.Errorf("deliveries: %+v", all)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, sent := s.taken["R1"]; sent || len(s.taken) != 1 {
		t.Errorf("taken: %v", s.taken)
	}
}

func TestReturnWhoseSaleEZRMissesForAWhile(t *testing.T) {
	s := startShopServer(t)
	s.missing("R1", 2)
	in := []event.Message{returned("R1", "1", 100)}
	for i := range 20 {
		in = append(in, validated("S1", fmt.Sprint("A", i), order.Revision(i+1), "450.5"))
	}
	broker := startKnowing(t, s, 10, nil, in...)
	all := deliveries(t, broker, 21)
	if d := all["mall:S1:R1"]; d.Outcome != event.Delivered || d.Attempts != 3 {
		t.Errorf("the return: %+v", d)
	}
	if d := all["mall:S1:A7"]; d.Outcome != event.Delivered || d.Attempts != 1 {
		t.Errorf("one beside it: %+v", d)
	}
	if letters := broker.Read(event.DeadLetters(service)); len(letters) > 0 {
		t.Errorf("%d letters", len(letters))
	}
}

func TestReturnWhoseSaleEZRMissesForEver(t *testing.T) {
	s := startShopServer(t)
	s.missing("R1", 1000)
	in := []event.Message{returned("R1", "1", 100)}
	for i := range 20 {
		in = append(in, validated("S1", fmt.Sprint("A", i), order.Revision(i+1), "450.5"))
	}
	broker := startKnowing(t, s, 3, nil, in...)
	letter := letterOf(t, broker)
	if letter.Code != string(worker.PartnerRejected) || letter.Detail != ezr.CodeMissing || letter.Attempts != 3 || letter.Origin.Key != "mall:S1:R1" {
		t.Errorf("letter: %+v", letter)
	}
	if all := deliveries(t, broker, 20); len(all) != 20 {
		t.Errorf("%d deliveries", len(all))
	}
	broker.WaitCommitted(service, event.Validated(order.Mall), 21)
}
