package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/order"
	"orderflow/schemas"
)

// BenchmarkJudge is what ingest itself does for one push of the seed's size, beside HTTP and Kafka.
func BenchmarkJudge(b *testing.B) {
	example, err := schemas.Examples.ReadFile("examples/icbu/good-seed.json")
	if err != nil {
		b.Fatal(err)
	}
	d := newICBU([]pair{{icbuKey, icbuSecret}}, time.Hour, nil, 8)
	address := icbuAddress(icbuKey, icbuSecret, time.Now(), jsonType, example)
	r := httptest.NewRequest(http.MethodPost, address, strings.NewReader(""))
	r.Header.Set("Content-Type", jsonType)
	b.SetBytes(int64(len(example)))
	b.ReportAllocs()
	for b.Loop() {
		p := newPush(order.ICBU, r, time.Now())
		p.body = body{content: example, length: int64(len(example))}
		v := d.judge(p)
		if v.answer(); len(v.messages) != 1 {
			b.Fatal(v.outcome)
		}
	}
}
