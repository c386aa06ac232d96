package source_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/source"
)

func TestMembersFindsEachMember(t *testing.T) {
	body := []byte(` { "a" : 1 ,"b":"x,}\"","\u0063" :{"a":[2,"]"]} , "d": [ ] ,"e":-1.50e+3,"f":null}`)
	want := []string{"a", "1", "b", `"x,}\""`, "c", `{"a":[2,"]"]}`, "d", "[ ]", "e", "-1.50e+3", "f", "null"}
	var got []string
	err := source.Members(body, func(name, value []byte) bool {
		got = append(got, string(name), string(value))
		return true
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestMembersStopsWhenTold(t *testing.T) {
	calls := 0
	err := source.Members([]byte(`{"a":1,"b":`), func(_, _ []byte) bool { calls++; return false })
	if calls != 1 || err != nil {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestScannersRefuseOtherShapes(t *testing.T) {
	all := func(_, _ []byte) bool { return true }
	for body, want := range map[string]source.Code{
		`[]`: source.BadType, `5`: source.BadType, `null`: source.BadType, ``: source.BadType, `"{}"`: source.BadType,
		`{"a"`: source.BadJSON, `{"a":`: source.BadJSON, `{"a":"`: source.BadJSON, `{"a":[`: source.BadJSON,
		`{"a":1`: source.BadJSON, `{a:1}`: source.BadJSON, `{"a":}`: source.BadJSON, `{"`: source.BadJSON, `{`: source.BadJSON,
	} {
		fault, ok := errors.AsType[*source.Fault](source.Members([]byte(body), all))
		if !ok || fault.Code != want {
			t.Errorf("%s: %v", body, fault)
		}
	}
	fault, ok := errors.AsType[*source.Fault](source.Elements([]byte(`{}`), func([]byte) bool { return true }))
	if !ok || fault.Code != source.BadType {
		t.Errorf("elements of an object: %v", fault)
	}
}

func TestLiteral(t *testing.T) {
	for raw, want := range map[string]string{
		`"P1"`: "P1", `"\u0050\n"`: "P\n", `12.50`: "12.50", `-1e3`: "-1e3", `12345678901234567890`: "12345678901234567890",
		`null`: "", `true`: "", `{}`: "", `["P1"]`: "", ``: "",
	} {
		if got := source.Literal([]byte(raw)); got != want {
			t.Errorf("%s: %q", raw, got)
		}
	}
}

// FuzzScan holds the scanners against the JSON decoder on everything that passes the door, and against panics on the rest.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{`{"a":1,"b":[{},"\"]"],"c":{"d":null}}`, `[1,"x",{"a":[]}]`, `{`, `[`, `{"\\":"\\\""}`, ` [ ] `} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got [][]byte
		keep := func(raw []byte) bool { got = append(got, raw); return true }
		err := source.Members(body, func(name, value []byte) bool { return keep(name) && keep(value) })
		if err != nil {
			got = nil
			err = source.Elements(body, keep)
		}
		if source.Check(body) != nil {
			return
		}
		want, composite := reference(t, body)
		if composite != (err == nil) || composite && !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%q\ngot  %q (%v)\nwant %q", body, got, err, want)
		}
	})
}

// reference lists an object's names and values, or an array's elements, by the JSON decoder.
func reference(t *testing.T, body []byte) (parts [][]byte, composite bool) {
	t.Helper()
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	open, err := dec.ReadToken()
	if err != nil {
		t.Fatal(err)
	}
	if kind := open.Kind(); kind != '{' && kind != '[' {
		return nil, false
	}
	for dec.PeekKind() != '}' && dec.PeekKind() != ']' {
		_, count := dec.StackIndex(1)
		kind, _ := dec.StackIndex(1)
		value, err := dec.ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		value = bytes.Clone(value)
		if kind == '{' && count%2 == 0 {
			if value, err = jsontext.AppendUnquote(nil, value); err != nil {
				t.Fatal(err)
			}
		}
		parts = append(parts, value)
	}
	if _, err := dec.ReadToken(); err != nil {
		t.Fatal(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return parts, true
}
