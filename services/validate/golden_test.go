package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/event"
	"orderflow/pkg/judge"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/source/procurement"
	"orderflow/pkg/worker"
	"orderflow/schemas"
)

// receivedAt is when every push of these tests arrives.
var receivedAt = time.Date(2026, 11, 20, 10, 0, 0, 123_000_000, source.Zone)

var update = flag.Bool("update", false, "write the golden files anew")

// example is one order of a file under schemas/examples, with the key that ingest gives it.
type example struct {
	source order.Source
	name   string // folder and file without its ending
	key    order.Key
	body   []byte
}

// examples are all examples; the dates of mall orders are moved to the day before receivedAt.
func examples(t testing.TB) []example {
	t.Helper()
	files, err := fs.Glob(schemas.Examples, "examples/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	var all []example
	for _, file := range files {
		body, err := schemas.Examples.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		from := order.Source(path.Base(path.Dir(file)))
		e := example{source: from, name: path.Join(string(from), strings.TrimSuffix(path.Base(file), ".json")), body: body}
		switch from {
		case order.ICBU:
			head, err := icbu.Peek(body)
			if err != nil {
				t.Fatal(err)
			}
			e.key = icbu.Key(body, head)
			all = append(all, e)
		case order.Procurement:
			head, err := procurement.Peek(body)
			if err != nil {
				t.Fatal(err)
			}
			e.key = procurement.Key(body, head)
			all = append(all, e)
		case order.Mall:
			all = append(all, mallOrders(t, e)...)
		}
	}
	return all
}

func mallOrders(t testing.TB, batch example) []example {
	t.Helper()
	args, err := mall.ShiftDates(batch.body, receivedAt)
	if err != nil {
		t.Fatal(err)
	}
	items, err := mall.Split(args)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]example, len(items))
	for i, item := range items {
		all[i] = example{batch.source, batch.name, mall.Key(item), item.Raw}
	}
	return all
}

// TestExamples holds the verdict on every example against its golden file, and against the code in its name.
func TestExamples(t *testing.T) {
	verdicts := map[string]string{}
	for _, e := range examples(t) {
		received := record(e.source, e.key, string(e.body))
		received.Partition, received.Offset, received.Timestamp = 3, 42, receivedAt
		passed, err := judge.Judge(judge.Stamp(received))
		verdicts[e.name] += describe(t, e, passed.Document, err)
		code, bad := strings.CutPrefix(path.Base(e.name), "bad-")
		code, _, _ = strings.Cut(code, "-")
		permanent, refused := errors.AsType[*worker.PermanentError](err)
		if bad != refused || refused && string(permanent.Code) != code {
			t.Errorf("%s: %v", e.name, err)
		}
	}
	holdGolden(t, "testdata", verdicts)
}

// holdGolden holds texts, by the example's name, against the golden files of a folder, of which there must be no other.
func holdGolden(t *testing.T, folder string, texts map[string]string) {
	t.Helper()
	for name, got := range texts {
		file := filepath.Join(folder, filepath.FromSlash(name)+".golden")
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil || got != string(want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
	golden, err := filepath.Glob(filepath.Join(folder, "*", "*.golden"))
	if err != nil || len(golden) != len(texts) {
		t.Errorf("%d golden files for %d examples, %v", len(golden), len(texts), err)
	}
}

// describe writes a verdict for people: where the order went, and its document, or why it was refused.
func describe(t *testing.T, e example, out event.Message, err error) string {
	t.Helper()
	if permanent, ok := errors.AsType[*worker.PermanentError](err); ok {
		return fmt.Sprintf("%s refused: %s\n", e.key, permanent)
	}
	if err != nil {
		t.Fatalf("%s: %v", e.name, err)
	}
	if err := source.Check(out.Value); err != nil {
		t.Errorf("%s: the document: %v", e.name, err)
	}
	doc := jsontext.Value(out.Value).Clone()
	if err := doc.Indent(jsontext.WithIndent("  ")); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s -> %s %s\n%s\n", e.key, out.Topic, out.Header(event.HeaderDigest)[:16], doc)
}
