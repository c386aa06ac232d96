package source

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/order"
)

// The wire types read what senders really send: a number where the contract says text, text where it says a number, null
// for absent. They write the contract's own type, so that equal content becomes equal bytes. A value that none of this
// mends is reported as a Fault that points at the field.

// Text is a text field; a number is taken by its literal text. An empty text that was sent stays in the document.
type Text struct {
	Value string
	Given bool // present and not null
}

// UnmarshalJSONFrom takes a string, a number or null.
func (t *Text) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	value, given, err := scalar(dec, "text")
	*t = Text{value, given}
	return err
}

// MarshalJSONTo writes a string.
func (t *Text) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteToken(jsontext.String(t.Value))
}

// maxInt keeps the sum of a whole order's quantities far inside an int64.
const maxInt = 999_999_999_999

// Int is a whole number; "7", 7.0 and 7e0 are 7. An empty text is absent.
type Int struct {
	Value int64
	Given bool
}

// UnmarshalJSONFrom takes a whole number of at most twelve digits, also as a string.
func (n *Int) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	text, given, err := scalar(dec, "a whole number")
	if err != nil || !given || text == "" {
		return err
	}
	value, ok := parseInt(text)
	if !ok {
		return faultAt(dec, BadType, "a whole number of at most 12 digits is needed")
	}
	*n = Int{value, true}
	return nil
}

// MarshalJSONTo writes an integer.
func (n *Int) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteToken(jsontext.Int(n.Value))
}

func parseInt(text string) (int64, bool) {
	d, err := order.ParseAmount(text)
	if err != nil || !d.IsInteger() {
		return 0, false
	}
	value := d.IntPart()
	return value, value >= -maxInt && value <= maxInt
}

// Bool is true or false; the texts "true" and "false" count. An empty text is absent.
type Bool struct {
	Value bool
	Given bool
}

// UnmarshalJSONFrom takes a boolean, also as a string.
func (b *Bool) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	value, err := dec.ReadValue()
	if err != nil {
		return err
	}
	switch string(value) {
	case "true", `"true"`:
		*b = Bool{true, true}
	case "false", `"false"`:
		*b = Bool{false, true}
	case "null", `""`:
	default:
		return faultAt(dec, BadType, "true or false is needed")
	}
	return nil
}

// MarshalJSONTo writes a boolean.
func (b *Bool) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteToken(jsontext.Bool(b.Value))
}

// String is the number as people write it, or "" when it is absent.
func (n Int) String() string {
	if !n.Given {
		return ""
	}
	return strconv.FormatInt(n.Value, 10)
}

// scalar reads a string, a number or null; given is false for null.
func scalar(dec *jsontext.Decoder, need string) (text string, given bool, err error) {
	value, err := dec.ReadValue()
	if err != nil {
		return "", false, err
	}
	switch value.Kind() {
	case '"', '0':
		return Literal(value), true, nil
	case 'n':
		return "", false, nil
	default:
		return "", false, faultAt(dec, BadType, need+" is needed")
	}
}

// faultAt is a fault at the value that dec has just read.
func faultAt(dec *jsontext.Decoder, code Code, rule string) *Fault {
	return &Fault{Code: code, Path: string(dec.StackPointer()), Rule: rule}
}

// Numbers lists those of an order's numbers that people may search by: given, no longer than an order number may be, each
// once.
func Numbers(texts ...Text) []string {
	numbers := make([]string, 0, len(texts))
	for _, t := range texts {
		if searchable(t.Value) && !slices.Contains(numbers, t.Value) {
			numbers = append(numbers, t.Value)
		}
	}
	return numbers
}

func searchable(number string) bool {
	return number != "" && utf8.RuneCountInString(number) <= order.MaxKeyPart
}
