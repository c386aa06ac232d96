package source_test

import (
	"bytes"
	"io/fs"
	"path"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/source/procurement"
	"orderflow/schemas"
)

// receivedAt is when every push of these tests arrives.
var receivedAt = time.Date(2026, 11, 20, 10, 0, 0, 0, source.Zone)

// contract is what the three contracts have in common.
type contract struct {
	judge func([]byte, time.Time) ([]byte, order.Order, error)
	remap func([]byte) (order.Order, error)
	key   func([]byte) (order.Key, error) // as ingest finds it
}

var contracts = map[order.Source]contract{
	order.ICBU: {icbu.Judge, icbu.Map, func(body []byte) (order.Key, error) {
		head, err := icbu.Peek(body)
		return icbu.Key(body, head), err
	}},
	order.Procurement: {procurement.Judge, procurement.Map, func(body []byte) (order.Key, error) {
		head, err := procurement.Peek(body)
		return procurement.Key(body, head), err
	}},
	order.Mall: {mall.Judge, mall.Map, func(body []byte) (order.Key, error) {
		items, err := mall.Split(slice(body))
		if err != nil {
			return "", err
		}
		return mall.Key(items[0]), nil
	}},
}

// slice makes a batch of one order.
func slice(body []byte) []byte { return bytes.Join([][]byte{[]byte("["), body, []byte("]")}, nil) }

// example is one order of a file under schemas/examples.
type example struct {
	source order.Source
	name   string
	body   []byte
}

// examples reads the example orders whose file names begin with prefix; the dates of mall orders are moved to yesterday.
func examples(t testing.TB, prefix string) []example {
	t.Helper()
	var all []example
	for _, from := range order.Sources {
		files, err := fs.Glob(schemas.Examples, "examples/"+string(from)+"/"+prefix+"*.json")
		if err != nil || len(files) == 0 {
			t.Fatalf("no examples of %s: %v", from, err)
		}
		for _, file := range files {
			body, err := schemas.Examples.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := string(from) + "/" + strings.TrimSuffix(path.Base(file), ".json")
			if from != order.Mall {
				all = append(all, example{from, name, body})
				continue
			}
			if body, err = mall.ShiftDates(body, receivedAt); err != nil {
				t.Fatal(err)
			}
			items, err := mall.Split(body)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range items {
				all = append(all, example{from, name, item.Raw})
			}
		}
	}
	return all
}

func TestExamplesThatAreGoodPass(t *testing.T) {
	for _, e := range examples(t, "good-") {
		t.Run(e.name, func(t *testing.T) {
			if err := source.Check(e.body); err != nil {
				t.Fatal(err)
			}
			doc, o, err := contracts[e.source].judge(e.body, receivedAt)
			if err != nil {
				t.Fatal(err)
			}
			if err := source.Check(doc); err != nil {
				t.Errorf("the normalised document: %v", err)
			}
			key, err := contracts[e.source].key(e.body)
			if err != nil || key != o.Key || !key.Named() || key.Source() != e.source {
				t.Errorf("ingest finds key %q (%v), validate %q", key, err, o.Key)
			}
			if len(o.Numbers) == 0 || o.Numbers[0] != o.OrderNo || o.OrderNo == "" || o.Currency != "CNY" || o.Source != e.source {
				t.Errorf("order %+v", o)
			}
		})
	}
}

func BenchmarkJudge(b *testing.B) {
	for _, e := range examples(b, "good-seed") {
		b.Run(e.name, func(b *testing.B) {
			b.SetBytes(int64(len(e.body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := contracts[e.source].judge(e.body, receivedAt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDoor is what ingest does with a push: the check, then finding the key.
func BenchmarkDoor(b *testing.B) {
	for _, e := range examples(b, "good-seed") {
		b.Run(e.name, func(b *testing.B) {
			b.SetBytes(int64(len(e.body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := source.Check(e.body); err != nil {
					b.Fatal(err)
				}
				if _, err := contracts[e.source].key(e.body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
