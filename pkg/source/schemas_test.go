package source_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"orderflow/pkg/order"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/source/procurement"
	"orderflow/schemas"
)

// node is as much of a JSON Schema as ours use.
type node struct {
	Description string           `json:"description"`
	Type        string           `json:"type"`
	Ref         string           `json:"$ref"`
	Items       *node            `json:"items"`
	Properties  map[string]*node `json:"properties"`
	Defs        map[string]*node `json:"$defs"`
}

var documents = map[order.Source]reflect.Type{
	order.ICBU: reflect.TypeFor[icbu.Order](), order.Procurement: reflect.TypeFor[procurement.Order](), order.Mall: reflect.TypeFor[mall.Order](),
}

func schemaOf(t testing.TB, from order.Source) []byte {
	t.Helper()
	text, err := schemas.Events.ReadFile("events/" + string(from) + ".validated.json")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSchemasHaveTheFieldsOfTheTypes: every field of a wire type stands in the schema of its validated topic with the type
// that it is written in, and the schema has no other.
func TestSchemasHaveTheFieldsOfTheTypes(t *testing.T) {
	for from, document := range documents {
		var root node
		if err := json.Unmarshal(schemaOf(t, from), &root); err != nil {
			t.Fatal(err)
		}
		used := map[string]bool{}
		compare(t, string(from), document, &root, &root, used)
		for name := range root.Defs {
			if !used[name] {
				t.Errorf("%s: nothing uses $defs/%s", from, name)
			}
		}
	}
}

// written is the JSON type, or the definition, of a wire type.
var written = map[string]string{
	"Text": "string", "Int": "integer", "Bool": "boolean", "Amount": "amount number", "AmountText": "amount string", "Time": "time string", "Value": "",
}

func compare(t *testing.T, at string, goType reflect.Type, schema, root *node, used map[string]bool) {
	t.Helper()
	kind := schema.Type
	if name, ok := strings.CutPrefix(schema.Ref, "#/$defs/"); ok {
		used[name] = true
		if schema = root.Defs[name]; schema == nil {
			t.Fatalf("%s: no $defs/%s", at, name)
		}
		kind = name + " " + schema.Type
	}
	for goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	switch want, scalar := written[goType.Name()]; {
	case scalar && kind != want:
		t.Errorf("%s: the schema says %q, it is written as %q", at, kind, want)
	case scalar:
	case goType.Kind() == reflect.Slice:
		if schema.Type != "array" || schema.Items == nil {
			t.Fatalf("%s: no array in the schema", at)
		}
		compare(t, at+"[]", goType.Elem(), schema.Items, root, used)
	default:
		fields := map[string]bool{}
		for i := range goType.NumField() {
			f := goType.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				continue // what is unknown
			}
			fields[name] = true
			property := schema.Properties[name]
			if property == nil || property.Description == "" {
				t.Errorf("%s: the schema lacks %s or its description", at, name)
				continue
			}
			compare(t, at+"."+name, f.Type, property, root, used)
		}
		for name := range schema.Properties {
			if !fields[name] {
				t.Errorf("%s: the type has no %s", at, name)
			}
		}
	}
}

func compiled(t testing.TB) map[order.Source]*jsonschema.Schema {
	t.Helper()
	all := map[order.Source]*jsonschema.Schema{}
	compiler := jsonschema.NewCompiler()
	for from := range documents {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaOf(t, from)))
		if err != nil {
			t.Fatal(err)
		}
		name := string(from) + ".json"
		if err := compiler.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
		if all[from], err = compiler.Compile(name); err != nil {
			t.Fatal(err)
		}
		if draft := all[from].DraftVersion; draft != 2020 {
			t.Errorf("%s: draft %d", from, draft)
		}
	}
	return all
}

// TestLawDocumentsAreOfTheirSchema: whatever passes validate is what the schema of its topic promises.
func TestLawDocumentsAreOfTheirSchema(t *testing.T) {
	schema, all := compiled(t), rapid.SampledFrom(examples(t, "good-"))
	rapid.Check(t, func(t *rapid.T) {
		e := all.Draw(t, "example")
		pushed := tree(t, e.body)
		sprinkle(t, pushed, "", map[string]any{})
		vary(t, pushed)
		body, err := json.Marshal(pushed)
		if err != nil {
			t.Fatal(err)
		}
		doc, _, err := contracts[e.source].judge(body, receivedAt)
		if err != nil {
			return // what vary broke never gets to the topic
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema[e.source].Validate(value); err != nil {
			t.Errorf("%v\n%s", err, doc)
		}
	})
}

// vary changes the form of some values, or leaves some out.
func vary(t *rapid.T, v any) {
	change := func(old any) (any, bool) {
		switch rapid.IntRange(0, 59).Draw(t, "variation") {
		case 0:
			return nil, true
		case 1:
			if number, ok := old.(json.Number); ok {
				return string(number), true
			}
		case 2:
			return "", true
		case 3:
			return json.Number(rapid.StringMatching(`-?(0|[1-9][0-9]{0,4})(\.[0-9]{1,3})?([eE][+-]?[0-9])?`).Draw(t, "number")), true
		}
		return old, false
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			old := v[name]
			if changed, ok := change(old); ok {
				v[name] = changed
			} else {
				vary(t, old)
			}
		}
	case []any:
		for _, old := range v {
			vary(t, old)
		}
	}
}

// TestSchemasRefuse: the schemas are no rubber stamps.
func TestSchemasRefuse(t *testing.T) {
	schema := compiled(t)
	for _, e := range examples(t, "good-seed") {
		doc, _, err := contracts[e.source].judge(e.body, receivedAt)
		if err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(map[string]any){
			"a missing number": func(doc map[string]any) {
				for _, name := range []string{"ali_order_no", "Code", "order_info"} {
					delete(doc, name)
				}
			},
			"an amount of the other kind": func(doc map[string]any) {
				doc["amount"], doc["TotalMoney"] = json.Number("1.5"), "1.5"
				doc["price_info"] = map[string]any{"total_price": "1.5", "company_total_pay": 1, "personal_total_pay": 1}
			},
			"a time with a zone": func(doc map[string]any) {
				doc["ali_create_time"], doc["OrderTime"] = "2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"
				doc["order_track_info"] = []any{map[string]any{"content": "c", "operator": "o", "msg_time": "2026-11-20T10:00:00Z"}}
			},
			"lines that are none": func(doc map[string]any) {
				doc["order_product_list"], doc["Dtls"], doc["product_info"] = "a", "a", "a"
			},
		} {
			changed, ok := tree(t, doc).(map[string]any)
			if !ok {
				t.Fatal("no object")
			}
			change(changed)
			if err := schema[e.source].Validate(any(changed)); err == nil {
				t.Errorf("%s: %s passes", e.name, name)
			}
		}
	}
}
