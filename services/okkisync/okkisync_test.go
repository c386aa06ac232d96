package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner/okki"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// gateway stands in for OKKI's: it answers what the test wants, and remembers the bodies of each order's calls.
type gateway struct {
	*httptest.Server
	mu    sync.Mutex
	calls map[string][]string
}

// answer is a status and a body; nothing means that the order is taken.
type answer struct {
	status int
	body   string
}

// startGateway answers the n-th call (from 1) of an order.
func startGateway(t *testing.T, says func(number string, n int) answer) *gateway {
	g := &gateway{calls: map[string][]string{}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var document struct {
			AliOrderNo string `json:"ali_order_no"`
		}
		_ = json.Unmarshal(body, &document)
		g.mu.Lock()
		g.calls[document.AliOrderNo] = append(g.calls[document.AliOrderNo], string(body))
		n := len(g.calls[document.AliOrderNo])
		g.mu.Unlock()
		a := says(document.AliOrderNo, n)
		if a.status != 0 {
			w.WriteHeader(a.status)
		}
		if a.body == "" {
			a.body = `{"response":{"success":true,"resp_code":"0"}}`
		}
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(g.Close)
	return g
}

func taken(string, int) answer { return answer{} }

func (g *gateway) bodies(number string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.calls[number])
}

// stage is a Kafka and a database on which the service runs.
type stage struct {
	t      *testing.T
	broker *bustest.Broker
	url    string
}

func newStage(t *testing.T) *stage {
	s := &stage{t, bustest.Start(t), pgtest.New(t)}
	if err := store.Migrate(t.Context(), s.url); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ids, err := bus.Identities(t.Context(), s.broker.Client())
	if err != nil {
		t.Fatal(err)
	}
	received := event.Received(order.ICBU)
	topics := map[string]store.Topic{received: {ID: ids[received], Generation: bus.Generation(received)}}
	if err := db.RecordTopics(t.Context(), topics); err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs the service until the test ends or stop is called.
func (s *stage) start(g *gateway) (stop func()) {
	key := "k=" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	cfg := settings{
		Settings: delivery.Settings{
			Bus: s.broker.Settings, Store: store.Settings{URL: s.url},
			Worker:  worker.Settings{MaxAttempts: 10, Lanes: 16, LaneGap: 1000, RetryAfterMax: time.Minute},
			Privacy: privacy.Settings{PseudonymKeys: key, PayloadKeys: key},
		},
		OKKI: okki.Settings{URL: g.URL, SignMethod: okki.MD5, Credentials: okki.Credentials{AppKey: "app", AppSecret: "secret"}},
	}
	p := &boot.Process{Name: service, Log: zap.NewNop(), Health: boot.NewHealth(), Metrics: prometheus.NewRegistry()}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, p, cfg) }()
	stop = sync.OnceFunc(func() {
		cancel(boot.ErrStopped)
		if err := <-done; err != nil {
			s.t.Errorf("run: %v", err)
		}
	})
	s.t.Cleanup(stop)
	return stop
}

func validated(number string, revision order.Revision, content string) event.Message {
	document := fmt.Appendf(nil, `{"amount":"28600.0","ack":0,"ali_order_no":%q,"refer":%q,"new_field":1}`, number, content)
	meta := event.Meta{
		OrderKey: order.NewKey(order.ICBU, document, number), Revision: revision, Digest: order.Digest(document), PushID: "push",
		ReceivedOffset: revision.Offset(), ReceivedAt: time.Unix(1700000000, 0),
	}
	return event.New(event.Validated(order.ICBU), "validate", meta, time.Unix(1700000001, 0), "application/json", document)
}

func (s *stage) deliveries(n int) []event.Delivery {
	s.t.Helper()
	var all []event.Delivery
	for _, m := range s.broker.Wait(event.Deliveries, n) {
		var d event.Delivery
		if err := json.Unmarshal(m.Value, &d); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func TestThreeFailuresThenDelivered(t *testing.T) {
	s := newStage(t)
	g := startGateway(t, func(_ string, n int) answer {
		if n <= 3 {
			return answer{status: http.StatusInternalServerError}
		}
		return answer{}
	})
	in := validated("P1", 7, "A")
	s.broker.Produce(in)
	s.start(g)
	d := s.deliveries(1)[0]
	if d.Outcome != event.Delivered || d.Attempts != 4 || d.Total != "28600.0" || d.Revision != 7 {
		t.Errorf("delivery: %+v", d)
	}
	for i, body := range g.bodies("P1") {
		if body != string(in.Value) {
			t.Errorf("call %d sent %s", i+1, body)
		}
	}
	s.broker.WaitCommitted(service, event.Validated(order.ICBU), 1)
	if letters := s.broker.Read(event.DeadLetters(service)); len(letters) > 0 {
		t.Errorf("%d letters", len(letters))
	}
}

func TestRefusedGoesToTheDeadLetters(t *testing.T) {
	s := newStage(t)
	g := startGateway(t, func(number string, _ int) answer {
		if number == "P1" {
			return answer{body: `{"error_response":{"code":15,"msg":"Remote service error","sub_code":"isv.invalid-parameter","sub_msg":"customer Zhang San"}}`}
		}
		return answer{}
	})
	s.broker.Produce(validated("P1", 7, "A"), validated("P2", 8, "B"))
	stop := s.start(g)
	letter, err := deadletter.Parse(s.broker.Wait(event.DeadLetters(service), 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	if letter.Code != string(worker.PartnerRejected) || letter.Detail != "isv.invalid-parameter" || letter.Origin.Key != "icbu:P1" {
		t.Errorf("letter: %+v", letter)
	}
	if bytes.Contains([]byte(letter.Message), []byte("Zhang")) {
		t.Error("the letter quotes the partner's text")
	}
	if d := s.deliveries(1)[0]; d.OrderKey != "icbu:P2" {
		t.Errorf("delivery: %+v", d)
	}
	s.broker.WaitCommitted(service, event.Validated(order.ICBU), 2)

	// Mended at OKKI's side, the letter is sent home.
	stop()
	s.start(startGateway(t, taken))
	s.broker.Produce(deadletter.Home(letter, "job-1", "letter-1"))
	all := s.deliveries(2) // of two partitions
	i := slices.IndexFunc(all, func(d event.Delivery) bool { return d.OrderKey == "icbu:P1" })
	if i < 0 || all[i].Revision != 7 || all[i].Outcome != event.Delivered {
		t.Errorf("replayed: %+v", all)
	}
}

func TestPublishedBeforeCommitted(t *testing.T) {
	s := newStage(t)
	refusing := s.broker.Cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: event.Deliveries, Err: kerr.NotLeaderForPartition, Count: -1,
	})
	s.broker.Produce(validated("P1", 7, "A"))
	stop := s.start(startGateway(t, taken))
	// The order is with the partner, and its outcome cannot be written.
	if err := refusing.Wait(s.broker.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if committed := s.broker.Committed(service, event.Validated(order.ICBU)); len(committed) > 0 {
		t.Errorf("committed %v before the delivery was published", committed)
	}
	stop()
	refusing.Remove()

	// The next worker publishes what the ledger knows, without a call.
	g := startGateway(t, taken)
	s.start(g)
	if d := s.deliveries(1)[0]; d.Revision != 7 || d.Attempts != 1 {
		t.Errorf("delivery: %+v", d)
	}
	if calls := g.bodies("P1"); len(calls) > 0 {
		t.Errorf("%d calls for an order that was settled", len(calls))
	}
	s.broker.WaitCommitted(service, event.Validated(order.ICBU), 1)
}

func TestStoppedBetweenCallAndSettle(t *testing.T) {
	s := newStage(t)
	called, hold := make(chan struct{}, 1), make(chan struct{})
	g := startGateway(t, func(_ string, n int) answer {
		if n == 1 {
			called <- struct{}{}
			<-hold // taken, but the answer never comes
		}
		return answer{body: `{"error_response":{"code":15,"sub_code":"` + okki.DuplicateCode + `"}}`}
	})
	s.broker.Produce(validated("P1", 7, "A"))
	stop := s.start(g)
	<-called
	stop()
	close(hold)
	s.start(g)
	if d := s.deliveries(1)[0]; d.Outcome != event.Delivered || d.Code != okki.DuplicateCode || d.Attempts != 2 {
		t.Errorf("delivery: %+v", d)
	}
	if letters := s.broker.Read(event.DeadLetters(service)); len(letters) > 0 {
		t.Errorf("%d letters", len(letters))
	}
}

func TestManyOrdersAtOnceEachInOrder(t *testing.T) {
	s := newStage(t)
	g := startGateway(t, taken)
	var in []event.Message
	for i := range 300 {
		in = append(in, validated(fmt.Sprint("P", i%50), order.Revision(i+1), fmt.Sprint(i)))
	}
	s.broker.Produce(in...)
	s.start(g)
	calls := 0
	for _, d := range s.deliveries(300) {
		if d.Outcome == event.Delivered {
			calls++
		} else if d.Outcome != event.Superseded || d.Other <= d.Revision {
			t.Errorf("delivery: %+v", d)
		}
	}
	// Those that are not superseded by one waiting behind them are sent in order; the newest always is.
	for i := range 50 {
		number := fmt.Sprint("P", i)
		bodies := g.bodies(number)
		calls -= len(bodies)
		next := 0
		for n, body := range bodies {
			for next < 6 && string(in[i+50*next].Value) != body {
				next++
			}
			if next++; next > 6 {
				t.Errorf("%s: call %d sent %s out of its turn", number, n+1, body)
			}
		}
		if next != 6 {
			t.Errorf("%s: the newest was not sent last", number)
		}
	}
	if calls != 0 {
		t.Errorf("%d deliveries more than calls", calls)
	}
}
