package source

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxLines is the longest list of a document that validate takes. A push of 1 MiB has no room for more honest lines, and
// a hostile one must not make a hundred megabytes of it.
const MaxLines = 10_000

// List is a JSON array of objects of at most MaxLines elements. Null and a blank text are absent; an empty array stays in the document.
type List[T any] []T

// UnmarshalJSONFrom takes an array of objects.
func (l *List[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	switch dec.PeekKind() {
	case 'n':
		*l = nil
		_, err := dec.ReadToken()
		return err
	case '"': // a form's empty list
		if text, _, err := scalar(dec, "a list"); err != nil || text == "" {
			return err
		}
		return faultAt(dec, BadType, "a list is needed")
	case '[':
	default:
		return misplaced(dec, "a list is needed")
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	list := List[T]{}
	for dec.PeekKind() != ']' {
		if dec.PeekKind() != '{' {
			return misplaced(dec, "an object is needed")
		}
		if len(list) == MaxLines {
			return &Fault{Code: OverLimit, Path: string(dec.StackPointer().Parent()), Rule: "too many elements"}
		}
		list = append(list, *new(T))
		if err := json.UnmarshalDecode(dec, &list[len(list)-1]); err != nil {
			return err
		}
	}
	*l = list
	_, err := dec.ReadToken()
	return err
}

// misplaced skips a value of the wrong kind and reports its place.
func misplaced(dec *jsontext.Decoder, rule string) error {
	if err := dec.SkipValue(); err != nil {
		return err
	}
	return faultAt(dec, BadType, rule)
}
