package schemas_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"orderflow/schemas"
)

var update = flag.Bool("update", false, "write the field tables of README.md anew")

const readme, begin, end = "README.md", "<!-- begin fields -->\n", "<!-- end fields -->\n"

// The field tables of README.md are those of the schemas.
func TestFieldTables(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the tables", readme)
	}
	want := before + begin + table(t, "orders.v1", schemas.OrderSchema) + table(t, "orders.completeness.v1", schemas.CompletenessSchema) + end + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("the field tables of schemas/%s are not those of the schemas: go test ./schemas -update", readme)
	}
	if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

type record struct {
	Doc    string
	Fields []field
}

type field struct {
	Name, Doc, Class, Unit string
	Type                   json.RawMessage
	Sources                map[string][]string
}

// avroType is as much of a type as a table tells.
type avroType struct {
	Type        string
	LogicalType string
	Precision   int
	Scale       int
	Symbols     []string
	Items       json.RawMessage
}

func table(t *testing.T, topic, schema string) string {
	t.Helper()
	var r record
	if err := json.Unmarshal([]byte(schema), &r); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", topic, cell(r.Doc))
	rows(t, &b, "", r.Fields)
	return b.String() + "\n"
}

func rows(t *testing.T, b *strings.Builder, prefix string, fields []field) {
	t.Helper()
	if prefix == "" {
		b.WriteString("| field | type | unit | class | meaning | from |\n|---|---|---|---|---|---|\n")
	}
	for _, f := range fields {
		if f.Doc == "" || !slices.Contains([]string{"public", "internal", "personal"}, f.Class) {
			t.Errorf("%s%s: a field needs a doc, and a class: public, internal or personal", prefix, f.Name)
		}
		name, elements := typeName(t, f.Type)
		var from []string
		for _, source := range slices.Sorted(maps.Keys(f.Sources)) {
			from = append(from, fmt.Sprintf("%s: %s", source, strings.Join(f.Sources[source], ", ")))
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s | %s | %s |\n", prefix, f.Name, name, f.Unit, f.Class, cell(f.Doc), cell(strings.Join(from, "; ")))
		rows(t, b, prefix+f.Name+"[].", elements)
	}
}

func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ").Replace(text)
}

// typeName is a type in words, and the fields of a list's elements.
func typeName(t *testing.T, raw json.RawMessage) (name string, elements []field) {
	t.Helper()
	var union []json.RawMessage
	var simple string
	var a avroType
	switch {
	case json.Unmarshal(raw, &union) == nil:
		name, elements = typeName(t, union[len(union)-1])
		return name + ", null", elements
	case json.Unmarshal(raw, &simple) == nil:
		return simple, nil
	case json.Unmarshal(raw, &a) != nil:
		t.Fatalf("a type that this test does not know: %s", raw)
	case a.LogicalType == "decimal":
		return fmt.Sprintf("decimal(%d,%d)", a.Precision, a.Scale), nil
	case a.LogicalType != "":
		return a.LogicalType, nil
	case a.Type == "enum":
		return "enum: " + strings.Join(a.Symbols, ", "), nil
	case a.Type == "array":
		var of record
		if json.Unmarshal(a.Items, &of) == nil && len(of.Fields) > 0 {
			return "list", of.Fields
		}
		element, _ := typeName(t, a.Items)
		return "list of " + element, nil
	}
	return a.Type, nil
}
