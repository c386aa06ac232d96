package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/source/procurement"
	"orderflow/pkg/store"
)

func TestDifference(t *testing.T) {
	for name, c := range map[string]struct {
		was, now string
		want     []Change
	}{
		"equal money":     {`{"TotalMoney":1.0,"PayAmount":"2"}`, `{"TotalMoney":1.00,"PayAmount":2.000}`, nil},
		"normalised":      {`{"Code":7,"PayTime":"","RecvTel":null,"TotalQty":"7.0","Dtls":""}`, `{"Code":"7","TotalQty":7}`, nil},
		"another amount":  {`{"TotalMoney":1.0}`, `{"TotalMoney":1.01}`, []Change{{"/TotalMoney", ChangeChanged, "1.0", "1.01"}}},
		"a broken amount": {`{"TotalMoney":"a lot"}`, `{"TotalMoney":7}`, []Change{{"/TotalMoney", ChangeChanged, "•••(5)", "7"}}},
		"a person":        {`{"RecvMobile":"13812345678"}`, `{"RecvMobile":"13912345678"}`, []Change{{"/RecvMobile", ChangeChanged, "", ""}}},
		"a person more":   {`{}`, `{"RecvMobile":"13912345678"}`, []Change{{"/RecvMobile", ChangeAdded, "", "•••(11)"}}},
		"a line less": {
			`{"Dtls":[{"BarCode":"1"},{"BarCode":"2"}]}`, `{"Dtls":[{"BarCode":"1"}]}`,
			[]Change{{"/Dtls/1/BarCode", ChangeRemoved, "2", ""}},
		},
		"unknown fields": {
			`{"mary":1.0,"x":[{"jane/~":true}]}`, `{"mary":1.00,"x":[{}]}`,
			[]Change{{"/•••(1)/0/•••(6)", ChangeRemoved, "•••?", ""}},
		},
		"unknown text":    {`{"x":"1.0"}`, `{"x":"1.00"}`, []Change{{"/•••(1)", ChangeChanged, "", ""}}},
		"another kind":    {`{"Dtls":[]}`, `{"Dtls":{}}`, []Change{{"/Dtls", ChangeChanged, "", ""}}},
		"an empty text":   {`{"OriginalCode":""}`, `{}`, []Change{{"/OriginalCode", ChangeRemoved, "•••(0)", ""}}},
		"nothing":         {`{}`, `{}`, nil},
		"no object":       {`[1]`, `"x"`, []Change{{"/0", ChangeRemoved, "•••#(1)", ""}, {"", ChangeAdded, "", "•••(1)"}}},
		"names and texts": {`{"` + strings.Repeat("x", 100) + `":1}`, `{"` + strings.Repeat("y", 100) + `":1}`, []Change{{"/•••(100)", ChangeRemoved, "•••#(1)", ""}, {"/•••(100)", ChangeAdded, "", "•••#(1)"}}},
	} {
		d := difference(event.Received(order.Mall), "", []byte(c.was), []byte(c.now))
		if !slices.Equal(d.Changes, c.want) || d.More != 0 || d.Cut || d.Unreadable {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if d := difference(event.Received(order.ICBU), "", []byte(`{"saas_info":1`), []byte(`{}`)); !d.Unreadable || d.Changes != nil {
		t.Errorf("no JSON: %+v", d)
	}
	if d := difference("", "procurement:1", []byte(`{"saas_info":{"is_exceed":"true"}}`), []byte(`{"saas_info":{"is_exceed":true}}`)); len(d.Changes) > 0 {
		t.Errorf("a flag as text: %+v", d)
	}
	if d := difference(event.Deliveries, "mall:S:C", []byte(`{"outcome":"x"}`), []byte(`{"Code":"1"}`)); d.Changes != nil {
		t.Errorf("a delivery is no version of an order: %+v", d)
	}
}

func TestDifferenceIsBounded(t *testing.T) {
	lines := func(n int, amount string) []byte {
		return []byte(`{"Dtls":[` + strings.Repeat(`{"Amount":`+amount+`},`, n-1) + `{"Amount":` + amount + `}]}`)
	}
	d := difference(event.Received(order.Mall), "", lines(300, "1"), lines(300, "2"))
	if len(d.Changes) != maxShownChanges || d.More != 100 || d.Cut {
		t.Errorf("%d changes, %+v", len(d.Changes), d)
	}
	// What lies beyond the bound of one document is neither added nor removed.
	long, longer := string(lines(maxComparedValues+10, "1")), `{"Code":"1",`+string(lines(maxComparedValues+20, "1")[1:])
	for _, c := range [][2]string{{long, longer}, {longer, long}} {
		if d = difference(event.Received(order.Mall), "", []byte(c[0]), []byte(c[1])); len(d.Changes) != 0 || !d.Cut {
			t.Errorf("%+v", d)
		}
	}
	deep := strings.Repeat(`{"`+strings.Repeat("n", 1000)+`":`, 63) + `[` + strings.Repeat("1,", 9_999) + `1]` + strings.Repeat("}", 63)
	for _, path := range flatten(mallFields, []byte(deep)).paths {
		if len(path) > source.MaxDepth*2*maxPathName {
			t.Fatalf("a path of %d bytes", len(path))
		}
	}
}

// Normalising a push changes nothing that counts.
func TestNormalisingIsNoDifference(t *testing.T) {
	judges := map[string]func([]byte, time.Time) ([]byte, order.Order, error){"icbu": icbu.Judge, "procurement": procurement.Judge, "mall": mall.Judge}
	judged := 0
	for name, judge := range judges {
		for _, document := range documents(t, name) {
			normal, _, err := judge(document, time.Date(2019, 7, 1, 0, 0, 0, 0, source.Zone))
			if err != nil {
				continue
			}
			judged++
			if d := difference(contracts[name].topic, "", document, normal); len(d.Changes) > 0 || d.Unreadable {
				t.Errorf("%s: %+v\n%s\n%s", name, d, document, normal)
			}
		}
	}
	if judged < 10 {
		t.Errorf("only %d documents passed", judged)
	}
}

// The changes of a document against another are those of the other against it, the other way round; none against itself.
func TestDifferenceIsSymmetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawDocument(t, 3), drawDocument(t, 3)
		there, back := difference("", "mall:S:C", a, b), difference("", "mall:S:C", b, a)
		if itself := difference("", "mall:S:C", a, a); len(itself.Changes) != 0 {
			t.Fatalf("%s against itself: %+v", a, itself)
		}
		mirror := map[ChangeKind]ChangeKind{ChangeAdded: ChangeRemoved, ChangeRemoved: ChangeAdded, ChangeChanged: ChangeChanged}
		for i := range back.Changes {
			c := &back.Changes[i]
			c.Kind, c.Was, c.Now = mirror[c.Kind], c.Now, c.Was
		}
		x, y := fmt.Sprint(sorted(there.Changes)), fmt.Sprint(sorted(back.Changes))
		if x != y {
			t.Fatalf("%s\n%s\n%s\n%s", a, b, x, y)
		}
	})
}

func sorted(changes []Change) []string {
	all := make([]string, len(changes))
	for i, c := range changes {
		all[i] = fmt.Sprint(c)
	}
	slices.Sort(all)
	return all
}

// drawDocument is any JSON document, with many of the contract's names.
func drawDocument(t *rapid.T, depth int) jsontext.Value {
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	if depth == 0 {
		kind %= 4
	}
	switch kind {
	case 0:
		return jsontext.Value(rapid.SampledFrom([]string{"null", "true", "false", `""`, "0", "1.0", "1.00", `"1.0"`, "-7e1"}).Draw(t, "scalar"))
	case 1:
		quoted, _ := jsontext.AppendQuote(nil, rapid.String().Draw(t, "text"))
		return quoted
	case 2, 3:
		return jsontext.Value(fmt.Sprint(rapid.Int32().Draw(t, "number")))
	}
	names := []string{"Dtls", "Code", "TotalMoney", "RecvMobile", "Amount", "OrderTime", "x", "y/~"}
	var doc []byte
	for i, name := range names[:rapid.IntRange(0, len(names)).Draw(t, "members")] {
		if i > 0 {
			doc = append(doc, ',')
		}
		if kind == 4 {
			doc, _ = jsontext.AppendQuote(doc, name)
			doc = append(doc, ':')
		}
		doc = append(doc, drawDocument(t, depth-1)...)
	}
	if kind == 4 {
		return slices.Concat([]byte{'{'}, doc, []byte{'}'})
	}
	return slices.Concat([]byte{'['}, doc, []byte{']'})
}

// What is newer is now, be it the letter or the accepted document.
func TestDifferenceOfANewerLetter(t *testing.T) {
	old, other := []byte(`{"TotalMoney":1}`), []byte(`{"TotalMoney":2}`)
	of := func(revision order.Revision) store.LetterView {
		return store.LetterView{OriginTopic: event.Received(order.Mall), Revision: revision}
	}
	for name, c := range map[string]struct {
		letter   store.LetterView
		was, now string
		newer    bool
	}{
		"older letter": {of(3), "1", "2", false}, "the same": {of(5), "1", "2", false}, "newer letter": {of(7), "2", "1", true}, "unknown": {of(0), "1", "2", false},
	} {
		d := differenceOf(c.letter, old, other, 5)
		if len(d.Changes) != 1 || d.Changes[0].Was != c.was || d.Changes[0].Now != c.now || d.Newer != c.newer {
			t.Errorf("%s: %+v", name, d)
		}
	}
}
