//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mixed makes n orders of all three sources: four of ten icbu, three procurement, three mall.
func mixed(prefix string, n int) []pushed {
	orders := make([]pushed, n)
	for i := range orders {
		number := fmt.Sprintf("%s%05d", prefix, i)
		switch i % 10 {
		case 0, 1, 2, 3:
			orders[i] = icbuOrder("P"+number, amount(i))
		case 4, 5, 6:
			orders[i] = procurementOrder("OMLJ"+number, amount(i))
		default:
			orders[i] = mallOrder(fmt.Sprintf("HQS%04d", i%3), number, amount(i))
		}
	}
	return orders
}

// pushAll pushes single orders over eight connections, mall orders in batches of their shop, and wants all accepted.
func (s *stack) pushAll(orders []pushed) {
	s.t.Helper()
	s.startPushing(orders)()
}

// startPushing is pushAll in the background; the function that it gives waits for the end and looks at the answers.
func (s *stack) startPushing(orders []pushed) (wait func()) {
	type push struct {
		source string
		orders int
		send   func() answer
		answer answer
	}
	var pushes []*push
	shops := map[string][]pushed{}
	flush := func(shop string) {
		args := batch(shops[shop])
		pushes = append(pushes, &push{source: "mall", orders: len(shops[shop]), send: func() answer { return s.pushMall(args) }})
		delete(shops, shop)
	}
	for _, o := range orders {
		if o.source != "mall" {
			pushes = append(pushes, &push{source: o.source, orders: 1, send: func() answer { return s.send(o) }})
			continue
		}
		shop := o.key[:len("mall:HQS0000")]
		if shops[shop] = append(shops[shop], o); len(shops[shop]) == 100 {
			flush(shop)
		}
	}
	for shop := range shops {
		flush(shop)
	}
	next := make(chan *push, len(pushes))
	for _, p := range pushes {
		next <- p
	}
	close(next)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for p := range next {
				p.answer = s.sentUntilTaken(p.orders, p.send)
			}
		})
	}
	return func() {
		s.t.Helper()
		group.Wait()
		for _, p := range pushes {
			s.accepted(p.source, p.answer)
		}
	}
}

// progress is how far the orders of a journey have come.
type progress struct {
	accepted int            // records of the received topics
	stored   int            // orders that PostgreSQL knows
	done     map[string]int // orders that have arrived, by source
}

func (p progress) open() int {
	return p.accepted - p.done["icbu"] - p.done["procurement"] - p.done["mall"]
}

func (s *stack) progress() progress {
	s.t.Helper()
	p := progress{done: map[string]int{}}
	rows, err := s.rows()
	if err != nil {
		s.t.Fatal(err)
	}
	p.stored = len(rows)
	for key, r := range rows {
		if source, _, _ := strings.Cut(key, ":"); r.State == final[source] {
			p.done[source]++
		}
	}
	for source := range final {
		for _, end := range s.broker.ends(s.t, source+".received.v1") {
			p.accepted += int(end)
		}
	}
	return p
}

// Each worker is killed in the middle of its work, while at least 500 of 2,000 orders are open: all end in PostgreSQL, once,
// with their totals, and no partner took an order twice unless its call was cut by the kill.
func TestKilledWorkers(t *testing.T) {
	const lanes, batches = 16, 2 // calls that OKKI and EZR have under way at most
	onEachBroker(t, func(t *testing.T, s *stack) {
		// Slow enough for OKKI to have orders left when the last worker is killed, however long the restarts before it take.
		s.faults(`{"partner":"okki","delay_ms":6000},{"partner":"ezr","delay_ms":3000}`)
		orders := mixed("K", 2000)
		wait := s.startPushing(orders)
		for _, kill := range []struct {
			victim string
			when   string
			now    func(p progress) bool
		}{
			{"validate", "half of the orders are in Kafka", func(p progress) bool { return p.accepted >= 1000 }},
			{"persist", "it has stored some", func(p progress) bool { return p.stored >= 200 && p.open() >= 500 }},
			{"mallupload", "EZR has its first batch", func(p progress) bool { return p.done["mall"] > 0 }},
			{"okkisync", "OKKI has its first orders", func(p progress) bool { return p.done["icbu"] > 0 }},
		} {
			var p progress
			eventually(t, patience, kill.when, func() error {
				if p = s.progress(); !kill.now(p) {
					return fmt.Errorf("%+v", p)
				}
				return nil
			})
			if t.Logf("killing %s: %d open, %+v", kill.victim, p.open(), p); p.open() < 500 {
				t.Fatal("fewer than 500 orders are open")
			}
			s.services[kill.victim].kill()
			s.restart(kill.victim)
		}
		wait()
		s.faults("")
		s.waitFinal(3*time.Minute, orders)
		// A killed worker does not know what became of the calls that it had under way: it calls again.
		if repeated, cut := s.deliveredAtMost(2, orders), lanes+batches*100; repeated > cut {
			t.Errorf("%d orders were taken twice, %d can have been under way", repeated, cut)
		}
		s.noLetters()
		s.waitAccounted()
	}, fmt.Sprint("LANES=", lanes), fmt.Sprint("EZR_MAX_IN_FLIGHT=", batches))
}

// PostgreSQL is away for 20 s while pushes go on: they are accepted, nothing is dead-lettered, and everything is there after.
func TestPostgreSQLAway(t *testing.T) {
	onEachBroker(t, func(t *testing.T, s *stack) {
		before := mixed("D0", 50)
		s.pushAll(before)
		s.waitFinal(patience, before)
		if err := s.database.Stop(); err != nil {
			t.Fatal(err)
		}
		var during []pushed
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for i := range 40 {
			orders := mixed(fmt.Sprintf("D1%02d", i), 10)
			s.pushAll(orders)
			during = append(during, orders...)
			<-tick.C
		}
		for _, name := range workers {
			if !s.services[name].alive() {
				t.Errorf("%s ended while PostgreSQL was away", name)
			}
		}
		if err := s.database.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.waitFinal(2*time.Minute, during)
		s.deliveredOnce(during)
		s.noLetters()
		s.waitAccounted()
	})
}

// Kafka is frozen: each sender is told to come again within 5 s in its own dialect, and readiness is red. After the thaw
// the senders push again, and nothing is lost or doubled.
func TestFrozenKafka(t *testing.T) {
	onEachBroker(t, func(t *testing.T, s *stack) {
		before := mixed("F0", 50)
		s.pushAll(before)
		s.waitFinal(patience, before)
		s.broker.freeze()

		icbu, procurement, mall := icbuOrder("PF1", "501.05"), procurementOrder("OMLJF1", "502.06"), mallOrder("HQS0001", "F1", "503.07")
		answers := make([]answer, 3)
		for range 10 { // a busy machine may be late, but not each time
			var group sync.WaitGroup
			group.Go(func() { answers[0] = s.pushICBU([]byte(icbu.body)) })
			group.Go(func() { answers[1] = s.pushProcurement([]byte(procurement.body)) })
			group.Go(func() { answers[2] = s.pushMall(batch([]pushed{mall})) })
			group.Wait()
			if !slices.ContainsFunc(answers, func(a answer) bool { return a.Elapsed > 5*time.Second }) {
				break
			}
		}
		for i, a := range answers {
			if a.Status != 503 || a.Header.Get("Retry-After") == "" || a.Elapsed > 5*time.Second {
				t.Errorf("push %d over a frozen Kafka: %v after %s, Retry-After %q", i, a, a.Elapsed, a.Header.Get("Retry-After"))
			}
		}
		data, _ := answers[1].field(t, "data").(map[string]any)
		if answers[0].field(t, "success") != false || answers[1].field(t, "code") != 1.0 || data["code"] != "0" || answers[2].field(t, "Status") != false {
			t.Errorf("the dialects' words for again: %v", answers)
		}
		eventually(t, patience, "readiness turns red", func() error {
			for _, url := range []string{s.ingest + "/readyz", "http://" + s.ops["ingest"] + "/readyz"} {
				if err := httpOK(url); err == nil {
					return fmt.Errorf("%s is green", url)
				}
			}
			return nil
		})
		eventually(t, patience, "the process lives, and /healthz is green", func() error { return httpOK(s.ingest + "/healthz") })

		s.broker.thaw()
		s.waitReady("ingest")
		again := []pushed{icbu, procurement, mall}
		s.push(again...)
		after := mixed("F2", 50)
		s.pushAll(after)
		all := append(append(before, again...), after...)
		s.waitFinal(patience, all)
		s.deliveredOnce(all)
		s.noLetters()
		s.waitAccounted()
	})
}
