package source_test

import (
	"bytes"
	"strings"
	"testing"

	"orderflow/pkg/source"
)

// hostile are bodies of 1 MiB in shapes that are dear to naive readers. None is a valid order.
func hostile() map[string][]byte {
	const size = 1 << 20
	fill := func(head, unit, tail string) []byte {
		n := (size - len(head) - len(tail)) / len(unit)
		return []byte(head + strings.Repeat(unit, n) + tail)
	}
	return map[string][]byte{
		"brackets":        bytes.Repeat([]byte{'['}, size),
		"objects open":    fill("", `{"a":`, "1"),
		"empty objects":   fill(`{"Dtls":[{}`, ",{}", "]}"),
		"empty products":  fill(`{"ali_order_no":"P1","order_product_list":[{}`, ",{}", "]}"),
		"empty shares":    fill(`{"saas_info":{"cost_attribution":[{"details":[{}`, ",{}", "]}]}}"),
		"split shares":    fill(`{"saas_info":{"cost_attribution":[{}`, `,{"details":[{}]}`, "]}}"),
		"unknown objects": fill(`{"x":[{}`, ",{}", "]}"),
		"empty arrays":    fill("[[]", ",[]", "]"),
		"digits":          fill(`{"TotalMoney":1`, "0", "}"),
		"quoted digits":   fill(`{"TotalMoney":"1`, "0", `"}`),
		"amount":          fill(`{"amount":"1`, "0", `"}`),
		"exponent":        fill(`{"amount":1e1`, "0", `}`),
		"quotes":          fill("", `"`, ""),
		"escapes":         fill(`{"a":"`, `\"`, `"}`),
		"names":           []byte("{" + members(size/7) + "}"),
		"some names":      []byte("{" + members(source.MaxMembers-1) + `,"0":"` + strings.Repeat("x", size/2) + `"}`),
		"same names":      fill(`{"a":1`, `,"a":1`, "}"),
	}
}

func BenchmarkCheckHostile(b *testing.B) {
	for name, body := range hostile() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				_ = source.Check(body) // refused or not: only the cost counts
			}
		})
	}
}
