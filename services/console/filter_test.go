package main

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/shopspring/decimal"

	"orderflow/pkg/store"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestFilter(t *testing.T) {
	for query, want := range map[string]store.LetterFilter{
		"":                               {},
		"service=&source=&state=&since=": {},
		"service=validate&source=mall&code=bad_amount&path=/Dtls/*/Amount&shop=S1&order_key=mall:S1:1&q=S1": {
			Service: "validate", Source: "mall", Code: "bad_amount", Path: "/Dtls/*/Amount", Shop: "S1", OrderKey: "mall:S1:1", Q: "S1",
		},
		"state=open,fixed&state=discarded": {States: []store.LetterState{store.LetterOpen, store.LetterFixed, store.LetterDiscarded}},
		"since=90m":                        {Since: now.Add(-90 * time.Minute)},
		"since=0s":                         {Since: now},
		"since=2026-11-22T08:00:00%2B08:00&until=2026-11-22T01:00:00.5Z": {
			Since: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 22, 1, 0, 0, 500_000_000, time.UTC),
		},
		"min_amount=199.50": {MinAmount: decimal.NewNullDecimal(decimal.RequireFromString("199.50"))},
		"ids=3,1&ids=2":     {IDs: []int64{3, 1, 2}},
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fields(values).filter(now)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v %v\nwant %+v", query, got, err, want)
		}
	}
}

func TestFilterNamesEveryMistakeAndNoValue(t *testing.T) {
	for query, want := range map[string]string{
		"colour=geheim&service=validate":      "unknown_parameter: colour",
		"Ge-Heim=1":                           "unknown_parameter: a parameter whose name",
		"service=geheim":                      "bad_parameter: service: not one of validate,",
		"source=geheim":                       "bad_parameter: source: not one of icbu, procurement, mall",
		"state=open,geheim":                   "bad_parameter: state: not one of open,",
		"since=geheim":                        "bad_parameter: since: neither RFC 3339",
		"since=2026-11-22":                    "bad_parameter: since: neither RFC 3339",
		"since=2026-11-22T08:00:00+08:00":     "bad_parameter: since: neither RFC 3339",
		"until=-1h":                           "bad_parameter: until: a duration counts back",
		"since=1h&until=2h":                   "bad_parameter: since: not before until",
		"min_amount=geheim":                   "bad_parameter: min_amount: not an amount",
		"min_amount=1e999":                    "bad_parameter: min_amount",
		"ids=1,geheim":                        "bad_parameter: ids: not a list",
		"ids=0":                               "bad_parameter: ids: not a list",
		"ids=99999999999999999999":            "bad_parameter: ids: not a list",
		"q=a&q=geheim":                        "bad_parameter: q: give it once",
		"code=%00":                            "bad_parameter: code: not a text",
		"shop=%FF":                            "bad_parameter: shop: not a text",
		"q=" + strings.Repeat("x", 1025):      "bad_parameter: q: not a text",
		"since=geheim&service=geheim&q=a&q=b": "bad_parameter: q: give it once; service: not one of",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fields(values).filter(now)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(strings.ToLower(err.Error()), "geheim") {
			t.Errorf("%q: %v, want %s", query, err, want)
		}
	}
}

func TestFilterInJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"filter":{}}`: "map[]",
		`{"filter":{"ids":[1,2],"min_amount":199.50,"state":["open","fixed"],"q":"x","shop":null}}`: "map[ids:[1 2] min_amount:[199.50] q:[x] shop:[] state:[open fixed]]",
		`{"filter":{"min_amount":1.00000000000000000001}}`:                                          "map[min_amount:[1.00000000000000000001]]",
		`{"filter":null}`:                "absent",
		`{}`:                             "absent",
		`{"filter":{"q":"a","q":"b"}}`:   "",
		`{"filter":{"q":{"x":1}}}`:       "bad_parameter",
		`{"filter":{"q":true}}`:          "bad_parameter",
		`{"filter":{"ids":[[1]]}}`:       "bad_parameter",
		`{"filter":[]}`:                  "bad_parameter",
		`{"filter":{}} {}`:               "",
		`{"Filter":{}}`:                  "",
		`{"filter":{},"dry_run":"true"}`: "",
		`{"filter":{},"rate":1.5}`:       "",
		`{"filter":{},"filter":{}}`:      "",
	} {
		var body newJob
		err := json.Unmarshal([]byte(text), &body, json.RejectUnknownMembers(true))
		got := fmt.Sprint(map[string][]string(body.Filter))
		switch {
		case err != nil:
			got = ""
			if want != "" && strings.Contains(err.Error(), want) {
				got = want
			}
		case body.Filter == nil:
			got = "absent"
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", text, got, err, want)
		}
	}
}

// FuzzFilter holds the two readers of a filter against each other, and every filter against what the database takes.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"service=validate&since=90m", "ids=1,2&state=open", "min_amount=1.5&q=%E5%BA%97", "since=2026-11-22T08:00:00Z", "a=b;c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		byQuery, err := fields(values).filter(now)
		if err == nil {
			if err := byQuery.Validate(); err != nil {
				t.Errorf("%q: %v", query, err)
			}
		}
		text, errJSON := json.Marshal(map[string][]string(values))
		if errJSON != nil {
			return // not UTF-8
		}
		var again fields
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		byJSON, errAgain := again.filter(now)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || !reflect.DeepEqual(byQuery, byJSON) {
			t.Errorf("%q: %+v %v\nin JSON: %+v %v", query, byQuery, err, byJSON, errAgain)
		}
	})
}
