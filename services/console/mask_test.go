package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/source/procurement"
	"orderflow/schemas"
)

// contracts are all documents that a letter may hold.
var contracts = map[string]struct {
	topic  string
	fields *fieldTree
	wire   reflect.Type
}{
	"icbu":        {event.Received(order.ICBU), icbuFields, reflect.TypeFor[icbu.Order]()},
	"procurement": {event.Validated(order.Procurement), procurementFields, reflect.TypeFor[procurement.Order]()},
	"mall":        {event.Received(order.Mall), mallFields, reflect.TypeFor[mall.Order]()},
	"deliveries":  {event.Deliveries, deliveryFields, reflect.TypeFor[event.Delivery]()},
}

// Every field of a contract has been thought about, and nothing else is listed.
func TestFieldsAreThoseOfTheContracts(t *testing.T) {
	for name, c := range contracts {
		got, want := leavesOf(c.fields, ""), wirePaths(c.wire, "")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
		if fieldsOf(c.topic, "") != c.fields || name != "deliveries" && fieldsOf("strange", order.Key(name+":P1")) != c.fields {
			t.Errorf("%s: its fields are not found", name)
		}
	}
	if fieldsOf("strange", "strange:P1") != nil {
		t.Error("fields for an unknown source")
	}
}

func leavesOf(at *fieldTree, prefix string) []string {
	if at.members == nil && at.elements == nil {
		return []string{prefix}
	}
	var all []string
	for name, child := range at.members {
		all = append(all, leavesOf(child, strings.TrimPrefix(prefix+"/"+name, "/"))...)
	}
	if at.elements != nil {
		all = append(all, leavesOf(at.elements, prefix+"/*")...)
	}
	return all
}

// wirePaths are the paths of a contract's wire type; scalars and raw values are its leaves.
func wirePaths(wire reflect.Type, prefix string) []string {
	switch {
	case wire.Kind() == reflect.Pointer:
		return wirePaths(wire.Elem(), prefix)
	case wire.Kind() == reflect.Slice && wire.Elem().Kind() == reflect.Struct:
		return wirePaths(wire.Elem(), prefix+"/*")
	case wire.Kind() != reflect.Struct || wire.PkgPath() == reflect.TypeFor[source.Text]().PkgPath() || wire.PkgPath() == "time":
		return []string{prefix}
	}
	var all []string
	for i := range wire.NumField() {
		name, _, _ := strings.Cut(wire.Field(i).Tag.Get("json"), ",")
		if name != "" { // "" holds the unknown members
			all = append(all, wirePaths(wire.Field(i).Type, strings.TrimPrefix(prefix+"/"+name, "/"))...)
		}
	}
	return all
}

// documents are the examples of a contract, a mall's as single orders.
func documents(t testing.TB, contract string) [][]byte {
	t.Helper()
	files, err := fs.Glob(schemas.Examples, path.Join("examples", contract, "*.json"))
	if err != nil || contract != "deliveries" && len(files) == 0 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	var all [][]byte
	for _, file := range files {
		body, err := schemas.Examples.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if contract != "mall" {
			all = append(all, body)
			continue
		}
		if err := source.Elements(body, func(value []byte) bool {
			all = append(all, bytes.Clone(value))
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	if contract == "deliveries" {
		all = append(all, []byte(`{"partner":"okki","order_key":"icbu:P1","revision":7,"content_digest":"00ff","outcome":"delivered","total":"1.50","attempts":1,"at":"2026-01-02T03:04:05.6Z","took_ms":3}`))
	}
	return all
}

// spot is one scalar, or one name, of a document: where it stands in the bytes, and its path in the notation of the fields.
type spot struct {
	path       string
	isName     bool
	start, end int
}

func placesOf(t testing.TB, document []byte) []spot {
	t.Helper()
	var all []spot
	dec := jsontext.NewDecoder(bytes.NewReader(document))
	var walk func(path string)
	walk = func(path string) {
		kind := dec.PeekKind()
		if kind != '{' && kind != '[' {
			raw, err := dec.ReadValue()
			if err != nil {
				t.Fatal(err)
			}
			end := int(dec.InputOffset())
			all = append(all, spot{path, false, end - len(raw), end})
			return
		}
		_, _ = dec.ReadToken()
		for dec.PeekKind() != kind+2 {
			child := path + "/*"
			if kind == '{' {
				raw, err := dec.ReadValue()
				if err != nil {
					t.Fatal(err)
				}
				child = path + "/" + source.Literal(raw)
				end := int(dec.InputOffset())
				all = append(all, spot{child, true, end - len(raw), end})
			}
			walk(strings.TrimPrefix(child, "/"))
		}
		_, _ = dec.ReadToken()
	}
	walk("")
	return all
}

func listedAs(fields *fieldTree, path string) field {
	for name := range strings.SplitSeq(path, "/") {
		if name == "*" {
			fields = fields.element()
		} else {
			fields = fields.member(name)
		}
	}
	if fields == nil {
		return fieldHidden
	}
	return fields.field
}

// A person's data does not show, wherever in a document it stands: words nowhere, a bare number nowhere but in a listed
// field, and no name of an unknown field.
func TestNoPersonShows(t *testing.T) {
	for name := range contracts {
		seen := map[string]bool{}
		for _, document := range documents(t, name) {
			if source.Check(document) == nil {
				noPersonShows(t, name, document, seen)
			}
		}
	}
}

func TestNoPersonShowsInAnyDocument(t *testing.T) {
	names := slices.Sorted(maps.Keys(contracts))
	rapid.Check(t, func(r *rapid.T) {
		noPersonShows(t, rapid.SampledFrom(names).Draw(r, "contract"), drawDocument(r, 3), map[string]bool{})
	})
}

// noPersonShows puts a person in place of every value and every name of a document, one by one; each path once among those
// that were seen.
func noPersonShows(t *testing.T, contract string, document []byte, seen map[string]bool) {
	t.Helper()
	const words, phone = "张三 Mary Marker", "13812345678"
	c := contracts[contract]
	for _, p := range placesOf(t, document) {
		id := fmt.Sprint(p.path, p.isName)
		if seen[id] {
			continue
		}
		seen[id] = true
		for _, marker := range []string{`"` + words + `"`, `"` + phone + `"`, phone} {
			if p.isName && marker == phone {
				continue
			}
			listed := listedAs(c.fields, p.path)
			clear := !p.isName && strings.Contains(marker, phone) && listed != fieldHidden && listed != fieldFlag
			changed := slices.Concat(document[:p.start], []byte(marker), document[p.end:])
			shown := maskRecord(c.topic, "", changed)
			if shown.Fault != "" || !shown.Document.IsValid() {
				t.Fatalf("%s: %s: %+v", contract, p.path, shown)
			}
			if text := string(shown.Document); strings.Contains(text, "张三") || strings.Contains(text, "Marker") || strings.Contains(text, phone) != clear {
				t.Errorf("%s: %s as %s: %s", contract, p.path, marker, text)
			}
			if text := textOf(difference(c.topic, "", changed, document)); strings.Contains(text, "张三") || strings.Contains(text, phone) && !clear {
				t.Errorf("%s: %s as %s: the difference is %s", contract, p.path, marker, text)
			}
		}
	}
}

func textOf(d Difference) string {
	var b strings.Builder
	for _, c := range d.Changes {
		b.WriteString(string(c.Path) + " " + c.Was + " " + c.Now + "\n")
	}
	return b.String()
}

func TestMaskRecord(t *testing.T) {
	for name, c := range map[string]struct{ topic, body, want string }{
		"a contract's order": {
			event.Received(order.Mall), `{"ShopCode":"S1","Code":12345,"RecvMobile":"13812345678","RecvConsignee":"小平","TotalMoney":450.00,"OrderTime":"2026-01-02 03:04:05","BuyerCode":7,"Dtls":[{"Amount":-1.50},"x"]}`,
			`{"ShopCode":"S1","Code":12345,"RecvMobile":"•••(11)","RecvConsignee":"•••(2)","TotalMoney":450.00,"OrderTime":"2026-01-02 03:04:05","BuyerCode":"•••#(1)","Dtls":[{"Amount":-1.50},"•••(1)"]}`,
		},
		"unknown fields":      {event.Received(order.ICBU), `{"amount":null,"mary":"x","jane":{"a":true},"x":[]}`, `{"amount":null,"•••(4)":"•••(1)","•••(4)·2":{"•••(1)":"•••?"},"•••(1)":[]}`},
		"not what is listed":  {event.Received(order.ICBU), `{"amount":"a lot","ali_order_no":"P 1","ack":true,"ali_create_time":"yesterday","action":{"amount":1}}`, `{"amount":"•••(5)","ali_order_no":"•••(3)","ack":"•••?","ali_create_time":"•••(9)","action":{"•••(6)":"•••#(1)"}}`},
		"odd but harmless":    {event.Received(order.ICBU), `{"amount":"28,600.00","ali_create_time":"2026/1/2"}`, `{"amount":"28,600.00","ali_create_time":"2026/1/2"}`},
		"an unknown contract": {"strange", `{"amount":1}`, `{"•••(6)":"•••#(1)"}`},
		"its order tells":     {"strange", `{"amount":1}`, `{"amount":1}`},
		"no object":           {event.Received(order.ICBU), `"mary"`, `"•••(4)"`},
		"too long a value":    {event.Received(order.ICBU), `{"amount":"` + strings.Repeat("1", 200) + `"}`, `{"amount":"•••(200)"}`},
		"a deep document":     {event.Received(order.ICBU), strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 64) + strings.Repeat("]", 64)},
	} {
		key := order.Key("")
		if name == "its order tells" {
			key = "icbu:P1"
		}
		shown := maskRecord(c.topic, key, []byte(c.body))
		if string(shown.Document) != c.want || shown.Cut || shown.Fault != "" || shown.Bytes != len(c.body) {
			t.Errorf("%s:\n got %s %+v\nwant %s", name, shown.Document, shown, c.want)
		}
	}
	for name, body := range map[string]string{
		"no JSON": "mary", "cut": `{"amount":1`, "nothing": "", "a name twice": `{"a":1,"a":2}`, "no UTF-8": "\"\xff\"", "too deep": strings.Repeat("[", 65) + strings.Repeat("]", 65),
	} {
		if shown := maskRecord(event.Received(order.ICBU), "", []byte(body)); shown.Document != nil || shown.Fault == "" || strings.Contains(shown.Fault, "mary") || shown.Bytes != len(body) {
			t.Errorf("%s: %+v", name, shown)
		}
	}
}

func TestMaskRecordIsBounded(t *testing.T) {
	line := `{"BarCode":"` + strings.Repeat("1", 100) + `","Amount":1.00,"x":"` + strings.Repeat("y", 100) + `"}`
	inner := strings.Join(numbered(`"b%":0,`, 90), "") + `"z":0`
	for name, body := range map[string]string{
		"many lines": `{"Dtls":[` + strings.Repeat(line+",", 9_999) + line + `]}`,
		"many names": `{"a0":0` + strings.Join(numbered(`,"a%":0`, 9_999), "") + `}`,
		"objects":    `{` + strings.Join(numbered(`"a%":{`+inner+`},`, 90), "") + `"z":1}`,
		"both":       `[` + strings.Join(numbered(`{"a%":[`+strings.Repeat(line+",", 90)+`1]},`, 90), "") + `1]`,
	} {
		shown := maskRecord(event.Received(order.Mall), "", []byte(body))
		if !shown.Cut || !shown.Document.IsValid() || len(shown.Document) > 512<<10 || shown.Fault != "" || !strings.Contains(string(shown.Document), "•••+") {
			t.Errorf("%s: %d bytes, %+v", name, len(shown.Document), shown.Fault)
		}
		values := slices.DeleteFunc(placesOf(t, shown.Document), func(p spot) bool { return p.isName })
		if len(values) > maxShownValues+source.MaxDepth {
			t.Errorf("%s: %d values", name, len(values))
		}
	}
	shown := maskRecord(event.Received(order.Mall), "", []byte(`{"Dtls":[`+strings.Repeat("1,", 149)+`1]}`))
	if !strings.HasSuffix(string(shown.Document), `"•••+50"]}`) {
		t.Errorf("%s", shown.Document)
	}
}

func numbered(pattern string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strings.Replace(pattern, "%", strings.Repeat("1", 1+i%9)+string(rune('a'+i/9%26))+string(rune('a'+i/234%26))+string(rune('a'+i/6084)), 1)
	}
	return all
}

var maskedShape = regexp.MustCompile(`^•••(\(\d+\)(·\d+)?|#\(\d+\)|\?|\+\d+)$`)

// Whatever the bytes are, nothing of a place that is not listed shows.
func FuzzMaskRecord(f *testing.F) {
	for name := range contracts {
		for _, document := range documents(f, name) {
			f.Add(name, document)
		}
	}
	f.Add("mall", []byte(`{"•••(1)":1,"é":{"Dtls":[[[1]]]}}`))
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		c := contracts[name]
		shown := maskRecord(c.topic, "", body)
		if len(shown.Document) > 1<<20 {
			t.Fatalf("%d bytes", len(shown.Document))
		}
		difference(c.topic, "", body, []byte(`{"Code":"1"}`))
		if shown.Document == nil {
			return
		}
		if err := source.Check(shown.Document); err != nil {
			t.Fatalf("%v: %s", err, shown.Document)
		}
		fields := c.fields
		if fields == nil {
			fields = &fieldTree{}
		}
		for _, p := range placesOf(t, shown.Document) {
			raw := jsontext.Value(shown.Document[p.start:p.end])
			text := source.Literal(raw)
			last := p.path[strings.LastIndex(p.path, "/")+1:]
			switch {
			case p.isName:
				if !maskedShape.MatchString(last) && !known(fields, strings.TrimPrefix(p.path, "/")) {
					t.Errorf("the name at %s shows", p.path)
				}
			case raw.Kind() == 'n' || maskedShape.MatchString(text):
			case listedAs(fields, p.path) == fieldHidden:
				t.Errorf("the value at %s shows: %s", p.path, raw)
			}
		}
	})
}

func known(fields *fieldTree, path string) bool {
	for name := range strings.SplitSeq(path, "/") {
		if name == "*" && fields.element() != nil {
			fields = fields.element()
		} else {
			fields = fields.member(name)
		}
	}
	return fields != nil
}

func TestShownCode(t *testing.T) {
	for code, want := range map[string]string{
		"": "", "S1": "S1", "HQS-0001_a.b:c%2F": "HQS-0001_a.b:c%2F", "Mary Smith": "•••(10)", "店": "•••(1)", "a\x1b[2J": "•••(5)", strings.Repeat("x", 129): "•••(129)",
	} {
		if got := shownCode(code); got != want {
			t.Errorf("%.20q: %s, want %s", code, got, want)
		}
	}
}
