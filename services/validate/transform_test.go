package main

import (
	"testing"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/judge"
	"orderflow/pkg/privacy"
	"orderflow/pkg/published"
	"orderflow/pkg/worker"
)

func newTransform(t testing.TB) *transform {
	t.Helper()
	pseudonyms, err := privacy.NewPseudonyms(privacy.PseudonymSettings{PseudonymKeys: "p=" + secret})
	if err != nil {
		t.Fatal(err)
	}
	return &transform{published.NewEncoder(7), pseudonyms, func() time.Time { return receivedAt.Add(time.Second) }}
}

// BenchmarkTransform is what validate does with a record; judge alone is what it did before there was orders.v1.
func BenchmarkTransform(b *testing.B) {
	with := newTransform(b)
	alone := func(in event.Message) ([]event.Message, error) {
		passed, err := judge.Judge(in)
		return []event.Message{passed.Document}, err
	}
	for _, e := range examples(b) {
		if e.name[len(e.source)+1:] != "good-seed" {
			continue
		}
		in := record(e.source, e.key, string(e.body))
		in.Partition, in.Offset, in.Timestamp = 3, 42, receivedAt
		for name, transform := range map[string]worker.Transform{"judge": alone, "judge+publish": with.apply} {
			b.Run(string(e.source)+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := transform(judge.Stamp(in)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
