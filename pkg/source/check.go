package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a pushed document. The deepest contract needs five levels, the widest object has forty names; all names of
// an object must be remembered to find one that stands twice.
const (
	MaxDepth   = 64
	MaxMembers = 16_384
)

// Check is the check at the door: one JSON value in valid UTF-8, no name twice in an object, within MaxDepth and
// MaxMembers. It costs one or two passes and, but for the names of large objects, no memory. The error is a *Fault with
// the code bad_json; it tells the byte, never the content.
func Check(body []byte) error {
	if fault := checkShape(body); fault != nil {
		return fault
	}
	if jsontext.Value(body).IsValid() {
		return nil
	}
	return syntaxFault(syntaxError(body))
}

// checkShape refuses what is too deep or too wide. On bytes that are no JSON it may see brackets where none are; those
// bytes are refused anyway.
func checkShape(body []byte) *Fault {
	if bytes.Count(body, []byte{'{'})+bytes.Count(body, []byte{'['}) <= MaxDepth &&
		bytes.Count(body, []byte{','}) < MaxMembers {
		return nil
	}
	var members [MaxDepth + 1]int // of the open object at each depth; arrays count from far below zero
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			end := stringEnd(body, i)
			if end < 0 {
				return nil
			}
			i = end - 1
		case '{', '[':
			if depth == MaxDepth {
				return &Fault{Code: BadJSON, Rule: fmt.Sprintf("nested deeper than %d levels, byte %d", MaxDepth, i)}
			}
			depth++
			members[depth] = 1
			if body[i] == '[' {
				members[depth] = math.MinInt
			}
		case '}', ']':
			depth = max(depth-1, 0)
		case ',':
			if members[depth]++; members[depth] > MaxMembers {
				return &Fault{Code: BadJSON, Rule: fmt.Sprintf("more than %d names in one object, byte %d", MaxMembers, i)}
			}
		}
	}
	return nil
}

// syntaxError reads body again to learn what is wrong with it.
func syntaxError(body []byte) error {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(body))
	if _, err := decoder.ReadValue(); err != nil {
		return err
	}
	_, err := decoder.ReadToken()
	if err == nil {
		return &jsontext.SyntacticError{ByteOffset: decoder.InputOffset(), Err: errors.New("second value")}
	}
	return err
}

func syntaxFault(err error) *Fault {
	fault := &Fault{Code: BadJSON, Rule: "not one JSON value in UTF-8"}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, io.EOF):
		fault.Rule = "no JSON value at all"
	case errors.Is(err, jsontext.ErrDuplicateName):
		fault.Rule = "a name stands twice in one object"
	case errors.Is(err, io.ErrUnexpectedEOF):
		fault.Rule = "the JSON value is cut off"
	}
	if ok {
		fault.Rule += fmt.Sprintf(", byte %d", syntax.ByteOffset)
	}
	return fault
}
