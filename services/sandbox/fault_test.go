package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/partner"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

// waitFor polls a condition until a deadline that only a broken sandbox reaches.
func (s *stand) waitFor(what string, condition func() bool) {
	s.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			s.Fatalf("never came true: %s", what)
		}
	}
}

// Each effect of a fault at each partner: what the client makes of it, and whether the order was taken.
func TestFaultEffects(t *testing.T) {
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		partner, effect string
		class           partner.Class
		code            string
		wait            bool
	}{
		{"okki", `"status":500`, partner.Unknown, "http-500", false},
		{"okki", `"status":503,"retry_after":30`, partner.Unknown, "http-503", true},
		{"okki", `"status":429,"retry_after":"` + date + `"`, partner.NotTaken, "http-429", true},
		{"okki", `"status":200`, partner.Unknown, "broken-answer", false},
		{"okki", `"code":"no-such-customer"`, partner.Refused, "no-such-customer", false},
		{"okki", `"code":1001`, partner.Refused, "1001", false},
		{"okki", `"code":10`, partner.Unknown, "10", false},
		{"okki", `"code":"25"`, partner.Configuration, "25", false},
		{"okki", `"sub_code":"isv.invalid-parameter","sub_msg":"phone"`, partner.Refused, "isv.invalid-parameter", false},
		{"okki", `"sub_code":"isp.http-read-timeout"`, partner.Unknown, "isp.http-read-timeout", false},
		{"okki", `"code":7,"sub_code":"accesscontrol.limited-by-app-access-count","sub_msg":"This ban will last for 30 more seconds"`, partner.NotTaken, "accesscontrol.limited-by-app-access-count", true},
		{"okki", `"drop":true`, partner.Unknown, "connection-cut", false},
		{"okki", `"hang":true`, partner.Unknown, "timeout", false},
		{"ezr", `"status":500`, partner.Unknown, "http-500", false},
		{"ezr", `"code":500`, partner.Unknown, "500", false},
		{"ezr", `"code":"407","retry_after":30`, partner.NotTaken, "407", true},
		{"ezr", `"code":406,"sub_msg":"RecvMobile"`, partner.Refused, "406", false},
		{"ezr", `"code":2103`, partner.Missing, "2103", false},
		{"ezr", `"code":"odd"`, partner.Unknown, "odd", false},
		{"ezr", `"drop":true`, partner.Unknown, "connection-cut", false},
		{"ezr", `"hang":true`, partner.Unknown, "timeout", false},
	} {
		for after, want := range map[string]string{``: "0 ", `,"after":true`: "1 5.00"} {
			s := start(t)
			s.put("faults", `{"faults":[{"partner":"`+c.partner+`","times":1,`+c.effect+after+`}]}`)
			var err error
			if strings.Contains(c.effect, "hang") {
				err = s.giveUp(c.partner, func() bool { return len(s.sandbox.faults.list()) == 0 && s.held(c.partner, "A") == want })
			} else {
				err = s.send(c.partner, 20*time.Second)
			}
			wantClass(t, c.effect+after, err, c.class, c.code)
			failed, ok := errors.AsType[*partner.Error](err)
			if ok && (failed.RetryAfter > 20*time.Second) != c.wait {
				t.Errorf("%s: wait %v", c.effect, failed.RetryAfter)
			}
			if got := s.held(c.partner, "A"); got != want {
				t.Errorf("%s%s at %s: holds %q, want %q", c.effect, after, c.partner, got, want)
			}
			if left := s.sandbox.faults.list(); len(left) != 0 {
				t.Errorf("%s: %d faults left", c.effect, len(left))
			}
		}
	}
}

// send sends order A, of 5.00, to a partner.
func (s *stand) send(to string, timeout time.Duration) error {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), timeout)
	defer cancel()
	return s.sendIn(ctx, to)
}

// passing is a context whose deadline passes when the test says so.
type passing struct {
	context.Context
	passed chan struct{}
}

func (p passing) Done() <-chan struct{} { return p.passed }

func (p passing) Err() error {
	select {
	case <-p.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// giveUp sends like send, and its time is over once the call has come so far.
func (s *stand) giveUp(to string, far func() bool) error {
	s.Helper()
	return s.giveUpCall(far, func(ctx context.Context) error { return s.sendIn(ctx, to) })
}

func (s *stand) giveUpCall(far func() bool, call func(context.Context) error) error {
	s.Helper()
	ctx := passing{s.Context(), make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- call(ctx) }()
	s.waitFor("the call is under way", far)
	close(ctx.passed)
	return <-ended
}

// calling tells whether the partner has a call in hand.
func (s *stand) calling(to string) bool {
	s.sandbox.book.mu.Lock()
	defer s.sandbox.book.mu.Unlock()
	return s.sandbox.book.inFlight[to] > 0
}

func (s *stand) sendIn(ctx context.Context, to string) error {
	if to == "okki" {
		_, err := s.okki.Create(ctx, contract("A", "5.00"))
		return err
	}
	_, err := s.ezr.Upload(ctx, [][]byte{sale("A", "5.00")})
	return err
}

func TestFaultTimes(t *testing.T) {
	s := start(t)
	s.put("faults", `{"faults":[{"partner":"okki","status":500,"times":3}]}`)
	for range 3 {
		wantClass(t, "faulty", s.send("okki", 20*time.Second), partner.Unknown, "http-500")
	}
	wantClass(t, "the fourth", s.send("okki", 20*time.Second), "", "")
	wantClass(t, "the other partner", s.send("ezr", 20*time.Second), "", "")
	s.put("faults", `{"faults":[{"partner":"okki","status":500}]}`)
	for range 5 {
		wantClass(t, "for ever", s.send("okki", 20*time.Second), partner.Unknown, "http-500")
	}
	if status, _ := s.admin(http.MethodDelete, "faults", ""); status != http.StatusNoContent {
		t.Errorf("DELETE: %d", status)
	}
	wantClass(t, "healed", s.send("okki", 20*time.Second), "", "")
}

// A fault of one order hits the whole batch that holds it, and no other.
func TestFaultOfOneOrder(t *testing.T) {
	s := start(t)
	s.put("faults", `{"faults":[{"partner":"ezr","order_no":"B","code":406},{"partner":"okki","order_no":"P2","sub_code":"isv.x"}]}`)
	_, err := s.ezr.Upload(t.Context(), [][]byte{sale("A", "1.00"), sale("B", "1.00"), sale("C", "1.00")})
	wantClass(t, "the batch", err, partner.Split, "406")
	_, err = s.ezr.Upload(t.Context(), [][]byte{sale("A", "1.00"), sale("C", "1.00")})
	wantClass(t, "the others", err, "", "")
	if got := s.held("ezr", "B"); got != "0 " {
		t.Errorf("B: %q", got)
	}
	_, err = s.okki.Create(t.Context(), contract("P1", "1"))
	wantClass(t, "P1", err, "", "")
	_, err = s.okki.Create(t.Context(), contract("P2", "1"))
	wantClass(t, "P2", err, partner.Refused, "isv.x")
	s.put("faults", `{"faults":[{"partner":"ezr","order_no":"D","drop":true,"after":true}]}`)
	_, err = s.ezr.Upload(t.Context(), [][]byte{sale("D", "1.00"), sale("E", "1.00")})
	wantClass(t, "after", err, partner.Unknown, "connection-cut")
	if d, e := s.held("ezr", "D"), s.held("ezr", "E"); d != "1 1.00" || e != "1 1.00" {
		t.Errorf("D %q, E %q: the batch was not taken first", d, e)
	}
}

// A delay lets the call go on; a caller that gives up before its end has nothing taken, after it everything.
func TestFaultDelay(t *testing.T) {
	s := start(t)
	s.put("faults", `{"faults":[{"partner":"okki","code":"x","times":1},{"partner":"okki","delay_ms":60},{"partner":"okki","delay_ms":60,"order_no":"A","after":true}]}`)
	begun := time.Now()
	wantClass(t, "slow refusal", s.send("okki", 20*time.Second), partner.Refused, "x")
	if took := time.Since(begun); took < 60*time.Millisecond {
		t.Errorf("took %v", took)
	}
	begun = time.Now()
	wantClass(t, "slow", s.send("okki", 20*time.Second), "", "")
	if took := time.Since(begun); took < 120*time.Millisecond {
		t.Errorf("both delays took %v", took)
	}
	s.admin(http.MethodDelete, "orders", "")
	s.put("faults", `{"faults":[{"partner":"okki","delay_ms":3600000}]}`)
	wantClass(t, "gave up before", s.giveUp("okki", func() bool { return s.calling("okki") }), partner.Unknown, "timeout")
	s.put("faults", `{"faults":[{"partner":"okki","delay_ms":3600000,"after":true}]}`)
	s.waitFor("the first call has left", func() bool { return !s.calling("okki") })
	if got := s.held("okki", "A"); got != "0 " {
		t.Errorf("taken though the caller had left: %q", got)
	}
	wantClass(t, "gave up after", s.giveUp("okki", func() bool { return s.held("okki", "A") == "1 5.00" }), partner.Unknown, "timeout")
}

func TestPriceQueryUnderFaults(t *testing.T) {
	s := start(t)
	s.put("faults", `{"faults":[{"partner":"okki","hang":true}]}`)
	err := s.giveUpCall(func() bool { return s.calling("okki") }, func(ctx context.Context) error {
		_, err := s.okki.Query(ctx, []byte(`{"action":0,"amount":"1"}`))
		return err
	})
	wantClass(t, "slow query", err, partner.Unknown, "timeout")
}

func TestAdminRefuses(t *testing.T) {
	s := start(t)
	for body, want := range map[string]string{
		`{"faults":[{"partner":"fenbeitong","status":500}]}`:         "partner",
		`{"faults":[{"partner":"okki"}]}`:                            "one of",
		`{"faults":[{"partner":"okki","status":500,"hang":true}]}`:   "one of",
		`{"faults":[{"partner":"okki","status":99}]}`:                "status",
		`{"faults":[{"partner":"okki","status":500,"times":0}]}`:     "times",
		`{"faults":[{"partner":"okki","delay_ms":-1,"status":500}]}`: "delay_ms",
		`{"faults":[{"partner":"ezr","sub_code":"isv.x"}]}`:          "sub_code",
		`{"faults":[{"partner":"okki","staus":500}]}`:                "body",
		`{"faults":[{"partner":"okki","status":"many"}]}`:            "body",
		`nonsense`: "body",
	} {
		s.put("faults", `{"faults":[{"partner":"okki","status":500}]}`)
		status, answer := s.admin(http.MethodPut, "faults", body)
		if status != http.StatusBadRequest || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
		if left := s.sandbox.faults.list(); len(left) != 1 || left[0].Status != 500 {
			t.Errorf("%s: changed the faults in force to %+v", body, left)
		}
	}
	for _, body := range []string{`{"okki_existing":"x"}`, `{"ezr_existing":""}`, `{"ezr_missing_sale":""}`, `{"ezr_concurrency":-1}`, `{"x":1}`, ``} {
		if status, answer := s.admin(http.MethodPut, "config", body); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if _, body := s.admin(http.MethodGet, "config", ""); body != `{"okki_existing":"take","ezr_existing":"2102","ezr_missing_sale":"accept","ezr_concurrency":0}` {
		t.Errorf("config %s", body)
	}
	if status, _ := s.admin(http.MethodGet, "calls?from=x", ""); status != http.StatusBadRequest {
		t.Errorf("from=x: %d", status)
	}
}

func TestShowFaults(t *testing.T) {
	s := start(t)
	s.put("faults", `{"faults":[{"partner":"okki","status":503,"retry_after":2,"times":2},{"partner":"ezr","code":407,"times":1}]}`)
	wantClass(t, "once", s.send("okki", 20*time.Second), partner.Unknown, "http-503")
	wantClass(t, "used up", s.send("ezr", 20*time.Second), partner.NotTaken, "407")
	if _, body := s.admin(http.MethodGet, "faults", ""); body != `{"faults":[{"partner":"okki","times":1,"status":503,"retry_after":"2"}]}` {
		t.Errorf("faults %s", body)
	}
}

func TestListCalls(t *testing.T) {
	s := start(t)
	for _, amount := range []string{"1.00", "2.00"} {
		if _, err := s.okki.Create(t.Context(), contract("P1", amount)); err != nil {
			t.Fatal(err)
		}
	}
	wantClass(t, "ezr", s.send("ezr", 20*time.Second), "", "")
	for query, want := range map[string]string{
		"": "P1 1.00,P1 2.00,A 5.00", "?partner=okki": "P1 1.00,P1 2.00", "?order_no=A": "A 5.00", "?from=1": "P1 2.00,A 5.00", "?from=9": "",
	} {
		_, body := s.admin(http.MethodGet, "calls"+query, "")
		var list struct {
			Calls   []effect `json:"calls"`
			Dropped int64    `json:"dropped"`
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range list.Calls {
			got = append(got, c.OrderNo+" "+c.Amount)
		}
		if strings.Join(got, ",") != want || list.Dropped != 0 {
			t.Errorf("%s: %s", query, body)
		}
	}
}

func TestEffectsAreBounded(t *testing.T) {
	b := newBook()
	b.kept = 5
	for range 8 {
		b.take("okki", []item{{number: "P1", amount: "1"}}, time.Time{})
	}
	found, dropped := b.calls("", "", 0)
	if len(found) != 5 || dropped != 3 || found[0].Seq != 3 || found[4].Seq != 7 {
		t.Errorf("%d effects, %d dropped", len(found), dropped)
	}
}
