package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/avro"
	"pgregory.net/rapid"

	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/judge"
	"orderflow/pkg/order"
	"orderflow/pkg/published"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/source/procurement"
	"orderflow/schemas"
)

// personal lists the fields that may point at a person (protocols section 5), and what is in them.
var personal = map[order.Source]map[string]string{
	order.ICBU: {"ali_company_name": "name", "ali_cgs": "account", "okki_client_id": "account"},
	order.Procurement: {
		"user_info.id": "account", "user_info.name": "name", "user_info.phone": "phone", "user_info.employee_number": "account",
		"consignee_info.name": "name", "consignee_info.phone": "phone", "consignee_info.address": "street",
		"saas_info.exceed_reason": "name", "saas_info.remark": "street", "third_info.user_id": "account",
		"order_track_info[].content": "street", "order_track_info[].operator": "name",
	},
	order.Mall: {
		"BuyerCode": "account", "RecvConsignee": "name", "RecvMobile": "phone", "RecvTel": "phone", "RecvAddress": "street",
		"RecvProvince": "someone", "RecvCity": "someone", "RecvCounty": "someone",
	},
}

// places are the fields that analysts see if they hold the name of a place, and such a name. A sender may write a person there.
var places = map[string]string{"mall RecvProvince": "浙江省", "mall RecvCity": "杭州市"}

// labels are the fields that analysts see as they were sent; quoted are the personal ones that a sender may write there, too.
var (
	labels = []string{"icbu order_product_list[].product_name", "procurement product_info[].name", "procurement order_info.supplier_name", "mall Dtls[].BarCode"}
	quoted = []string{
		"ali_company_name", "ali_cgs", "user_info.id", "user_info.name", "user_info.phone", "consignee_info.name", "consignee_info.phone", "consignee_info.address",
		"BuyerCode", "RecvConsignee", "RecvMobile", "RecvTel", "RecvAddress",
	}
)

// Letters that no example and no code of ours has.
var nameLetters, streetLetters = []rune("龘靐齉爨麤鱻飝"), []rune("灪麣鸾鹂鲡驫厵")

// marker draws a personal value of a kind that fits every field. A phone has no eight digits that own holds, which is what
// analysts see of the order whoever it is from: they are not the phone's.
func marker(t *rapid.T, kind, own string) string {
	switch kind {
	case "account":
		return rapid.StringMatching(`buyer-[a-z0-9]{8}`).Draw(t, kind)
	case "phone":
		other := func(phone string) bool { return leaks(own, kind, phone) == "" }
		return rapid.StringMatching(`(\+86 )?1[3-9][0-9]{9}`).Filter(other).Draw(t, kind)
	case "someone": // who looks like a place more or less
		return rapid.OneOf(
			rapid.StringOfN(rapid.RuneFrom(nameLetters), 3, 6, -1),
			rapid.Map(rapid.StringOfN(rapid.RuneFrom([]rune("王李张刘陈杨赵黄周吴伟芳娜敏静丽强磊军洋")), 2, 3, -1), func(name string) string { return name + "收" }),
			rapid.SampledFrom([]string{"Zhang Wei", "ZHANG WEI", "O'Brien", "王伟", "欧阳娜娜", "王伟市", "张·伟", "Wáng Wěi", "王 伟", "杭州王伟", "上海 Zhang Wei"}),
		).Draw(t, kind)
	case "street":
		return rapid.StringOfN(rapid.RuneFrom(streetLetters), 3, 8, -1).Draw(t, kind) + "号"
	default:
		return rapid.StringOfN(rapid.RuneFrom(nameLetters), 3, 6, -1).Draw(t, kind)
	}
}

// leaks tells what of a personal value is in a text: all of it, eight digits of a phone, three characters of a name or street.
func leaks(text, kind, value string) string {
	switch kind {
	case "phone":
		digits := strings.TrimPrefix(value, "+86 ")
		for i := range len(digits) - 7 {
			if strings.Contains(text, digits[i:i+8]) {
				return digits[i : i+8]
			}
		}
	case "name", "street":
		letters := []rune(value)
		for i := range len(letters) - 2 {
			if part := string(letters[i : i+3]); strings.Contains(text, part) {
				return part
			}
		}
	}
	if strings.Contains(text, value) {
		return value
	}
	return ""
}

// leaf is one scalar of a document: its path as the schema writes it, and how to change it.
type leaf struct {
	path  string
	value any
	set   func(any)
}

func leaves(at string, node any, set func(any)) (all []leaf) {
	switch node := node.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(node)) {
			inner := strings.TrimPrefix(at+"."+name, ".")
			all = append(all, leaves(inner, node[name], func(v any) { node[name] = v })...)
		}
	case []any:
		for i := range node {
			all = append(all, leaves(at+"[]", node[i], func(v any) { node[i] = v })...)
		}
	default:
		all = append(all, leaf{at, node, set})
	}
	return all
}

func tree(t rapid.TB, body []byte) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var doc map[string]any
	if err := decoder.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// push makes what ingest writes of a document, at the given offset.
func push(t rapid.TB, from order.Source, doc map[string]any, offset int64) event.Message {
	t.Helper()
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var key order.Key
	switch from {
	case order.ICBU:
		head, err := icbu.Peek(body)
		if err != nil {
			t.Fatal(err)
		}
		key = icbu.Key(body, head)
	case order.Procurement:
		head, err := procurement.Peek(body)
		if err != nil {
			t.Fatal(err)
		}
		key = procurement.Key(body, head)
	case order.Mall:
		items, err := mall.Split(slices.Concat([]byte("["), body, []byte("]")))
		if err != nil {
			t.Fatal(err)
		}
		key = mall.Key(items[0])
	}
	m := record(from, key, string(body))
	m.Partition, m.Offset, m.Timestamp = 3, offset, receivedAt
	return m
}

// shown is everything that an analyst sees of a message: its bytes, what they mean, and its headers. A header that is a time is
// left out: its fraction of a second has nine digits, and would now and then hold eight of somebody's phone.
func shown(t rapid.TB, m event.Message) string {
	t.Helper()
	var value any
	if _, err := avro.MustParse(schemas.OrderSchema).Decode(m.Value[5:], &value); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(m.Key, " ", string(m.Value), value)
	for _, h := range m.Headers {
		if _, err := time.Parse(time.RFC3339Nano, string(h.Value)); err != nil {
			text += " " + h.Key + " " + string(h.Value)
		}
	}
	return text
}

// publishedFields are the senders' fields that go to analysts in clear, by what the schema says of itself.
func publishedFields(t *testing.T) (clear, pseudonymous map[string]bool) {
	t.Helper()
	type fields []struct {
		Class   string              `json:"class"`
		Sources map[string][]string `json:"sources"`
		Type    json.RawMessage     `json:"type"`
	}
	clear, pseudonymous = map[string]bool{}, map[string]bool{}
	var walk func(schema []byte)
	walk = func(schema []byte) {
		var node struct {
			Fields fields          `json:"fields"`
			Items  json.RawMessage `json:"items"`
		}
		if json.Unmarshal(schema, &node) != nil {
			return // a name or a union: no fields below
		}
		for _, f := range node.Fields {
			for from, paths := range f.Sources {
				for _, at := range paths {
					if f.Class == "personal" {
						pseudonymous[from+" "+at] = true
					} else {
						clear[from+" "+at] = true
					}
				}
			}
			walk(f.Type)
		}
		if node.Items != nil {
			walk(node.Items)
		}
	}
	walk([]byte(schemas.OrderSchema))
	return clear, pseudonymous
}

// TestEveryFieldOfEverySeed puts a word into one text field of an example after the other: analysts see it if and only if
// the schema says that the field is published, and never where a field is personal.
func TestEveryFieldOfEverySeed(t *testing.T) {
	clear, pseudonymous := publishedFields(t)
	transform := newTransform(t)
	const anyWord = "靐靐靐"
	tried := map[string]bool{}
	for _, e := range examples(t) {
		if !strings.HasPrefix(path.Base(e.name), "good-") {
			continue
		}
		doc := tree(t, e.body)
		doc["unknown_field"] = "?"
		for from := range personal[e.source] { // fields that the example leaves out
			if !strings.Contains(from, ".") && doc[from] == nil {
				doc[from] = "13800138000"
			}
		}
		for _, l := range leaves("", doc, nil) {
			word := cmp.Or(places[string(e.source)+" "+l.path], anyWord)
			l.set(word)
			out, err := transform.apply(judge.Stamp(push(t, e.source, doc, 42)))
			l.set(l.value)
			if err != nil {
				continue // no text field: the word is no number, time or code
			}
			name := string(e.source) + " " + l.path
			tried[name] = true
			text := shown(t, out[1])
			if seen := strings.Contains(text, word); seen != clear[name] {
				t.Errorf("%s: %s is published: %v, the schema says %v", e.name, l.path, seen, clear[name])
			}
			if pseudonymous[name] && personal[e.source][l.path] == "" {
				t.Errorf("%s has a pseudonym and is not listed as personal", name)
			}
		}
	}
	for from, paths := range personal {
		for at := range paths {
			if name := string(from) + " " + at; clear[name] && places[name] == "" {
				t.Errorf("%s is personal, and the schema publishes it", name)
			} else if !tried[name] && !strings.HasPrefix(at, "saas_info.remark") && at != "user_info.employee_number" {
				t.Errorf("%s was not tried", name)
			}
		}
	}
}

// person is what one order says about people: path to value.
type person map[string]string

// drawOrder gives a random order, to be pushed at an offset: an example with other people, and new fields that quote them.
func drawOrder(t *rapid.T, transform *transform, all []example, offset int64) (order.Source, map[string]any, person) {
	e := rapid.SampledFrom(all).Draw(t, "example")
	doc, who := tree(t, e.body), person{}
	plain, err := transform.apply(judge.Stamp(push(t, e.source, doc, offset)))
	if err != nil {
		t.Fatal(err)
	}
	own := shown(t, plain[1])
	for at := range personal[e.source] {
		if parent, name, nested := strings.Cut(at, "."); nested {
			if object, ok := doc[parent].(map[string]any); ok && object[name] == nil {
				object[name] = ""
			}
		} else if doc[at] == nil {
			doc[at] = ""
		}
	}
	for _, l := range leaves("", doc, nil) {
		if kind := personal[e.source][l.path]; kind != "" {
			value := marker(t, kind, own)
			who[l.path+" "+kind] = value
			l.set(value)
		}
	}
	for _, l := range leaves("", doc, nil) {
		if slices.Contains(labels, string(e.source)+" "+l.path) && rapid.Bool().Draw(t, "quotes") {
			at := rapid.SampledFrom(slices.DeleteFunc(slices.Sorted(maps.Keys(who)), func(at string) bool {
				path, _, _ := strings.Cut(at, " ")
				return !slices.Contains(quoted, path)
			})).Draw(t, "whom")
			l.set(rapid.SampledFrom([]string{"", "for "}).Draw(t, "how") + who[at])
		}
	}
	for at, value := range who {
		doc["note about "+strings.ReplaceAll(at, " ", "_")] = value
	}
	return e.source, doc, who
}

func (who person) check(t rapid.TB, where, text string) {
	t.Helper()
	for at, value := range who {
		_, kind, _ := strings.Cut(at, " ")
		if part := leaks(text, kind, value); part != "" {
			t.Errorf("%s: %q of %s", where, part, at)
		}
	}
}

// TestLawNothingPersonalIsPublished: of whoever orders, nothing clear is in the record or its headers; equal people have
// equal pseudonyms and others have others.
func TestLawNothingPersonalIsPublished(t *testing.T) {
	transform, all := newTransform(t), goodExamples(t)
	rapid.Check(t, func(t *rapid.T) {
		offset := rapid.Int64Range(0, 1<<40).Draw(t, "offset")
		from, doc, who := drawOrder(t, transform, all, offset)
		out, err := transform.apply(judge.Stamp(push(t, from, doc, offset)))
		if err != nil {
			t.Fatal(err)
		}
		who.check(t, "record", shown(t, out[1]))
		if !utf8.ValidString(out[1].Header(event.HeaderDigest)) || out[1].Header(event.HeaderDigest) == out[0].Header(event.HeaderDigest) {
			t.Error("the content digest of a document with personal data is published: it could be guessed back")
		}
	})
}

func goodExamples(t testing.TB) []example {
	t.Helper()
	return slices.DeleteFunc(examples(t), func(e example) bool { return !strings.HasPrefix(path.Base(e.name), "good-") })
}

// TestNothingPersonalInTopicOrLog runs the service over orders of drawn people, good and broken ones, and looks at all that
// it published and logged.
func TestNothingPersonalInTopicOrLog(t *testing.T) {
	broker := bustest.Start(t)
	logs := start(t, broker)
	transform, all := newTransform(t), goodExamples(t)
	clear, _ := publishedFields(t)
	type drawn struct {
		m   event.Message
		who person
	}
	draw := rapid.Custom(func(t *rapid.T) drawn {
		from, doc, who := drawOrder(t, transform, all, 0)
		if rapid.IntRange(0, 3).Draw(t, "broken") == 0 { // of which the letter's cause must not quote
			for _, l := range leaves("", doc, nil) {
				if _, number := l.value.(json.Number); number && !clear[string(from)+" "+l.path] {
					l.set(who[rapid.SampledFrom(slices.Sorted(maps.Keys(who))).Draw(t, "quoted")])
					break
				}
			}
		}
		return drawn{push(t, from, doc, 0), who}
	})
	var people []person
	good, bad := 0, 0
	for seed := range 60 {
		sent := draw.Example(seed)
		people = append(people, sent.who)
		if _, err := transform.apply(judge.Stamp(sent.m)); err != nil {
			bad++
		} else {
			good++
		}
		receive(t, broker, sent.m)
	}
	if good < 20 || bad < 3 {
		t.Fatalf("%d good orders and %d bad ones: the draw is off", good, bad)
	}
	broker.Wait(event.DeadLetters(service), bad)
	texts := []string{}
	for _, m := range broker.Wait(published.Topic, good) {
		texts = append(texts, shown(t, m))
	}
	for _, entry := range logs.All() {
		texts = append(texts, fmt.Sprint("log ", entry.Message, entry.ContextMap()))
	}
	for _, who := range people {
		for _, text := range texts {
			who.check(t, strings.ToValidUTF8(text[:min(len(text), 60)], "?"), text)
		}
	}
}
