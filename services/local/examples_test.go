package main

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

func TestDemoShowsEverySourceGoodAndBad(t *testing.T) {
	examples, err := demoExamples(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range order.Sources {
		for _, want := range []string{"good-seed", "bad-"} {
			if !slices.ContainsFunc(examples, func(e example) bool {
				return e.source == source && bytes.HasPrefix([]byte(e.name), []byte(want)) && len(e.body) > 0
			}) {
				t.Errorf("no %s... of %s", want, source)
			}
		}
	}
}

// A stack that is started again in the same month pushes the same bytes.
func TestDemoIsTheSameForAMonth(t *testing.T) {
	first, err := demoExamples(time.Date(2026, 11, 1, 0, 0, 1, 0, source.Zone))
	if err != nil {
		t.Fatal(err)
	}
	last, err := demoExamples(time.Date(2026, 11, 30, 23, 59, 0, 0, source.Zone))
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		if !bytes.Equal(first[i].body, last[i].body) {
			t.Errorf("%s differs within a month", first[i].path)
		}
		if first[i].source == order.Mall && !bytes.Contains(first[i].body, []byte(`2026-10-`)) {
			t.Errorf("%s was not moved:\n%s", first[i].path, first[i].body)
		}
	}
}
