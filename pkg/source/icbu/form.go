package icbu

import (
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/source"
)

// listFields are JSON lists; in a form they travel as JSON text (protocols 2.1).
var listFields = []string{"order_product_list", "ali_discount"}

// FromForm makes the JSON document of a form push: every field by its name, sorted, as text; the lists as they are. The
// fields are UTF-8 and percent-decoded already. The error is a *source.Fault when a name or a value is no UTF-8; the
// document still needs source.Check.
func FromForm(fields map[string]string) ([]byte, error) {
	names := slices.Sorted(maps.Keys(fields))
	doc := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			doc = append(doc, ',')
		}
		var err error
		if doc, err = jsontext.AppendQuote(doc, name); err != nil {
			return nil, &source.Fault{Code: source.BadJSON, Rule: "a form field's name is not UTF-8"}
		}
		doc = append(doc, ':')
		value := fields[name]
		if slices.Contains(listFields, name) && source.Check([]byte(value)) == nil {
			doc = append(doc, value...)
			continue
		}
		if doc, err = jsontext.AppendQuote(doc, value); err != nil {
			return nil, &source.Fault{Code: source.BadJSON, Rule: "a form field's value is not UTF-8"}
		}
	}
	return append(doc, '}'), nil
}
