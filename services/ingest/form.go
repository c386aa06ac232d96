package main

import (
	"bytes"
	"errors"
)

// maxFields bounds the fields of a form; the largest contract has some forty.
const maxFields = 500

var errForm = errors.New("not a form")

// field is one field of a form or query, percent-decoded and still in the sender's charset.
type field struct{ name, value []byte }

// fields of a form or query, in the sender's order.
type fields []field

// parseForm reads application/x-www-form-urlencoded text. net/url would build a map of half a million names from a
// hostile megabyte, and takes the first of two fields of one name; here both are errors.
func parseForm(text []byte) (fields, error) {
	var all fields
	for len(text) > 0 {
		var pair []byte
		pair, text, _ = bytes.Cut(text, []byte{'&'})
		if len(pair) == 0 {
			continue
		}
		if len(all) == maxFields {
			return nil, errForm
		}
		name, value, _ := bytes.Cut(pair, []byte{'='})
		var f field
		var okName, okValue bool
		f.name, okName = percentDecode(name)
		f.value, okValue = percentDecode(value)
		if _, twice := all.get(f.name); twice || !okName || !okValue {
			return nil, errForm
		}
		all = append(all, f)
	}
	return all, nil
}

func (all fields) get(name []byte) ([]byte, bool) {
	for i := range all {
		if bytes.Equal(all[i].name, name) {
			return all[i].value, true
		}
	}
	return nil, false
}

// text is the value of a field, or "".
func (all fields) text(name string) string {
	value, _ := all.get([]byte(name))
	return string(value)
}

// percentDecode returns the text itself when there is nothing to decode.
func percentDecode(text []byte) ([]byte, bool) {
	if bytes.IndexByte(text, '%') < 0 && bytes.IndexByte(text, '+') < 0 {
		return text, true
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '+':
			out = append(out, ' ')
		case '%':
			if i+2 >= len(text) {
				return nil, false
			}
			high, low := unhex(text[i+1]), unhex(text[i+2])
			if high > 15 || low > 15 {
				return nil, false
			}
			out = append(out, high<<4|low)
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out, true
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
