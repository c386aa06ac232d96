package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source/mall"
)

// metric finds one metric by its name and label values.
func (in *ingest) metric(name string, labels ...string) *dto.Metric {
	in.t.Helper()
	families, err := in.metrics.Gather()
	if err != nil {
		in.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			have := ""
			for _, l := range m.GetLabel() {
				have += " " + l.GetValue() + " "
			}
			matches := 0
			for _, l := range labels {
				if strings.Contains(have, " "+l+" ") {
					matches++
				}
			}
			if matches == len(labels) {
				return m
			}
		}
	}
	return &dto.Metric{}
}

func (in *ingest) counter(name string, labels ...string) float64 {
	in.t.Helper()
	return in.metric(name, labels...).GetCounter().GetValue()
}

func (in *ingest) gauge(name string, labels ...string) float64 {
	in.t.Helper()
	return in.metric(name, labels...).GetGauge().GetValue()
}

// What is refused is kept with its cause, and never reaches a received topic.
func TestRefusedRequestsAreKept(t *testing.T) {
	patient(t)
	in := start(t)
	now := time.Now()
	signed := []byte(`{"ali_order_no":"P1"}`)
	form := mallForm("NOBODY", mallToken, mall.SHA1, now, `[`+mallOrder1+`]`)
	in.post(icbuAddress(icbuKey, "wrong", now, jsonType, signed), jsonType, signed)
	in.post(icbuAddress(icbuKey, icbuSecret, now.Add(-time.Hour), jsonType, signed), jsonType, signed)
	in.post(icbuAddress("99", icbuSecret, now, jsonType, signed), jsonType, signed)
	in.pushICBU(jsonType, []byte(`{"a":`))
	in.pushICBU(jsonType, []byte(`{"a":1}`))
	in.post(procurementPrefix+"wrong"+procurementSuffix, "text/plain", []byte(`{"order":1}`))
	in.post(mallPath, formType, form)
	in.pushMall(`[` + mallOrder1 + `,` + mallOrder1 + `]`)
	in.pushMall(`[` + mallOrder1)
	in.pushMall(``)
	for _, c := range []struct {
		why      cause
		source   order.Source
		content  string
		contains bool
	}{
		{badSignature, order.ICBU, string(signed), false},
		{stale, order.ICBU, string(signed), false},
		{unknownApp, order.ICBU, string(signed), false},
		{badJSON, order.ICBU, `{"a":`, false},
		{missingOrderNo, order.ICBU, `{"a":1}`, false},
		{unknownToken, order.Procurement, `{"order":1}`, false},
		{unknownApp, order.Mall, string(form), false},
		{badBatch, order.Mall, "0000128092", true},
		{badJSON, order.Mall, "0000128092", true},
	} {
		found := false
		for _, m := range in.quarantined(c.why) {
			value := string(m.Value)
			if m.Key != string(c.source) || (value != c.content && (!c.contains || !strings.Contains(value, c.content))) {
				continue
			}
			found = true
			for name, want := range map[string]string{
				headerLength: fmt.Sprint(len(value)), event.HeaderDigest: order.Digest(m.Value), headerRemote: "127.0.0.0/24",
				event.HeaderOrderKey: "", event.HeaderType: "orderflow.quarantine", event.HeaderID: m.Header(event.HeaderPushID),
			} {
				if got := m.Header(name); got != want {
					t.Errorf("%s of %s: header %s is %q, want %q", c.why, c.source, name, got, want)
				}
			}
			if _, err := time.Parse(time.RFC3339Nano, m.Header(event.HeaderTime)); err != nil || m.Header(event.HeaderPushID) == "" {
				t.Errorf("%s of %s: time %q, push %q", c.why, c.source, m.Header(event.HeaderTime), m.Header(event.HeaderPushID))
			}
		}
		if !found {
			t.Errorf("no %s of %s is kept", c.why, c.source)
		}
	}
	if got := len(in.quarantined(badBatch)); got != 2 {
		t.Errorf("%d bad batches kept, want 2: the same Code twice, and the empty one", got)
	}
	for _, s := range order.Sources {
		if all := in.broker.Read(event.Received(s)); len(all) != 0 {
			t.Errorf("%d refused pushes stand in %s", len(all), event.Received(s))
		}
	}
}

func TestContentTypeIsCleaned(t *testing.T) {
	patient(t)
	in := start(t)
	r := in.request(http.MethodPost, procurementPrefix+token+procurementSuffix, strings.Repeat("小x", 200), []byte("{"))
	in.do(r)
	kept := in.quarantined(badJSON)
	if len(kept) != 1 || kept[0].Header(event.HeaderContentType) != strings.Repeat("x", 128) {
		t.Errorf("%d kept: %+v", len(kept), kept)
	}
}

// A flood of bad signatures is answered but hardly kept; what proven senders send is kept all the same.
func TestFloodDoesNotFillQuarantine(t *testing.T) {
	patient(t)
	in := start(t, func(s *Settings) { s.Ingest.QuarantineRate = 0.0001 }) // its burst, and nothing more in this test
	content := []byte(`{"ali_order_no":"P1"}`)
	for range 200 {
		if a := in.post(icbuAddress(icbuKey, "wrong", time.Now(), jsonType, content), jsonType, content); a.body != icbuSignFailure {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	for range 3 {
		in.pushICBU(jsonType, []byte(`{`))
	}
	if got := len(in.quarantined(badSignature)); got != burst {
		t.Errorf("%d bad signatures kept, want %d", got, burst)
	}
	if got := len(in.quarantined(badJSON)); got != 3 {
		t.Errorf("%d unreadable bodies of a proven sender kept, want 3", got)
	}
	if got := in.counter("orderflow_ingest_quarantine_dropped_total", "icbu", string(badSignature)); got != 200-burst {
		t.Errorf("%v counted as dropped, want %d", got, 200-burst)
	}
	if got := in.counter("orderflow_ingest_pushes_total", "icbu", string(badSignature)); got != 200 {
		t.Errorf("%v counted, want 200", got)
	}
}
