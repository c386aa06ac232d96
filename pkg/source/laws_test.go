package source_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// tree reads JSON into maps, slices and json.Number by the standard library: a reader that shares no code with ours.
func tree(t rapid.TB, body []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// sprinkle adds unknown members to the objects of a tree and notes where: pointer to value.
func sprinkle(t *rapid.T, v any, at string, added map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			sprinkle(t, v[name], at+"/"+name, added)
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "unknown members") {
			name := fmt.Sprintf("new_%d_%s", i, rapid.StringMatching(`[a-zA-Z小 ."]{0,6}`).Draw(t, "name"))
			v[name] = value(t, 2)
			added[at+"/"+name] = v[name]
		}
	case []any:
		for i := range v {
			sprinkle(t, v[i], fmt.Sprintf("%s/%d", at, i), added)
		}
	}
}

// value draws any JSON value.
func value(t *rapid.T, depth int) any {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 {
		kind %= 5
	}
	switch kind {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return json.Number(rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,10})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number"))
	case 3, 4:
		return strings.ToValidUTF8(rapid.String().Draw(t, "text"), "")
	case 5:
		list := make([]any, rapid.IntRange(0, 3).Draw(t, "length"))
		for i := range list {
			list[i] = value(t, depth-1)
		}
		return list
	default:
		object := map[string]any{}
		for i := range rapid.IntRange(0, 3).Draw(t, "members") {
			object[fmt.Sprint("m", i)] = value(t, depth-1)
		}
		return object
	}
}

// TestLawNothingUnknownIsLost: whatever a sender adds, at whatever level, comes out as it went in, and normalising a
// normalised document changes nothing, neither bytes nor order.
func TestLawNothingUnknownIsLost(t *testing.T) {
	all := rapid.SampledFrom(examples(t, "good-"))
	rapid.Check(t, func(t *rapid.T) {
		e := all.Draw(t, "example")
		c := contracts[e.source]
		pushed, added := tree(t, e.body), map[string]any{}
		sprinkle(t, pushed, "", added)
		body, err := json.Marshal(pushed)
		if err != nil {
			t.Fatal(err)
		}
		doc, o, err := c.judge(body, receivedAt)
		if err != nil {
			t.Fatal(err)
		}
		out := tree(t, doc)
		for at, want := range added {
			if got := lookUp(out, at); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v became %v", at, want, got)
			}
		}
		again, same, err := c.judge(doc, receivedAt)
		if err != nil || !bytes.Equal(again, doc) || !reflect.DeepEqual(same, o) {
			t.Errorf("normalised twice: %v\n%s\n%s\n%+v\n%+v", err, doc, again, o, same)
		}
		mapped, err := c.remap(doc)
		if err != nil || !reflect.DeepEqual(mapped, o) {
			t.Errorf("mapped: %v\n%+v\n%+v", err, o, mapped)
		}
	})
}

func lookUp(v any, at string) any {
	if at == "" {
		return v
	}
	for name := range strings.SplitSeq(at[1:], "/") {
		switch parent := v.(type) {
		case map[string]any:
			found, ok := parent[name]
			if !ok {
				return errors.New("not there")
			}
			v = found
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err != nil || i >= len(parent) {
				return errors.New("not there")
			}
			v = parent[i]
		}
	}
	return v
}

// TestLawMoneyKeepsItsText: an amount within bounds comes out with the same text and the same value, as a number and as a
// string; any other is bad_amount.
func TestLawMoneyKeepsItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,10})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "amount")
		quoted := rapid.Bool().Draw(t, "quoted")
		sent := text
		if quoted {
			sent = `"` + text + `"`
		}
		var d document
		err := source.Decode([]byte(`{"money":`+sent+`,"quoted":`+sent+`}`), &d)
		want, amountErr := order.ParseAmount(text)
		if amountErr != nil {
			fault, ok := errors.AsType[*source.Fault](err)
			if !ok || fault.Code != source.BadAmount {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		doc, err := source.Encode(&d)
		if err != nil || string(doc) != `{"money":`+text+`,"quoted":"`+text+`"}` {
			t.Fatalf("%s became %s, %v", text, doc, err)
		}
		exact, err := decimal.NewFromString(text)
		if err != nil || !exact.Equal(want) || !exact.Equal(d.Money.Decimal) || !d.Quoted.Null().Valid {
			t.Errorf("%s: %v, %v", text, want, d.Money.Decimal)
		}
	})
}

// FuzzJudge feeds every contract with anything: no panic, faults only, and a document that is taken is its own normal form.
func FuzzJudge(f *testing.F) {
	for _, e := range examples(f, "") {
		f.Add(e.body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		checked := source.Check(body) == nil
		for from, c := range contracts {
			doc, o, err := c.judge(body, receivedAt)
			if err != nil {
				fault, ok := errors.AsType[*source.Fault](err)
				if !ok || fault.Rule == "" || checked && fault.Code == source.BadJSON {
					t.Errorf("%s: %v", from, err)
				}
				continue
			}
			if !o.Key.Named() || o.Key.Source() != from {
				t.Errorf("%s: key %q", from, o.Key)
			}
			if key, err := c.key(body); err != nil || key != o.Key {
				t.Errorf("%s: ingest finds %q (%v), validate %q", from, key, err, o.Key)
			}
			again, same, err := c.judge(doc, receivedAt)
			if err != nil || !bytes.Equal(again, doc) || !reflect.DeepEqual(same, o) {
				t.Errorf("%s: normalised twice: %v\n%s\n%s", from, err, doc, again)
			}
		}
	})
}
