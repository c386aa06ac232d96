package published

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"orderflow/pkg/order"
	"orderflow/schemas"
)

// field is what the schema says of a field.
type field struct {
	Name    string                    `json:"name"`
	Doc     string                    `json:"doc"`
	Class   string                    `json:"class"`
	Unit    string                    `json:"unit"`
	Sources map[order.Source][]string `json:"sources"`
	Type    json.RawMessage           `json:"type"`
}

// fieldsOf lists the fields of the schema's records by record name.
func fieldsOf(t *testing.T, schema []byte) map[string][]field {
	t.Helper()
	var node struct {
		Name   string          `json:"name"`
		Fields []field         `json:"fields"`
		Items  json.RawMessage `json:"items"`
	}
	all := map[string][]field{}
	if json.Unmarshal(schema, &node) != nil {
		return all // a name or a union
	}
	if node.Items != nil {
		return fieldsOf(t, node.Items)
	}
	for _, f := range node.Fields {
		all[node.Name] = append(all[node.Name], f)
		for name, inner := range fieldsOf(t, f.Type) {
			all[name] = inner
		}
	}
	return all
}

// properties are the fields of a contract by their paths: whether they are personal.
func properties(t *testing.T, from order.Source) map[string]bool {
	t.Helper()
	type node struct {
		Ref        string           `json:"$ref"`
		Class      string           `json:"x-class"`
		Items      *node            `json:"items"`
		Properties map[string]*node `json:"properties"`
		Defs       map[string]*node `json:"$defs"`
	}
	text, err := schemas.Events.ReadFile("events/" + string(from) + ".validated.json")
	if err != nil {
		t.Fatal(err)
	}
	var root node
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	var walk func(at string, n *node)
	walk = func(at string, n *node) {
		all[at] = n.Class == "personal"
		if n.Items != nil {
			walk(at+"[]", n.Items)
		}
		if inner := root.Defs[strings.TrimPrefix(n.Ref, "#/$defs/")]; inner != nil {
			n = inner
		}
		for name, p := range n.Properties {
			walk(strings.TrimPrefix(at+"."+name, "."), p)
		}
	}
	walk("", &root)
	return all
}

// TestEveryFieldIsExplained: analysts find meaning, class and source of every field in the schema, the sources exist, and
// what a contract calls personal is published as personal only. (City and province are what may be known of an address.)
func TestEveryFieldIsExplained(t *testing.T) {
	contracts := map[order.Source]map[string]bool{}
	for _, from := range order.Sources {
		contracts[from] = properties(t, from)
	}
	coarse := map[string]bool{"province": true, "city": true}
	for record, fields := range fieldsOf(t, []byte(schemas.OrderSchema)) {
		for _, f := range fields {
			at := record + "." + f.Name
			if len(f.Doc) < 10 || f.Class != "public" && f.Class != "internal" && f.Class != "personal" {
				t.Errorf("%s: doc %q, class %q", at, f.Doc, f.Class)
			}
			if strings.Contains(string(f.Type), `"fields"`) {
				continue // its fields have units and sources of their own
			}
			if decimal := strings.Contains(string(f.Type), "decimal"); decimal != (f.Unit == "currency" || f.Unit == "pieces") {
				t.Errorf("%s: unit %q", at, f.Unit)
			}
			if strings.Contains(string(f.Type), "timestamp") != strings.HasPrefix(f.Unit, "UTC") {
				t.Errorf("%s: unit %q", at, f.Unit)
			}
			for from, paths := range f.Sources {
				for _, source := range paths {
					personal, known := contracts[from][source]
					if !known {
						t.Errorf("%s: %s has no field %s", at, from, source)
					}
					if personal != (f.Class == "personal") && !coarse[f.Name] {
						t.Errorf("%s is %s, %s of %s is personal: %v", at, f.Class, source, from, personal)
					}
				}
			}
		}
	}
}

// TestSchemaHasTheFieldsOfTheRecord: and none that was promised to analysts is gone.
func TestSchemaHasTheFieldsOfTheRecord(t *testing.T) {
	all := fieldsOf(t, []byte(schemas.OrderSchema))
	for name, goType := range map[string]reflect.Type{"Order": reflect.TypeFor[wireRecord](), "Line": reflect.TypeFor[wireLine]()} {
		var got, want []string
		for _, f := range all[name] {
			got = append(got, f.Name)
		}
		for i := range goType.NumField() {
			want = append(want, goType.Field(i).Tag.Get("avro"))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the schema has %v, the record %v", name, got, want)
		}
	}
	const promised = "order_key, source, revision, event_id, kind, order_no, original_order_no, shop, channel, status, currency, total, paid, " +
		"discount, list_price, lines, buyer_pseudonym, phone_pseudonym, company_pseudonym, province, city, placed_at, paid_at, " +
		"received_at, published_at, replay_job, warnings"
	for _, name := range strings.Split(promised, ", ") {
		found := false
		for _, f := range all["Order"] {
			found = found || f.Name == name
		}
		if !found {
			t.Errorf("%s was promised and is gone", name)
		}
	}
}
