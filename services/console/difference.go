package main

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/store"
)

// Bounds of a comparison.
const (
	maxComparedValues = 10_000 // of one document
	maxShownChanges   = 200
	maxPathName       = 64 // bytes; a longer name is compared by its digest
)

// Difference is what a letter's record and another document of the same order do not have in common.
type Difference struct {
	Changes    []Change `json:"changes"`
	More       int      `json:"more,omitzero"`        // changes that are not listed
	Cut        bool     `json:"cut,omitempty"`        // a document is too long to be compared to its end
	Unreadable bool     `json:"unreadable,omitempty"` // one of the two is no JSON
	Newer      bool     `json:"newer,omitempty"`      // the letter is newer than the other document: what it says is "now"
}

// Change is one value that differs. Values that operators may not see are masked; two of them are not shown at all.
type Change struct {
	Path jsontext.Pointer `json:"path"` // the names of unknown fields hidden
	Kind ChangeKind       `json:"kind"`
	Was  string           `json:"was,omitzero"` // in the older of the two, mostly the letter's record
	Now  string           `json:"now,omitzero"` // in the newer
}

// ChangeKind says how a value differs.
type ChangeKind string

// The kinds.
const (
	ChangeAdded   ChangeKind = "added"
	ChangeRemoved ChangeKind = "removed"
	ChangeChanged ChangeKind = "changed"
)

// differenceOf tells what changed from the older to the newer of a letter's record and the order's newest accepted document.
func differenceOf(v store.LetterView, letter, document []byte, accepted order.Revision) Difference {
	if v.Revision > accepted {
		d := difference(v.OriginTopic, v.OrderKey, document, letter)
		d.Newer = true
		return d
	}
	return difference(v.OriginTopic, v.OrderKey, letter, document)
}

// difference compares the record of a letter, see maskRecord, with another document of the same order. What
// normalising changes is no difference: null and absent, 7 and "7", 1.0 and 1.00 as money. Lists are compared place by
// place.
func difference(topic string, key order.Key, letter, document []byte) Difference {
	if topic == event.Deliveries { // an outcome, which is no version of the order's document
		return Difference{}
	}
	if source.Check(letter) != nil || source.Check(document) != nil {
		return Difference{Unreadable: true}
	}
	fields := fieldsOf(topic, key)
	was, now := flatten(fields, letter), flatten(fields, document)
	d := Difference{Cut: was.cut || now.cut}
	for _, path := range was.paths {
		old := was.values[path]
		other, both := now.values[path]
		switch {
		case !both && !now.cut && !now.holds(old, path):
			d.add(Change{old.shown, ChangeRemoved, old.show(), ""})
		case both && !sameValue(old, other):
			c := Change{Path: old.shown, Kind: ChangeChanged}
			if showScalar(old.at, old.raw) != nil || showScalar(other.at, other.raw) != nil {
				c.Was, c.Now = old.show(), other.show()
			}
			d.add(c)
		}
	}
	for _, path := range now.paths {
		added := now.values[path]
		if _, both := was.values[path]; !both && !was.cut && !was.holds(added, path) {
			d.add(Change{added.shown, ChangeAdded, "", added.show()})
		}
	}
	return d
}

func (d *Difference) add(c Change) {
	if len(d.Changes) == maxShownChanges {
		d.More++
		return
	}
	d.Changes = append(d.Changes, c)
}

// leaf is a scalar, or an empty object or list.
type leaf struct {
	at    *fieldTree
	raw   jsontext.Value
	shown jsontext.Pointer // its place, for people
}

func (l leaf) show() string {
	if shown := showScalar(l.at, l.raw); shown != nil {
		return scalarText(shown)
	}
	if l.empty() {
		return string(l.raw)
	}
	return maskScalar(l.raw)
}

func (l leaf) empty() bool { return l.raw.Kind() == '{' || l.raw.Kind() == '[' }

// sameValue tells whether two values of one place mean the same.
func sameValue(a, b leaf) bool {
	if a.empty() || b.empty() {
		return a.raw.Kind() == b.raw.Kind()
	}
	x, y := scalarText(a.raw), scalarText(b.raw)
	if x == y {
		return true
	}
	numbers := a.raw.Kind() == '0' && b.raw.Kind() == '0'
	if !numbers && (a.at == nil || a.at.field != fieldMoney && a.at.field != fieldCount) {
		return false
	}
	m, errM := order.ParseAmount(x)
	n, errN := order.ParseAmount(y)
	return errM == nil && errN == nil && m.Equal(n)
}

// scalarText is a scalar as it is compared: "true" and true are one.
func scalarText(raw jsontext.Value) string {
	if k := raw.Kind(); k == 't' || k == 'f' {
		return string(raw)
	}
	return source.Literal(raw)
}

// flat is a document as a list of its leaves, by path.
type flat struct {
	paths  []jsontext.Pointer
	values map[jsontext.Pointer]leaf
	opened map[jsontext.Pointer]jsontext.Kind // the objects and lists that are not empty
	cut    bool
}

// holds tells whether a list or an object that is empty elsewhere has content here, which is told by itself.
func (f *flat) holds(l leaf, path jsontext.Pointer) bool {
	return l.empty() && f.opened[path] == l.raw.Kind()
}

func flatten(fields *fieldTree, document []byte) *flat {
	f := &flat{values: map[jsontext.Pointer]leaf{}, opened: map[jsontext.Pointer]jsontext.Kind{}}
	if err := f.walk(jsontext.NewDecoder(bytes.NewReader(document)), fields, "", ""); err != nil {
		f.cut = true // unreachable after source.Check
	}
	return f
}

// walk adds the next value. Path names its place exactly, shown for people.
func (f *flat) walk(dec *jsontext.Decoder, at *fieldTree, path, shown jsontext.Pointer) error {
	if len(f.paths) == maxComparedValues {
		f.cut = true
		return dec.SkipValue()
	}
	kind := dec.PeekKind()
	if kind != '{' && kind != '[' {
		raw, err := dec.ReadValue()
		if err != nil || blankValue(at, raw) {
			return err
		}
		f.add(path, leaf{at, raw.Clone(), shown})
		return nil
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	n := 0
	for ; dec.PeekKind() != kind+2; n++ { // '}' and ']' stand two behind '{' and '['
		name, label, child := strconv.Itoa(n), strconv.Itoa(n), at.element()
		if kind == '{' {
			token, err := dec.ReadToken()
			if err != nil {
				return err
			}
			name = token.String()
			label, child = name, at.member(name)
			if child == nil {
				label = maskText(name)
			}
			if len(name) > maxPathName {
				name = order.Digest([]byte(name))
			}
		}
		if err := f.walk(dec, child, path.AppendToken(name), shown.AppendToken(label)); err != nil {
			return err
		}
	}
	if n == 0 {
		f.add(path, leaf{at, jsontext.Value{byte(kind), byte(kind) + 2}, shown})
	} else {
		f.opened[path] = kind
	}
	_, err := dec.ReadToken()
	return err
}

func (f *flat) add(path jsontext.Pointer, l leaf) {
	f.paths = append(f.paths, path)
	f.values[path] = l
}

// blankValue tells whether a scalar counts as absent: the contracts read an empty text so where no text is meant.
func blankValue(at *fieldTree, raw jsontext.Value) bool {
	if raw.Kind() == 'n' {
		return true
	}
	if string(raw) != `""` || at == nil {
		return false
	}
	return at.elements != nil || at.field != fieldHidden && at.field != fieldCode
}
