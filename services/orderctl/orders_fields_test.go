package main

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"orderflow/schemas"
)

// Every format has the schema's fields, in its order: a field that is added to one list and forgotten in another is found here.
func TestEveryFormatHasTheFieldsOfTheSchema(t *testing.T) {
	type fields []struct {
		Name string `json:"name"`
		Type json.RawMessage
	}
	var schema struct{ Fields fields }
	if err := json.Unmarshal([]byte(schemas.OrderSchema), &schema); err != nil {
		t.Fatal(err)
	}
	names := func(of fields) (all []string) {
		for _, f := range of {
			all = append(all, f.Name)
		}
		return all
	}
	var lines struct{ Items struct{ Fields fields } }
	for _, f := range schema.Fields {
		if f.Name == "lines" {
			if err := json.Unmarshal(f.Type, &lines); err != nil {
				t.Fatal(err)
			}
		}
	}
	tagged := func(v any, tag string) (all []string) {
		for f := range reflect.TypeOf(v).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get(tag), ",")
			all = append(all, name)
		}
		return all
	}
	csv := names(schema.Fields)
	csv[slices.Index(csv, "lines")] = "line_count"
	for what, lists := range map[string][2][]string{
		"parquet": {tagged(parquetOrder{}, "parquet"), names(schema.Fields)}, "a line in parquet": {tagged(parquetLine{}, "parquet"), names(lines.Items.Fields)},
		"json": {tagged(orderJSON{}, "json"), names(schema.Fields)}, "a line in json": {tagged(lineJSON{}, "json"), names(lines.Items.Fields)},
		"csv": {csvTitles, csv},
	} {
		if len(lists[1]) < 9 || !slices.Equal(lists[0], lists[1]) {
			t.Errorf("%s has\n%v, the schema\n%v", what, lists[0], lists[1])
		}
	}
}
