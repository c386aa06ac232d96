package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// Bounds of what is shown of one record; the rest is counted.
const (
	maxShownValues   = 2000
	maxShownElements = 100 // of one list, and members of one object
	maxShownText     = 128 // bytes of one value
)

// masked stands where a value or a name is hidden: •••(7) a text of 7 characters, •••#(7) a number of 7, •••? true or false,
// •••+7 so many more elements or members.
const masked = "•••"

// MaskedRecord is a record as operators see it. Bytes that are no JSON show only their length. There is no digest of them:
// whoever knows all but a phone number could guess it back.
type MaskedRecord struct {
	Document jsontext.Value `json:"document,omitzero"`
	Bytes    int            `json:"bytes"`
	Fault    string         `json:"fault,omitzero"` // why the bytes are no JSON, in words
	Cut      bool           `json:"cut,omitempty"`  // there is more than is shown
}

// maskRecord shows the record of a letter that was first read from topic, or is of that order. Whatever the bytes are, only
// fields that are listed in clear, and look as listed, keep their value; the names of unknown fields are hidden too.
func maskRecord(topic string, key order.Key, body []byte) MaskedRecord {
	shown := MaskedRecord{Bytes: len(body)}
	if err := source.Check(body); err != nil {
		shown.Fault = "not one JSON value in UTF-8"
		if fault, ok := errors.AsType[*source.Fault](err); ok {
			shown.Fault = fault.Rule
		}
		return shown
	}
	var out bytes.Buffer
	m := masker{dec: jsontext.NewDecoder(bytes.NewReader(body)), enc: jsontext.NewEncoder(&out)}
	if err := m.value(fieldsOf(topic, key)); err != nil {
		shown.Fault = "not one JSON value in UTF-8" // unreachable after Check, and no reason to show anything
		return shown
	}
	shown.Document, shown.Cut = bytes.TrimSpace(out.Bytes()), m.cut
	return shown
}

// masker copies a document, value by value.
type masker struct {
	dec    *jsontext.Decoder
	enc    *jsontext.Encoder
	values int
	cut    bool
}

func (m *masker) value(at *fieldTree) error {
	m.values++
	switch m.dec.PeekKind() {
	case '{':
		return m.object(at)
	case '[':
		return m.list(at)
	default:
		raw, err := m.dec.ReadValue()
		if err != nil {
			return err
		}
		if shown := showScalar(at, raw); shown != nil {
			return m.enc.WriteValue(shown)
		}
		return m.enc.WriteToken(jsontext.String(maskScalar(raw)))
	}
}

func (m *masker) object(at *fieldTree) error {
	if err := m.copyToken(); err != nil {
		return err
	}
	hidden := map[string]int{}
	for n := 0; m.dec.PeekKind() != '}'; n++ {
		if n == maxShownElements || m.values >= maxShownValues {
			left, err := m.skip('}')
			if err != nil {
				return err
			}
			if err := errors.Join(m.enc.WriteToken(jsontext.String(maskMore(left/2))), m.enc.WriteToken(jsontext.Null)); err != nil {
				return err
			}
			break
		}
		token, err := m.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		child := at.member(name)
		if child == nil {
			name = maskText(name)
			if hidden[name]++; hidden[name] > 1 {
				name += "·" + strconv.Itoa(hidden[name]) // no name may stand twice
			}
		}
		if err := m.enc.WriteToken(jsontext.String(name)); err != nil {
			return err
		}
		if err := m.value(child); err != nil {
			return err
		}
	}
	return m.copyToken()
}

func (m *masker) list(at *fieldTree) error {
	if err := m.copyToken(); err != nil {
		return err
	}
	for n := 0; m.dec.PeekKind() != ']'; n++ {
		if n == maxShownElements || m.values >= maxShownValues {
			left, err := m.skip(']')
			if err != nil {
				return err
			}
			if err := m.enc.WriteToken(jsontext.String(maskMore(left))); err != nil {
				return err
			}
			break
		}
		if err := m.value(at.element()); err != nil {
			return err
		}
	}
	return m.copyToken()
}

// skip passes over what is left of an object or a list, and counts its names and values.
func (m *masker) skip(end jsontext.Kind) (left int, err error) {
	m.cut = true
	for ; m.dec.PeekKind() != end; left++ {
		if err := m.dec.SkipValue(); err != nil {
			return left, err
		}
	}
	return left, nil
}

func (m *masker) copyToken() error {
	token, err := m.dec.ReadToken()
	if err != nil {
		return err
	}
	return m.enc.WriteToken(token)
}

// showScalar gives a scalar as it stands where its place is listed in clear and it looks as listed; else nil.
func showScalar(at *fieldTree, raw jsontext.Value) jsontext.Value {
	if raw.Kind() == 'n' {
		return raw
	}
	if at == nil || len(raw) > maxShownText {
		return nil
	}
	text, ok := source.Literal(raw), false
	switch at.field {
	case fieldMoney, fieldCount:
		ok = consistsOf(text, "+-.,eE", false)
	case fieldTime:
		ok = consistsOf(text, "-:./+ TZ", false)
	case fieldCode:
		ok = consistsOf(text, codeMarks, true)
	case fieldFlag:
		ok = raw.Kind() == 't' || raw.Kind() == 'f' || text == "true" || text == "false"
	case fieldHidden:
	}
	if !ok {
		return nil
	}
	return raw
}

// codeMarks stand in codes beside letters and digits.
const codeMarks = "-_.,:%"

// consistsOf tells whether a text has at least one character, and none but digits, those and, if so, ASCII letters.
func consistsOf(text, those string, letters bool) bool {
	for _, c := range []byte(text) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if (c < '0' || c > '9') && (!letters || !letter) && strings.IndexByte(those, c) < 0 {
			return false
		}
	}
	return text != ""
}

func maskScalar(raw jsontext.Value) string {
	switch raw.Kind() {
	case '"':
		return maskText(source.Literal(raw))
	case '0':
		return fmt.Sprintf("%s#(%d)", masked, len(raw))
	default:
		return masked + "?"
	}
}

func maskText(text string) string { return fmt.Sprintf("%s(%d)", masked, utf8.RuneCountInString(text)) }

func maskMore(n int) string { return fmt.Sprintf("%s+%d", masked, n) }
