package main

import (
	"testing"
	"time"

	"orderflow/pkg/store"
)

// What is wrong is told, the gravest first; what is not known is not called good.
func TestProblems(t *testing.T) {
	yes, no := true, false
	began := time.Now().Add(-time.Hour)
	seen := &flowView{}
	running := station{Service: "okkisync", Workers: 1}
	at := func(s station, instances ...instance) *overviewView {
		return &overviewView{Flow: seen, Database: true, Stages: [][]stop{{{station: s, Instances: instances}}}}
	}
	for name, c := range map[string]struct {
		view *overviewView
		want []problem
	}{
		"all is well": {at(running, instance{Health: healthReady, report: report{Breaker: &no, Guarded: true}}), nil},
		"not asked":   {at(running, instance{Health: healthUnasked}), nil},
		"no worker":   {at(station{Service: "persist", Oldest: began, Lag: 3}), []problem{{Trouble: troubleNoWorker, Service: "persist", Since: began}}},
		"behind":      {at(station{Service: "persist", Workers: 1, Oldest: began, Lag: 3}), []problem{{Trouble: troubleSlow, Service: "persist", Since: began}}},
		"a moment":    {at(station{Service: "persist", Workers: 1, Oldest: time.Now(), Lag: 3}), nil},
		"no Kafka":    {&overviewView{Database: true, Stages: [][]stop{{{station: station{Service: "persist"}}}}}, []problem{{Trouble: troubleKafka}}},
		"no database": {&overviewView{Flow: seen}, []problem{{Trouble: troubleDatabase}}},
		"silent":      {at(running, instance{Service: "okkisync", Health: healthSilent, Since: began}), []problem{{Trouble: troubleSilent, Service: "okkisync", Since: began}}},
		"held before red": {
			at(running, instance{Service: "okkisync", Health: healthRed, Since: began, report: report{Held: []string{"icbu"}}}),
			[]problem{{Trouble: troubleGuard, Service: "okkisync", Since: began}},
		},
		"red":     {at(running, instance{Service: "okkisync", Health: healthRed, Since: began}), []problem{{Trouble: troubleRed, Service: "okkisync", Since: began}}},
		"breaker": {at(running, instance{Service: "okkisync", Health: healthReady, report: report{Breaker: &yes, BreakerSince: began}}), []problem{{Trouble: troubleBreaker, Service: "okkisync", Since: began}}},
		"the door": {
			&overviewView{Flow: seen, Database: true, Door: []instance{{Service: "ingest", Health: healthSilent}}},
			[]problem{{Trouble: troubleSilent, Service: "ingest"}},
		},
		"nobody counts": {
			&overviewView{Flow: seen, Database: true, Counting: []instance{{Service: "balance", Health: healthSilent, Since: began}}},
			[]problem{{Trouble: troubleSilent, Service: "balance", Since: began}},
		},
		"hours": {
			&overviewView{Flow: seen, Database: true, Hours: 2, HoursSince: began},
			[]problem{{Trouble: troubleHours, Count: 2, Since: began, To: "/balance"}},
		},
		"letters and jobs": {
			&overviewView{Flow: seen, Database: true, Letters: 5, LettersSince: began, Jobs: []jobAnswer{
				{ID: 1, State: store.JobRunning, Balanced: true}, {ID: 2, State: store.JobWaitingApproval, Balanced: true}, {ID: 3, State: store.JobStopped, Balanced: true}, {ID: 4, Selected: 9},
			}},
			[]problem{
				{Trouble: troubleUnbalanced, Job: 4, Count: 9, To: "/replays/4"},
				{Trouble: troubleStopped, Job: 3, To: "/replays/3"},
				{Trouble: troubleApproval, Job: 2, To: "/replays/2"},
				{Trouble: troubleLetters, Count: 5, Since: began, To: "/letters/groups"},
			},
		},
	} {
		got := c.view.problems()
		if len(got) != len(c.want) {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		for i, p := range got {
			w := c.want[i]
			if p.Trouble != w.Trouble || p.Service != w.Service || p.Job != w.Job || p.Count != w.Count || p.Since != w.Since || p.To != w.To {
				t.Errorf("%s: %+v, want %+v", name, p, w)
			}
		}
	}
	if v := at(running, instance{Health: healthUnasked}); !v.Unasked() {
		t.Error("who was not asked counts as good")
	}
	if v := (overviewView{Counting: []instance{{Health: healthUnasked}}}); !v.Unasked() {
		t.Error("a balance that was not asked counts as good")
	}
	s := stop{Instances: []instance{{report: report{Breaker: &no}}, {report: report{Breaker: &yes, Held: []string{"mall", "icbu"}}}, {report: report{Held: []string{"mall"}}}}}
	if s.Breaker() != "open" || s.Holds() != "icbu, mall" || (stop{}).Breaker() != "unknown" || (stop{}).Guarded() {
		t.Errorf("states %s %s", s.Breaker(), s.Holds())
	}
}

func TestSpeed(t *testing.T) {
	began := time.Now()
	var s samples
	look := func(after time.Duration, offset int64) speed {
		s.add(sample{began.Add(after), map[string]int64{"x": offset}})
		return s.rate("x")
	}
	if look(0, 100).Known || look(time.Second/2, 150).Known {
		t.Error("a speed out of nothing")
	}
	if got := look(2*time.Second, 300); !got.Known || got.Second != 100 {
		t.Errorf("after two seconds %+v", got)
	}
	if got := look(62*time.Second, 300); got != (speed{true, 0}) || len(s) != 2 {
		t.Errorf("after a minute of nothing %+v of %d looks", got, len(s))
	}
	if look(70*time.Second, 5).Known {
		t.Error("a topic that was made anew has a speed")
	}
	if s.rate("y").Known {
		t.Error("what was never seen has a speed")
	}
	for want, given := range map[string]speed{"… / s": {}, "0 / s": {true, 0}, "<0.1 / s": {true, 0.01}, "2.5 / s": {true, 2.5}, "10 / s": {true, 9.99}, "12,346 / s": {true, 12345.6}} {
		if got := perSecond(english, given); got != want {
			t.Errorf("%v: %s, want %s", given, got, want)
		}
	}
}
