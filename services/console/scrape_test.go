package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"orderflow/pkg/boot"
	"orderflow/pkg/bustest"
)

// ops is the ops address of a worker, with the gauges of pkg/worker.
type ops struct {
	address string
	health  *boot.Health
	breaker *prometheus.GaugeVec
	held    *prometheus.GaugeVec
}

func newOps(t testing.TB, service string) *ops {
	registry := prometheus.NewRegistry()
	o := &ops{
		health:  boot.NewHealth(),
		breaker: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: gaugeBreaker, Help: "x"}, []string{"service"}),
		held:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: gaugeHeld, Help: "x"}, []string{"service", "source"}),
	}
	o.health.Set("group", nil)
	if service != "ingest" {
		registry.MustRegister(o.breaker, o.held)
		o.breaker.WithLabelValues(service).Set(0)
		o.held.WithLabelValues(service, "mall").Set(0)
		o.held.WithLabelValues("another", "icbu").Set(1)
		o.breaker.WithLabelValues("another").Set(1)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", o.health.ServeReadyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	o.address = server.Listener.Addr().String()
	return o
}

func (o *ops) red(condition, text string) { o.health.Set(condition, errors.New(text)) }

func TestScrape(t *testing.T) {
	good, red, fresh := newOps(t, "okkisync"), newOps(t, "mallupload"), newOps(t, "ingest")
	red.red("dead letter guard, mall", "mall is held: mend it")
	red.red("group", strings.Repeat("x", 2*maxReason))
	red.held.WithLabelValues("mallupload", "mall").Set(1)
	red.breaker.WithLabelValues("mallupload").Set(1)
	const nobody = "127.0.0.1:1" // a port that was just given back may be another test's by now; this one is given to none
	served := func(handler http.HandlerFunc) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.URL
	}
	held := make(chan struct{})
	ready := `{"status":"ready"}`
	targets, err := parseTargets(fmt.Sprintf("okkisync=http://%s, mallupload=http://%s/ ,ingest=http://%s,validate=http://%s,persist=%s,persist=%s,persist=%s,persist=%s,persist=%s",
		good.address, red.address, fresh.address, nobody,
		served(func(http.ResponseWriter, *http.Request) { <-held }),                                           // hangs
		served(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>a login page")) }), // somebody else
		served(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+good.address+r.URL.Path, http.StatusFound)
		}), // leads elsewhere
		served(func(w http.ResponseWriter, r *http.Request) { // floods
			_, _ = w.Write([]byte(ready))
			for n := 0; n < 2*maxMetrics && r.Context().Err() == nil; n += 1 << 16 {
				_, _ = w.Write(make([]byte, 1<<16))
			}
		}),
		served(func(w http.ResponseWriter, r *http.Request) { // is ready, with metrics that are none
			if _, _ = w.Write([]byte(ready)); r.URL.Path == "/metrics" {
				_, _ = w.Write([]byte("{{{\n"))
			}
		})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(held) }) // before the servers are closed
	s := newScraper(targets)
	if first := s.of("okkisync"); len(first) != 1 || first[0].Health != healthUnasked || first[0].Address != good.address {
		t.Errorf("before the first question %+v", first)
	}
	began := time.Now()
	s.round(t.Context())
	if took := time.Since(began); took > scrapeWithin+bustest.Patience/2 {
		t.Errorf("a round took %s", took)
	}
	// On a busy machine a good process may not answer in time, and is asked once more.
	heard := func(service string) bool {
		i := s.of(service)[0]
		return i.Health != healthSilent && (i.Breaker != nil || service == "ingest")
	}
	round := func(wanted func() bool) {
		for late := time.Now().Add(bustest.Patience); ; {
			s.round(t.Context())
			if wanted() {
				return
			}
			if time.Now().After(late) {
				t.Fatalf("still not heard: %+v", s.instances)
			}
		}
	}
	round(func() bool {
		return heard("okkisync") && heard("mallupload") && heard("ingest") && s.of("persist")[4].Health != healthSilent
	})
	if got := s.of("okkisync")[0]; got.Health != healthReady || got.Breaker == nil || *got.Breaker || len(got.Held) != 0 || !got.Guarded || got.Since.IsZero() {
		t.Errorf("a good worker %+v", got)
	}
	if got := s.of("ingest")[0]; got.Health != healthReady || got.Breaker != nil || got.Guarded {
		t.Errorf("ingest %+v", got)
	}
	if got := s.of("validate")[0]; got.Health != healthSilent || len(got.Reasons) != 0 {
		t.Errorf("nobody there %+v", got)
	}
	for n, want := range []health{healthSilent, healthSilent, healthSilent, healthSilent, healthReady} {
		if got := s.of("persist")[n]; got.Health != want || got.Breaker != nil || got.Guarded {
			t.Errorf("persist %d: %+v, want %s", n, got, want)
		}
	}
	first := s.of("mallupload")[0]
	if first.Health != healthRed || !*first.Breaker || strings.Join(first.Held, " ") != "mall" || len(first.Reasons) != 2 ||
		first.Reasons[0] != (reason{"dead letter guard, mall", "mall is held: mend it"}) || len(first.Reasons[1].Text) > maxReason+len("…") {
		t.Errorf("a red worker %+v", first)
	}

	// Since when it is so is kept while it is so, and begins anew with a change.
	before := heard("mallupload")
	round(func() bool { // twice in a row
		twice := before && heard("mallupload")
		if before = heard("mallupload"); !twice {
			first = s.of("mallupload")[0]
		}
		return twice
	})
	if again := s.of("mallupload")[0]; again.Since != first.Since || again.BreakerSince != first.BreakerSince || again.BreakerSince.IsZero() {
		t.Errorf("still red %+v, was %+v", again, first)
	}
	red.health.Set("group", nil)
	red.health.Set("dead letter guard, mall", nil)
	red.breaker.WithLabelValues("mallupload").Set(0)
	round(func() bool { return heard("mallupload") })
	if now := s.of("mallupload")[0]; now.Health != healthReady || !now.Since.After(first.Since) || *now.Breaker || !now.BreakerSince.IsZero() {
		t.Errorf("ready again %+v", now)
	}
}

func TestWorkerOpsSetting(t *testing.T) {
	for text, want := range map[string]int{"": 0, "okkisync=http://a:1": 1, "okkisync=http://a:1,okkisync=https://b,ingest=http://[::1]:9": 3, "balance=http://b:1": 1} {
		if targets, err := parseTargets(text); err != nil || len(targets) != want {
			t.Errorf("%s: %v %v", text, targets, err)
		}
	}
	for _, text := range []string{
		"http://a:1", "okkisync", "okkisync=", "okkisync=a:1", "okkisync=ftp://a", "okkisync=http://user:secret@a", "okkisync=http://a/path", "okkisync=http://a?x=1",
		"okkisync=http:///", "console=http://a",
	} {
		_, err := parseTargets("ingest=http://a:1," + text)
		if err == nil || !strings.Contains(err.Error(), "entry 2") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What a service finishes is known from its own count: a retry is no end, a transaction's mark no record.
func TestRateOfAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScraper([]target{{"persist", "http://a:1"}, {"persist", "http://b:1"}, {"validate", "http://c:1"}})
		tell := func(i int, retries, done int64) {
			var told report
			readGauges(&told, fmt.Appendf(nil, `# TYPE orderflow_worker_records_total counter
orderflow_worker_breaker_open{service="persist"} 0
orderflow_worker_records_total{outcome="done",service="persist",topic="x"} %d
orderflow_worker_records_total{outcome="dead_letter",service="persist",topic="y"} 1
orderflow_worker_records_total{outcome="retry",service="persist",topic="x"} %d
orderflow_worker_records_total{outcome="done",service="another",topic="x"} 1000000
`, done, retries), "persist")
			s.note(i, healthReady, told)
		}
		for second := range int64(10) {
			tell(0, 100*second, 10*second)
			if second > 5 {
				tell(1, 0, 1000+5*second)
			}
			if got := s.rate("persist"); got.Known && second < 7 {
				t.Errorf("known while one has not told twice: %+v", got)
			}
			<-time.After(time.Second)
		}
		if got := s.rate("persist"); !got.Known || got.Second != 15 {
			t.Errorf("rate %+v, want 15 a second", got)
		}
		tell(1, 0, 3) // began anew
		if got := s.rate("persist"); got.Known {
			t.Errorf("after a restart: %+v", got)
		}
		s.note(0, healthSilent, report{})
		for _, service := range []string{"persist", "validate", "okkisync"} {
			if got := s.rate(service); got.Known {
				t.Errorf("%s, of which nobody tells: %+v", service, got)
			}
		}
		var fresh report
		readGauges(&fresh, []byte("orderflow_worker_breaker_open{service=\"validate\"} 0\n"), "validate")
		if fresh.Handled == nil || *fresh.Handled != 0 {
			t.Errorf("one without a record yet: %v", fresh.Handled)
		}
	})
}
