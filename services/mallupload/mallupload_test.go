package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/privacy"
	"orderflow/pkg/source"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

var unlimited = limits{MaxInFlight: 10, Instances: 1, Linger: 20 * time.Millisecond}

// shopServer stands in for EZR: all or nothing of a batch, 2102 where an order is known, or what judge says.
type shopServer struct {
	*httptest.Server
	mu      sync.Mutex
	judge   func(codes []string) string // EZR's code, "" to go on
	taken   map[string]string           // amount of each order's Code
	batches [][]string
}

const token = "9cd8c0ed38a9e113"

func startShopServer(t testing.TB) *shopServer {
	s := &shopServer{taken: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *shopServer) settings() ezr.Settings {
	return ezr.Settings{URL: s.URL, AppSystem: "orderflow", Credentials: ezr.Credentials{AppID: "EZP", Token: token, Sign: "sha1"}}
}

func (s *shopServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var orders []struct {
		ShopCode, Code string
		TotalMoney     jsontext.Value
	}
	_ = json.Unmarshal([]byte(r.PostFormValue("Args")), &orders)
	var codes []string
	shops := map[string]bool{}
	for _, o := range orders {
		codes = append(codes, o.Code)
		shops[o.ShopCode] = true
	}
	s.batches = append(s.batches, codes)
	code := ""
	if s.judge != nil {
		code = s.judge(codes)
	}
	if code == "" && len(shops) != 1 {
		code = "406"
	}
	for _, o := range orders {
		if _, known := s.taken[o.Code]; known && code == "" {
			code = ezr.CodeExists
		}
	}
	if code == "" {
		for _, o := range orders {
			s.taken[o.Code] = string(o.TotalMoney)
		}
	}
	stamp := time.Now().In(source.Zone).Format(mall.TimestampLayout)
	answer := map[string]any{"Status": code == "", "StatusCode": "200", "Timestamp": stamp, "Sign": mall.Sign("sha1", "EZP", stamp, token), "Result": 3936}
	if code != "" {
		answer["StatusCode"] = code
	}
	_ = json.MarshalWrite(w, answer)
}

func (s *shopServer) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.batches)
}

func document(shop, code, total string) []byte {
	return fmt.Appendf(nil, `{"ShopCode":%q,"Code":%q,"OrderTime":"2026-06-22   10:30:01","TotalQty":1,"TotalMoney":%s,"PayAmount":%s,`+
		`"DiscountMoney":0,"DataOrigin":10,"RecvMobile":"13122136787","Dtls":[{"BarCode":"1","Quantity":1,"Amount":%s}],"unknown":1}`,
		shop, code, total, total, total)
}

func validated(shop, code string, revision order.Revision, total string) event.Message {
	return message(shop, code, revision, document(shop, code, total))
}

func message(shop, code string, revision order.Revision, content []byte) event.Message {
	meta := event.Meta{
		OrderKey: order.NewKey(order.Mall, content, shop, code), Revision: revision, Digest: order.Digest(content), PushID: "push",
		ReceivedOffset: revision.Offset(), ReceivedAt: time.Unix(1700000000, 0),
	}
	return event.New(event.Validated(order.Mall), "validate", meta, time.Unix(1700000001, 0), "application/json", content)
}

// start runs the service on a broker and a database of its own until the test ends.
func start(t *testing.T, s *shopServer, l limits, in ...event.Message) *bustest.Broker {
	t.Helper()
	broker, url := bustest.Start(t), pgtest.New(t)
	record(t, broker, url)
	broker.Produce(in...)
	serve(t, s, l, broker, url, 10)
	return broker
}

// serve runs the service until the test ends.
func serve(t *testing.T, s *shopServer, l limits, broker *bustest.Broker, url string, maxAttempts int) {
	t.Helper()
	key := "k=" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	cfg := settings{
		Settings: delivery.Settings{
			Bus: broker.Settings, Store: store.Settings{URL: url},
			Worker:  worker.Settings{MaxAttempts: maxAttempts, Lanes: 256, LaneGap: 1000, RetryAfterMax: time.Minute},
			Privacy: privacy.Settings{PseudonymKeys: key, PayloadKeys: key},
		},
		EZR: s.settings(), Limits: l,
	}
	p := &boot.Process{Name: service, Log: zap.NewNop(), Health: boot.NewHealth(), Metrics: prometheus.NewRegistry()}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, p, cfg) }()
	t.Cleanup(func() {
		cancel(boot.ErrStopped)
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// record migrates the database and writes down which topic it belongs to.
func record(t *testing.T, broker *bustest.Broker, url string) {
	t.Helper()
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ids, err := bus.Identities(t.Context(), broker.Client())
	if err != nil {
		t.Fatal(err)
	}
	received := event.Received(order.Mall)
	topics := map[string]store.Topic{received: {ID: ids[received], Generation: bus.Generation(received)}}
	if err := db.RecordTopics(t.Context(), topics); err != nil {
		t.Fatal(err)
	}
}

func deliveries(t *testing.T, broker *bustest.Broker, n int) map[order.Key]event.Delivery {
	t.Helper()
	all := map[order.Key]event.Delivery{}
	for _, m := range broker.Wait(event.Deliveries, n) {
		var d event.Delivery
		if err := json.Unmarshal(m.Value, &d); err != nil {
			t.Fatal(err)
		}
		all[d.OrderKey] = d
	}
	return all
}

func TestBatchesOfOneShopWithOneBadOrder(t *testing.T) {
	s := startShopServer(t)
	s.judge = func(codes []string) string {
		if slices.Contains(codes, "S1-42") {
			return "2001"
		}
		return ""
	}
	var in []event.Message
	for i := range 100 {
		for _, shop := range []string{"S1", "S2"} {
			in = append(in, validated(shop, fmt.Sprintf("%s-%d", shop, i), order.Revision(i+1), "450.5"))
		}
	}
	broker := start(t, s, unlimited, in...)
	all := deliveries(t, broker, 199)
	for key, d := range all {
		if d.Outcome != event.Delivered || d.Total != "450.50" || d.Partner != "ezr" {
			t.Errorf("%s: %+v", key, d)
		}
	}
	letter, err := deadletter.Parse(broker.Wait(event.DeadLetters(service), 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	if letter.Origin.Key != "mall:S1:S1-42" || letter.Code != string(worker.PartnerRejected) || letter.Detail != "2001" {
		t.Errorf("letter: %+v", letter)
	}
	broker.WaitCommitted(service, event.Validated(order.Mall), 200)
	if letters := broker.Read(event.DeadLetters(service)); len(letters) != 1 {
		t.Errorf("%d letters", len(letters))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.taken) != 199 || s.taken["S2-7"] != "450.50" {
		t.Errorf("%d orders taken, one of them at %s", len(s.taken), s.taken["S2-7"])
	}
	if longest := slices.MaxFunc(s.batches, func(a, b []string) int { return len(a) - len(b) }); len(longest) < 10 {
		t.Errorf("the longest batch has %d orders", len(longest))
	}
}

func TestUnknownBatchIsSentAgain(t *testing.T) {
	s := startShopServer(t)
	s.judge = func(codes []string) string {
		if len(s.batches) == 1 { // taken, then the answer says otherwise
			for _, c := range codes {
				s.taken[c] = "450.50"
			}
			return "500"
		}
		return ""
	}
	var in []event.Message
	for i := range 20 {
		in = append(in, validated("S1", fmt.Sprint(i), order.Revision(i+1), "450.5"))
	}
	broker := start(t, s, unlimited, in...)
	unknown := 0
	for key, d := range deliveries(t, broker, 20) {
		if d.Outcome != event.Delivered {
			t.Errorf("%s: %+v", key, d)
		}
		if d.Code == ezr.CodeExists {
			unknown++
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := len(s.batches[0]); unknown != first {
		t.Errorf("%d orders were in doubt and %d of them settled by %s", first, unknown, ezr.CodeExists)
	}
	if letters := broker.Read(event.DeadLetters(service)); len(letters) > 0 {
		t.Errorf("%d letters", len(letters))
	}
}

// An order that makes EZR fail (500) on every batch that holds it keeps nobody back, and is not blamed while it may be EZR.
func TestOrderThatSpoilsEveryBatchIsLeftAlone(t *testing.T) {
	s := startShopServer(t)
	s.judge = func(codes []string) string {
		if slices.Contains(codes, "17") {
			return "500"
		}
		return ""
	}
	var in []event.Message
	for i := range 100 {
		in = append(in, validated("S1", fmt.Sprint(i), order.Revision(i+1), "450.5"))
	}
	broker := start(t, s, unlimited, in...)
	for others := 0; ; others++ { // they go on being taken, which is what tells the one from the others
		all := broker.Read(event.Deliveries)
		other := func(m event.Message) bool { return shop(m) == "S2" }
		if len(slices.DeleteFunc(slices.Clone(all), other)) == 99 {
			break
		}
		broker.Produce(validated("S2", fmt.Sprint("other", others), 1, "1.0"))
		broker.Wait(event.Deliveries, len(all)+1)
	}
	for key, d := range deliveries(t, broker, 99) {
		if d.Outcome != event.Delivered {
			t.Errorf("%s: %+v", key, d)
		}
	}
	if letters := broker.Read(event.DeadLetters(service)); len(letters) > 0 {
		t.Errorf("%d letters", len(letters))
	}
}

func TestChangedOrderThatEZRHoldsIsAConflict(t *testing.T) {
	s := startShopServer(t)
	broker := start(t, s, unlimited, validated("S1", "1", 1, "450.5"))
	if d := deliveries(t, broker, 1)["mall:S1:1"]; d.Revision != 1 || d.Outcome != event.Delivered {
		t.Errorf("delivered: %+v", d)
	}
	broker.Produce(validated("S1", "1", 2, "451.5"))
	letter, err := deadletter.Parse(broker.Wait(event.DeadLetters(service), 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	if letter.Code != string(worker.PartnerConflict) || letter.Detail != ezr.CodeExists {
		t.Errorf("letter: %+v", letter)
	}
}
