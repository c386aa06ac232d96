package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/fact"
	"orderflow/pkg/judge"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

var received = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func rev(n int64) order.Revision { return order.NewRevision(1, n) }

// failed is the letter of a record that the service failed.
func failed(service string, m event.Message) deadletter.Letter {
	at := received.Add(time.Minute)
	l, err := deadletter.Parse(deadletter.Wrap(deadletter.Letter{Origin: m, Stage: service, Code: "bad_amount", First: at, Last: at}))
	if err != nil {
		panic(err)
	}
	return l
}

// pushed is a stamped record of an order, as validate fails it.
func pushed(key order.Key, n int64, body string) event.Message {
	m := event.New(event.Received(key.Source()), "ingest", event.Meta{OrderKey: key}, received, "application/json", []byte(body))
	m.Offset, m.Timestamp = n, received
	return judge.Stamp(m)
}

// passed is a record of a validated topic.
func passed(key order.Key, n int64, body string) event.Message {
	m := pushed(key, n, body)
	m.Topic, m.Offset = event.Validated(key.Source()), n+1000
	return m
}

// outcome is a record of deliveries.v1.
func outcome(t *testing.T, key order.Key, n int64, outcome event.Outcome, other order.Revision) event.Message {
	t.Helper()
	value, err := json.Marshal(event.Delivery{Partner: "okki", OrderKey: key, Revision: rev(n), Outcome: outcome, Other: other, At: received})
	if err != nil {
		t.Fatal(err)
	}
	m := pushed(key, n, string(value))
	m.Topic = event.Deliveries
	return m
}

func openStore(t testing.TB) *store.Store {
	t.Helper()
	url := pgtest.New(t)
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// persisted writes what persist would write of validated records.
func persisted(t testing.TB, s *store.Store, messages ...event.Message) {
	t.Helper()
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{5}, 32))
	keys, err := privacy.New(privacy.Settings{PseudonymKeys: "p=" + secret, PayloadKeys: "k=" + secret})
	if err != nil {
		t.Fatal(err)
	}
	facts := make([]store.Fact, len(messages))
	for i := range messages {
		if facts[i], err = fact.Read(messages[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(store.NewWriter(s, keys).Apply(t.Context(), facts)...); err != nil {
		t.Fatal(err)
	}
}

// delivered has the ledger say that a partner took a revision.
func delivered(t testing.TB, s *store.Store, partner string, key order.Key, revision order.Revision) {
	t.Helper()
	ledger := s.Ledger(partner, "worker", "me")
	grants, err := ledger.Claim(t.Context(), []store.Intent{{OrderKey: key, Revision: revision, Digest: "d"}})
	if err == nil {
		_, err = ledger.Settle(t.Context(), []store.Settlement{{OrderKey: key, Revision: revision, Attempt: grants[0].Attempt, Ending: store.Delivered}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

const (
	goodOrder = `{"ali_order_no":"P1","amount":"1.50"}`
	badOrder  = `{"ali_order_no":"P1","amount":"secret"}`
)

func TestRehearse(t *testing.T) {
	s := openStore(t)
	persisted(t, s, passed("icbu:P1", 7, goodOrder))
	delivered(t, s, "okki", "icbu:P1", rev(5))
	noRevision := pushed("icbu:P1", 3, goodOrder)
	noRevision.SetHeader(event.HeaderRevision, "")
	strange := failed("validate", pushed("icbu:P1", 9, goodOrder))
	strange.Stage = "somebody"
	pass, partner := Rehearsal{WouldPass: true}, Rehearsal{WouldPass: true, Decides: "partner"}
	for name, c := range map[string]struct {
		letter deadletter.Letter
		want   Rehearsal
	}{
		"validate, mended":             {failed("validate", pushed("icbu:P1", 9, goodOrder)), pass},
		"validate, the very one":       {failed("validate", pushed("icbu:P1", 7, goodOrder)), pass},
		"validate, as bad as before":   {failed("validate", pushed("icbu:P1", 9, badOrder)), Rehearsal{WouldFail: true, Code: "bad_amount", Path: "/amount"}},
		"validate, behind a newer":     {failed("validate", pushed("icbu:P1", 6, badOrder)), Rehearsal{SupersededBy: rev(7)}},
		"validate, of another order":   {failed("validate", pushed("icbu:P2", 6, badOrder)), Rehearsal{WouldFail: true, Code: "bad_amount", Path: "/amount"}},
		"validate, without revision":   {failed("validate", noRevision), Rehearsal{WouldFail: true, Code: "missing_field"}},
		"okkisync, newest":             {failed("okkisync", passed("icbu:P1", 6, goodOrder)), partner},
		"okkisync, behind a newer":     {failed("okkisync", passed("icbu:P1", 4, goodOrder)), Rehearsal{SupersededBy: rev(5)}},
		"okkisync, damaged":            {failed("okkisync", passed("icbu:P1", 9, badOrder)), Rehearsal{WouldFail: true, Code: "bad_amount", Path: "/amount"}},
		"okkisync, unprintable":        {failed("okkisync", passed("icbu:é", 9, goodOrder)), Rehearsal{WouldFail: true, Code: "db_data"}},
		"mallupload":                   {failed("mallupload", passed("mall:S:C", 4, `{"ShopCode":"S","Code":"C","TotalMoney":1.5}`)), partner},
		"mallupload, no encoding":      {failed("mallupload", passed("mall:S:C", 4, `{"TotalMoney":1.001}`)), Rehearsal{WouldFail: true, Code: "bad_json"}},
		"persist, a document":          {failed("persist", passed("icbu:P1", 9, goodOrder)), Rehearsal{WouldPass: true, Decides: "database"}},
		"persist, an older document":   {failed("persist", passed("icbu:P1", 6, goodOrder)), Rehearsal{SupersededBy: rev(7)}},
		"persist, a bad document":      {failed("persist", passed("icbu:P1", 9, badOrder)), Rehearsal{WouldFail: true, Code: "bad_json", Path: "/amount"}},
		"persist, a delivery":          {failed("persist", outcome(t, "icbu:P1", 4, event.Delivered, 0)), Rehearsal{WouldPass: true, Decides: "database"}},
		"persist, one of superseded":   {failed("persist", outcome(t, "icbu:P1", 4, event.Superseded, rev(5))), Rehearsal{SupersededBy: rev(5)}},
		"persist, a strange topic":     {failed("persist", pushed("icbu:P1", 9, goodOrder)), Rehearsal{WouldFail: true, Code: "bad_json"}},
		"of a service that is unknown": {strange, Rehearsal{WouldFail: true, Code: codeUnreadableLetter}},
		"of nobody":                    {deadletter.Letter{}, Rehearsal{WouldFail: true, Code: codeUnreadableLetter}},
	} {
		got, err := newRehearser(s).Rehearse(t.Context(), []deadletter.Letter{c.letter})
		if err != nil || got[0] != c.want {
			t.Errorf("%s: %+v, %v, wanted %+v", name, got, err, c.want)
		}
	}
	if rows, err := s.Order(t.Context(), "icbu:P1"); err != nil || rows.Revision != rev(7) {
		t.Errorf("a rehearsal has no effects: %+v, %v", rows, err)
	}
}

// Ten thousand letters of a bad mapping, in chunks, each told by itself and in order.
func TestRehearseMany(t *testing.T) {
	s := openStore(t)
	const letters, chunk, newer = 10_000, 1000, 100
	var again []event.Message
	for i := range newer {
		key := fmt.Sprintf("P%d", i*letters/newer)
		again = append(again, passed(order.Key("icbu:"+key), letters+int64(i), `{"ali_order_no":"`+key+`"}`))
	}
	persisted(t, s, again...)
	all := make([]deadletter.Letter, letters)
	for i := range all {
		amount := "1.50"
		if i%10 == 1 {
			amount = "secret"
		}
		key := fmt.Sprintf("P%d", i)
		all[i] = failed("validate", pushed(order.Key("icbu:"+key), int64(i), `{"ali_order_no":"`+key+`","amount":"`+amount+`"}`))
	}
	r, start := newRehearser(s), time.Now()
	for from := 0; from < letters; from += chunk {
		results, err := r.Rehearse(t.Context(), all[from:from+chunk])
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range results {
			n := from + i
			want := Rehearsal{WouldPass: true}
			switch {
			case n%(letters/newer) == 0:
				want = Rehearsal{SupersededBy: rev(letters + int64(n*newer/letters))}
			case n%10 == 1:
				want = Rehearsal{WouldFail: true, Code: "bad_amount", Path: "/amount"}
			}
			if got != want {
				t.Fatalf("letter %d: %+v, wanted %+v", n, got, want)
			}
		}
	}
	t.Logf("%d letters in %s", letters, time.Since(start))
}

func TestRehearseSurvivesTheCodeUnderTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		r := newRehearser(nil)
		r.stages = map[string]stage{
			"panics": {try: func(m event.Message) (order.Revision, error) { panic(string(m.Value)) }},
			"hangs":  {try: func(event.Message) (order.Revision, error) { <-forever; return 0, nil }},
			"errs":   {try: func(event.Message) (order.Revision, error) { return 0, errors.New("secret") }},
		}
		try := func(service string) (Rehearsal, error) {
			l := failed(service, pushed("icbu:P1", 9, "secret"))
			return r.try(t.Context(), &l)
		}
		for service, code := range map[string]string{"panics": "panic", "errs": "retries_exhausted"} {
			got, err := try(service)
			if want := (Rehearsal{WouldFail: true, Code: code}); err != nil || got != want {
				t.Errorf("%s: %+v, %v", service, got, err)
			}
		}
		for range rehearsalSlots {
			start := time.Now()
			got, err := try("hangs")
			if want := (Rehearsal{WouldFail: true, Code: "deadline"}); err != nil || got != want || time.Since(start) != rehearsalLimit {
				t.Errorf("hangs: %+v, %v after %s", got, err, time.Since(start))
			}
		}
		// No more may hang: the next waits for one of them, or for its caller to give up.
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		l := failed("panics", pushed("icbu:P1", 9, "secret"))
		if _, err := r.try(ctx, &l); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("beside hanging ones: %v", err)
		}
		close(forever)
		synctest.Wait()
		if got, err := try("panics"); err != nil || got.Code != "panic" {
			t.Errorf("after them: %+v, %v", got, err)
		}
	})
}

func TestRehearseWithoutADatabase(t *testing.T) {
	server := pgtest.Server(t)
	s, err := store.Open(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	letter := failed("validate", pushed("icbu:P1", 9, badOrder))
	if got, err := newRehearser(s).Rehearse(t.Context(), []deadletter.Letter{letter}); err == nil || got != nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%+v, %v", got, err)
	}
}
