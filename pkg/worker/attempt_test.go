package worker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/event"
)

func TestEvidenceIsAnAnswerToAnotherOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e evidence
		answers := rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "c"})).Draw(t, "answers")
		for _, key := range answers {
			e.note(key)
		}
		key := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key")
		seen := rapid.IntRange(0, len(answers)).Draw(t, "seen")
		want := false
		for _, answer := range answers[seen:] {
			want = want || answer != key
		}
		if got := e.since(key, uint64(seen)); got != want {
			t.Fatalf("answers %v, %s since %d: %t, wanted %t", answers, key, seen, got, want)
		}
	})
}

func testRecord(key string) *record {
	return &record{message: event.Message{Key: key}, key: key, part: newPartition(place{"main", 0})}
}

// fail lets a record fail once, after an answer to another key if others are well.
func fail(p *policy, r *record, err error, othersWell bool, now time.Time) decision {
	if othersWell {
		p.evidence.note("another")
	}
	return p.judge(r, err, false, 1, now)
}

func TestOnlyFailuresAmongHealthyOthersCount(t *testing.T) {
	plain := errors.New("no luck")
	cases := map[string]struct {
		err        error
		othersWell bool
		counts     bool
	}{
		"plain, others well":          {plain, true, true},
		"plain, alone":                {plain, false, false},
		"outage, others well":         {&OutageError{plain}, true, false},
		"wrapped outage, others well": {fmt.Errorf("call: %w", &OutageError{plain}), true, false},
		"pause, others well":          {&PauseError{After: time.Second, Err: plain}, true, false},
		"configuration, others well":  {&ConfigurationError{plain}, true, false},
		"busy, others well":           {fmt.Errorf("claim: %w", ErrBusy), true, false},
	}
	now := time.Unix(1e9, 0)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := policy{settings: Settings{MaxAttempts: 3}.withDefaults()}
			r := testRecord("one")
			for try := 1; try <= 100; try++ {
				d := fail(&p, r, c.err, c.othersWell, now)
				if c.counts && try == 3 {
					if d.fault == nil || d.fault.code != RetriesExhausted || d.fault.class != classExhausted || r.tries != 3 {
						t.Fatalf("after 3 attempts: %+v", d)
					}
					return
				}
				if d.fault != nil || !d.again {
					t.Fatalf("try %d: %+v", try, d)
				}
			}
			if c.counts {
				t.Error("never given up")
			}
		})
	}
}

func TestAnAnswerCountsOnceOnly(t *testing.T) {
	p := policy{settings: Settings{MaxAttempts: 2}.withDefaults()}
	r, now := testRecord("one"), time.Unix(1e9, 0)
	fail(&p, r, errors.New("x"), true, now)
	for range 10 {
		if d := fail(&p, r, errors.New("x"), false, now); d.fault != nil {
			t.Fatal("blamed without new evidence")
		}
	}
	p.evidence.note("one") // an answer about the order itself is no evidence against it
	if d := fail(&p, r, errors.New("x"), false, now); d.fault != nil {
		t.Fatal("blamed by its own answer")
	}
	if d := fail(&p, r, errors.New("x"), true, now); d.fault == nil {
		t.Error("not given up although others were answered twice between its attempts")
	}
}

func TestBackoffDoublesToItsCap(t *testing.T) {
	p := policy{settings: Settings{}.withDefaults()}
	plain, busy := testRecord("one"), testRecord("two")
	now := time.Unix(1e9, 0)
	for try, want := range []time.Duration{500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000} {
		want *= time.Millisecond
		if d := fail(&p, plain, errors.New("x"), false, now); d.due.Sub(now) != want {
			t.Errorf("try %d waits %s, wanted %s", try+1, d.due.Sub(now), want)
		}
		if d := fail(&p, busy, ErrBusy, false, now); d.due.Sub(now) != min(want, busyCap) {
			t.Errorf("busy try %d waits %s", try+1, d.due.Sub(now))
		}
	}
	for range 100 { // far beyond the shift's width
		if d := fail(&p, plain, errors.New("x"), false, now); d.due.Sub(now) != backoffCap {
			t.Fatalf("waits %s", d.due.Sub(now))
		}
	}
}

func TestPermanentIsClaimedByItsTypeOnly(t *testing.T) {
	p := policy{settings: Settings{}.withDefaults()}
	now := time.Unix(1e9, 0)
	err := fmt.Errorf("upload: %w", &PermanentError{Code: PartnerRejected, Path: "/p", Detail: "isv.1", Err: errors.New("no")})
	d := p.judge(testRecord("one"), err, false, 1, now)
	if d.fault == nil || d.fault.code != PartnerRejected || d.fault.path != "/p" || d.fault.detail != "isv.1" || d.fault.class != classPermanent {
		t.Errorf("%+v", d)
	}
}

func failing(keys ...string) (records []*record, results []Result) {
	for _, key := range keys {
		records = append(records, testRecord(key))
		results = append(results, Result{Err: errors.New("x")})
	}
	return records, results
}

func TestBreakerOpensOnSeveralOrdersAndClosesOnAnyAnswer(t *testing.T) {
	now := time.Unix(1e9, 0)
	observe := func(p *policy, keys ...string) gateNews {
		records, results := failing(keys...)
		return p.observe(records, results, now)
	}
	p := policy{settings: Settings{}.withDefaults()}
	for range 10 * breakerFailures {
		if observe(&p, "lone").opened {
			t.Fatal("opened for one order alone")
		}
	}
	if !observe(&p, "second").opened || p.gate.mayCall(now) {
		t.Fatal("not opened by failures of two orders in a row")
	}
	if p.gate.mayProbe(now) {
		t.Error("probes at once")
	}
	later := now.Add(time.Second)
	if !p.gate.mayProbe(later) {
		t.Error("no probe after a second")
	}
	p.gate.probing = true
	if p.gate.mayProbe(later) {
		t.Error("two probes at once")
	}
	p.gate.probed(later)
	if p.gate.mayProbe(later.Add(time.Millisecond)) || !p.gate.mayProbe(later.Add(3*probeFirst)) {
		t.Error("the next probe does not come a little later")
	}
	refused := []Result{{Answered: true, Err: Permanent(PartnerRejected, errors.New("no"))}}
	if news := p.observe([]*record{testRecord("third")}, refused, later); !news.freed || !p.gate.mayCall(later) {
		t.Error("a refusal, which is a definite answer, did not close it")
	}
}

func TestBreakerNeedsFailuresInARow(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := policy{settings: Settings{}.withDefaults()}
	for i := range 5 * breakerFailures {
		key := fmt.Sprint(i)
		records, results := failing(key)
		if i%(breakerFailures-1) == 0 {
			results[0] = Result{} // a success in between
		}
		if p.observe(records, results, now).opened {
			t.Fatal("opened although not all failed")
		}
	}
}

func TestPauseIsClampedAndHoldsEverybodyBack(t *testing.T) {
	now := time.Unix(1e9, 0)
	for asked, want := range map[time.Duration]time.Duration{
		0: backoffBase, -time.Hour: backoffBase, 20 * time.Second: 20 * time.Second, 24 * time.Hour: time.Minute,
	} {
		p := policy{settings: Settings{RetryAfterMax: time.Minute}.withDefaults()}
		p.observe([]*record{testRecord("a")}, []Result{{Err: &PauseError{After: asked, Err: errors.New("429")}}}, now)
		if p.gate.mayCall(now.Add(want-time.Millisecond)) || !p.gate.mayCall(now.Add(want+want/10+time.Millisecond)) {
			t.Errorf("asked for %s: until %s", asked, p.gate.pausedUntil.Sub(now))
		}
	}
}

func TestConfigurationErrorLeavesOneProbeAMinute(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := policy{settings: Settings{}.withDefaults()}
	wrong := []Result{{Err: &ConfigurationError{errors.New("405")}}}
	if news := p.observe([]*record{testRecord("a")}, wrong, now); news.misconfigured == nil || p.gate.mayCall(now) {
		t.Fatal("calls go on")
	}
	if p.gate.mayProbe(now.Add(40*time.Second)) || !p.gate.mayProbe(now.Add(73*time.Second)) {
		t.Error("the probe does not come after about a minute")
	}
	if news := p.observe([]*record{testRecord("a")}, []Result{{Answered: true}}, now); !news.freed || !p.gate.mayCall(now) {
		t.Error("not freed by a success")
	}
}
