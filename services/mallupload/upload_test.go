package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner"
	"orderflow/pkg/partner/ezr"
)

func (s *shopServer) uploader(t testing.TB, l limits) *uploader {
	t.Helper()
	client, err := ezr.New(s.settings())
	if err != nil {
		t.Fatal(err)
	}
	return newUploader(client, l)
}

func parcels(t testing.TB, n int) []delivery.Parcel {
	t.Helper()
	all := make([]delivery.Parcel, n)
	for i := range all {
		ready, err := prepare(document("S1", fmt.Sprint(i), "450.5"))
		if err != nil || ready.Total != "450.50" || ready.After != "" {
			t.Fatalf("prepare: %+v, %v", ready, err)
		}
		all[i] = delivery.Parcel{Body: ready.Body, Attempt: 1}
	}
	return all
}

// classes counts the answers by class, "" for taken.
func classes(answers []delivery.Answer) map[partner.Class]int {
	counts := map[partner.Class]int{}
	for _, a := range answers {
		if a.Err == nil {
			counts[""]++
		} else {
			counts[a.Err.Class]++
		}
	}
	return counts
}

func TestOneBadOrderOfAHundred(t *testing.T) {
	for _, code := range []string{"406", "2001", "303"} {
		worst := 0
		for bad := range 100 {
			s := startShopServer(t)
			s.judge = func(codes []string) string {
				for _, c := range codes {
					if c == fmt.Sprint(bad) {
						return code
					}
				}
				return ""
			}
			answers := s.uploader(t, unlimited).send(t.Context(), parcels(t, 100))
			for i, a := range answers {
				if (a.Err != nil) != (i == bad) || i == bad && (a.Err.Class != partner.Refused || a.Err.Code != code) {
					t.Fatalf("bad %d: order %d: %+v", bad, i, a.Err)
				}
			}
			if len(s.taken) != 99 {
				t.Errorf("bad %d: %d orders taken", bad, len(s.taken))
			}
			worst = max(worst, s.calls())
			s.Close()
		}
		t.Logf("%s: at most %d calls", code, worst)
		if worst > 15 {
			t.Errorf("%s: up to %d calls", code, worst)
		}
	}
}

func TestOneKnownOrderOfAHundred(t *testing.T) {
	s := startShopServer(t)
	s.taken["17"] = "another content"
	answers := s.uploader(t, unlimited).send(t.Context(), parcels(t, 100))
	if counts := classes(answers); counts[""] != 99 || answers[17].Err.Class != partner.Exists {
		t.Errorf("answers: %v, the known one: %+v", counts, answers[17])
	}
	if n := s.calls(); n > 15 {
		t.Errorf("%d calls", n)
	}
}

func TestBatchThatWasTakenAlready(t *testing.T) {
	s := startShopServer(t)
	all := parcels(t, 100)
	for i := range all {
		all[i].MaybeTaken = true
		s.taken[fmt.Sprint(i)] = "the same"
	}
	answers := s.uploader(t, unlimited).send(t.Context(), all)
	if counts := classes(answers); counts[partner.Exists] != 100 {
		t.Errorf("answers: %v", counts)
	}
	if n := s.calls(); n > 101 {
		t.Errorf("%d calls", n)
	}
}

func TestTooLargeIsHalved(t *testing.T) {
	s := startShopServer(t)
	s.judge = func(codes []string) string {
		if len(codes) > 30 {
			return ezr.CodeTooLong
		}
		return ""
	}
	if counts := classes(s.uploader(t, unlimited).send(t.Context(), parcels(t, 100))); counts[""] != 100 {
		t.Errorf("answers: %v", counts)
	}
	if n := s.calls(); n != 7 { // 100, 50, 25, 25, 50, 25, 25
		t.Errorf("%d calls", n)
	}
}

func TestFailureOfTheWholeStopsTheCalls(t *testing.T) {
	for code, want := range map[string]partner.Class{"500": partner.Unknown, "407": partner.NotTaken, "405": partner.Configuration} {
		s := startShopServer(t)
		s.judge = func(codes []string) string {
			if len(codes) == 100 {
				return "406"
			}
			return code
		}
		answers := s.uploader(t, unlimited).send(t.Context(), parcels(t, 100))
		rest := partner.NotTaken
		if want == partner.Configuration {
			rest = partner.Configuration
		}
		for i, a := range answers {
			if class := map[bool]partner.Class{true: want, false: rest}[i < 50]; a.Err == nil || a.Err.Class != class {
				t.Fatalf("%s: order %d: %+v, wanted %s", code, i, a.Err, class)
			}
		}
		if n := s.calls(); n != 2 {
			t.Errorf("%s: %d calls", code, n)
		}
		s.Close()
	}
}

// A return that failed before is sent by itself: EZR missing its sale would bisect the whole batch again.
func TestReturnThatFailedIsSentAlone(t *testing.T) {
	s := startShopServer(t)
	all := parcels(t, 10)
	all[3].After, all[3].Attempt, all[4].After, all[5].Attempt = "mall:S1:1", 2, "mall:S1:1", 2
	if counts := classes(s.uploader(t, unlimited).send(t.Context(), all)); counts[""] != 10 {
		t.Errorf("answers: %v", counts)
	}
	if len(s.batches) != 2 || len(s.batches[0]) != 9 || s.batches[1][0] != "3" {
		t.Errorf("calls: %v", s.batches)
	}
}

func TestReturnComesAfterItsSale(t *testing.T) {
	for document, want := range map[string]order.Key{
		`{"ShopCode":"S:1","Code":"R1","OriginalCode":"01","TotalMoney":-1}`:  "mall:S%3A1:01",
		`{"ShopCode":"S1","Code":"R1","OriginalCode":10,"TotalMoney":"-1.5"}`: "mall:S1:10",
		`{"ShopCode":"S1","Code":"R1","TotalMoney":-1}`:                       "",
		`{"ShopCode":"S1","Code":"R1","OriginalCode":"01","TotalMoney":1}`:    "",
	} {
		if ready, err := prepare([]byte(document)); err != nil || ready.After != want {
			t.Errorf("%s: after %q, %v", document, ready.After, err)
		}
	}
}

func TestRateIsKept(t *testing.T) {
	s := startShopServer(t)
	u := s.uploader(t, limits{MaxInFlight: 10, Rate: 4, Instances: 2})
	start := time.Now()
	for range 4 {
		u.send(t.Context(), parcels(t, 1))
	}
	// Two a second for this instance, of which two at once: the fourth call waits for a second.
	if took := time.Since(start); took < 900*time.Millisecond {
		t.Errorf("4 calls in %s", took)
	}
}

func TestNoCallAfterTheDeadline(t *testing.T) {
	s := startShopServer(t)
	ctx, stop := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer stop()
	for name, l := range map[string]limits{"unlimited": unlimited, "limited": {MaxInFlight: 1, Rate: 1, Instances: 1}} {
		if counts := classes(s.uploader(t, l).send(ctx, parcels(t, 3))); counts[partner.NotTaken] != 3 {
			t.Errorf("%s: %v", name, counts)
		}
	}
	if n := s.calls(); n != 0 {
		t.Errorf("%d calls", n)
	}
}

func TestShopOfAnOrderKey(t *testing.T) {
	for key, want := range map[string]string{"mall:S1:1": "S1", "mall:S%3A1:1": "S%3A1", "mall:!0123": "!0123", "": ""} {
		if got := shop(event.Message{Key: key}); got != want {
			t.Errorf("%q: %q", key, got)
		}
	}
}

func TestLimitsAreShared(t *testing.T) {
	l := limits{MaxInFlight: 10, Rate: 9, Instances: 3}
	if l.inFlight() != 3 || l.rate() != 3 {
		t.Errorf("%d in flight, %v a second", l.inFlight(), l.rate())
	}
	for name, wrong := range map[string]limits{
		"instances": {MaxInFlight: 10, Instances: 0}, "in flight": {MaxInFlight: 2, Instances: 3},
		"rate": {MaxInFlight: 1, Instances: 1, Rate: -1}, "linger": {MaxInFlight: 1, Instances: 1, Linger: -1},
	} {
		if wrong.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
