package source_test

import (
	"bytes"
	"strings"
	"testing"

	"orderflow/pkg/source"
)

// hostile are bodies of 1 MiB in shapes that are dear to naive readers.
func hostile() map[string][]byte {
	const size = 1 << 20
	fill := func(head, unit, tail string) []byte {
		n := (size - len(head) - len(tail)) / len(unit)
		return []byte(head + strings.Repeat(unit, n) + tail)
	}
	names := []byte{'{'}
	for i := 0; len(names) < size-16; i++ {
		names = append(names, `"`...)
		for n := i; n > 0; n /= 26 {
			names = append(names, byte('a'+n%26))
		}
		names = append(names, `":1,`...)
	}
	names = append(names[:len(names)-1], '}')
	return map[string][]byte{
		"brackets":      bytes.Repeat([]byte{'['}, size),
		"objects open":  fill("", `{"a":`, "1"),
		"empty objects": fill(`{"Dtls":[{}`, ",{}", "]}"),
		"empty arrays":  fill("[[]", ",[]", "]"),
		"digits":        fill(`{"TotalMoney":1`, "0", "}"),
		"quoted digits": fill(`{"TotalMoney":"1`, "0", `"}`),
		"quotes":        fill("", `"`, ""),
		"escapes":       fill(`{"a":"`, `\"`, `"}`),
		"names":         names,
		"same names":    fill(`{"a":1`, `,"a":1`, "}"),
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
