package source

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// The scanners below find members of a document that passed Check, at a tenth of a decoder's cost: ingest must know an
// order's number and nothing else of it. On other bytes they stay within bounds and may find nonsense.

var errScan = &Fault{Code: BadJSON, Rule: "not one JSON value in UTF-8"}

// Members calls visit with the unquoted name and the raw value of each member of a JSON object, in order, until visit
// returns false. The error is a *Fault: bad_type when the document is no object.
func Members(object []byte, visit func(name, value []byte) bool) error {
	s := scanner{body: object}
	if s.next() != '{' {
		return &Fault{Code: BadType, Rule: "not a JSON object"}
	}
	s.at++
	if s.next() == '}' {
		return nil
	}
	for {
		name, ok := s.name()
		if !ok || s.next() != ':' {
			return errScan
		}
		s.at++
		value, ok := s.value()
		if !ok {
			return errScan
		}
		if !visit(name, value) {
			return nil
		}
		switch s.next() {
		case ',':
			s.at++
		case '}':
			return nil
		default:
			return errScan
		}
	}
}

// Elements calls visit with each raw element of a JSON array, in order, until visit returns false. The error is a *Fault:
// bad_type when the document is no array.
func Elements(array []byte, visit func(value []byte) bool) error {
	s := scanner{body: array}
	if s.next() != '[' {
		return &Fault{Code: BadType, Rule: "not a JSON array"}
	}
	s.at++
	if s.next() == ']' {
		return nil
	}
	for {
		value, ok := s.value()
		if !ok {
			return errScan
		}
		if !visit(value) {
			return nil
		}
		switch s.next() {
		case ',':
			s.at++
		case ']':
			return nil
		default:
			return errScan
		}
	}
}

// Literal is the text of a raw scalar as Text takes it: a string's content, a number's literal text. Anything else, null
// included, gives "".
func Literal(value []byte) string {
	if len(value) == 0 {
		return ""
	}
	switch c := value[0]; {
	case c == '"':
		return string(unquote(value))
	case c == '-' || (c >= '0' && c <= '9'):
		return string(value)
	}
	return ""
}

type scanner struct {
	body []byte
	at   int
}

// next skips white space and returns the byte there, or 0 at the end.
func (s *scanner) next() byte {
	for s.at < len(s.body) {
		switch c := s.body[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) name() ([]byte, bool) {
	if s.next() != '"' {
		return nil, false
	}
	start, end := s.at, stringEnd(s.body, s.at)
	if end < 0 {
		return nil, false
	}
	s.at = end
	return unquote(s.body[start:end]), true
}

// value returns the raw bytes of the value that comes next.
func (s *scanner) value() ([]byte, bool) {
	first := s.next()
	start := s.at
	switch first {
	case 0, ',', ':', '}', ']':
		return nil, false
	case '"':
		s.at = stringEnd(s.body, start)
	case '{', '[':
		s.at = compositeEnd(s.body, start)
	default:
		s.at += 1 + scalarLength(s.body[start+1:])
	}
	if s.at < 0 {
		s.at = len(s.body)
		return nil, false
	}
	return s.body[start:s.at], true
}

// stringEnd is the offset behind the string that opens at start, or -1 when it does not end.
func stringEnd(body []byte, start int) int {
	for at := start + 1; ; {
		n := bytes.IndexByte(body[at:], '"')
		if n < 0 {
			return -1
		}
		quote := at + n
		backslashes := 0
		for quote-1-backslashes > start && body[quote-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return quote + 1
		}
		at = quote + 1
	}
}

// compositeEnd is the offset behind the object or array that opens at start, or -1 when it does not end.
func compositeEnd(body []byte, start int) int {
	depth := 0
	for at := start; at < len(body); at++ {
		switch body[at] {
		case '"':
			end := stringEnd(body, at)
			if end < 0 {
				return -1
			}
			at = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
	return -1
}

func scalarLength(rest []byte) int {
	for i, c := range rest {
		switch c {
		case ',', '}', ']', ' ', '\t', '\r', '\n', ':', '"', '{', '[':
			return i
		}
	}
	return len(rest)
}

func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, quoted) // what passed Check unquotes
	return text
}
