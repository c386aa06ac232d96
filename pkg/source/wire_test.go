package source_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/source"
)

// document has one field of every wire type.
type document struct {
	Text    source.Text           `json:"text,omitzero"`
	Int     source.Int            `json:"int,omitzero"`
	Bool    source.Bool           `json:"bool,omitzero"`
	Money   source.Amount         `json:"money,omitzero"`
	Quoted  source.AmountText     `json:"quoted,omitzero"`
	Time    source.Time           `json:"time,omitzero"`
	List    source.List[document] `json:"list,omitzero"`
	Inner   *document             `json:"inner,omitzero"`
	Unknown jsontext.Value        `json:",embed"`
}

func TestNormalisedForm(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"text":               {`{"text":"小满"}`, `{"text":"小满"}`},
		"escaped text":       {`{"text":"\u5c0f\/\u6ee1"}`, `{"text":"小/满"}`},
		"empty text stays":   {`{"text":""}`, `{"text":""}`},
		"text from number":   {`{"text":01}`, ``},
		"phone from number":  {`{"text":13122136787}`, `{"text":"13122136787"}`},
		"number text":        {`{"text":1.50E+2}`, `{"text":"1.50E+2"}`},
		"int":                {`{"int":-7}`, `{"int":-7}`},
		"int from text":      {`{"int":"10"}`, `{"int":10}`},
		"int with point":     {`{"int":1.0}`, `{"int":1}`},
		"int with exponent":  {`{"int":1e3}`, `{"int":1000}`},
		"bool":               {`{"bool":true}`, `{"bool":true}`},
		"bool from text":     {`{"bool":"false"}`, `{"bool":false}`},
		"money number":       {`{"money":450.00}`, `{"money":450.00}`},
		"money text":         {`{"money":"450.0"}`, `{"money":450.0}`},
		"money exponent":     {`{"money":4.5e2}`, `{"money":4.5e2}`},
		"money beyond float": {`{"money":123456789012345678.12345678}`, `{"money":123456789012345678.12345678}`},
		"quoted number":      {`{"quoted":28600.0}`, `{"quoted":"28600.0"}`},
		"quoted text":        {`{"quoted":"28600.0"}`, `{"quoted":"28600.0"}`},
		"zero stays":         {`{"money":0,"int":0,"bool":false}`, `{"int":0,"bool":false,"money":0}`},
		"time":               {`{"time":"2024-02-29 23:59:59"}`, `{"time":"2024-02-29 23:59:59"}`},
		"absent": {
			`{"text":null,"int":null,"bool":null,"money":null,"quoted":null,"time":null,"list":null,"inner":null}`,
			`{}`,
		},
		"blank":           {`{"int":"","bool":"","money":"","quoted":"","time":"","list":""}`, `{}`},
		"empty list":      {`{"list":[]}`, `{"list":[]}`},
		"order of fields": {`{"x":1,"list":[{"y":2,"int":1}],"text":"t"}`, `{"text":"t","list":[{"int":1,"y":2}],"x":1}`},
		"unknown kept": {
			`{"inner":{"x":{"b":1.10,"a":[null,1e400]}},"Text":"other case","n":null}`,
			`{"inner":{"x":{"b":1.10,"a":[null,1e400]}},"Text":"other case","n":null}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var d document
			err := source.Decode([]byte(c.in), &d)
			if c.want == "" {
				if err == nil {
					t.Error("taken")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			doc, err := source.Encode(&d)
			if err != nil || string(doc) != c.want {
				t.Errorf("%s, %v", doc, err)
			}
		})
	}
}

func TestFaultsPointAtTheField(t *testing.T) {
	for in, want := range map[string]struct {
		code source.Code
		path string
	}{
		`{"text":true}`:                               {source.BadType, "/text"},
		`{"text":{"secret":1}}`:                       {source.BadType, "/text"},
		`{"int":1.5}`:                                 {source.BadType, "/int"},
		`{"int":"secret"}`:                            {source.BadType, "/int"},
		`{"int":1000000000000}`:                       {source.BadType, "/int"},
		`{"int":1e30}`:                                {source.BadType, "/int"},
		`{"bool":"secret"}`:                           {source.BadType, "/bool"},
		`{"bool":1}`:                                  {source.BadType, "/bool"},
		`{"money":"secret"}`:                          {source.BadAmount, "/money"},
		`{"money":1e1000000000}`:                      {source.BadAmount, "/money"},
		`{"money":" 1"}`:                              {source.BadAmount, "/money"},
		`{"money":"1,5"}`:                             {source.BadAmount, "/money"},
		`{"money":"007"}`:                             {source.BadAmount, "/money"},
		`{"money":"+1"}`:                              {source.BadAmount, "/money"},
		`{"money":"NaN"}`:                             {source.BadAmount, "/money"},
		`{"money":"１"}`:                               {source.BadAmount, "/money"},
		`{"money":1234567890123456789}`:               {source.BadAmount, "/money"},
		`{"money":0.123456789}`:                       {source.BadAmount, "/money"},
		`{"money":true}`:                              {source.BadType, "/money"},
		`{"time":"2024-03-01   12:00:00"}`:            {source.BadTime, "/time"},
		`{"time":20240301}`:                           {source.BadTime, "/time"},
		`{"time":["2024-03-01 12:00:00"]}`:            {source.BadType, "/time"},
		`{"list":{}}`:                                 {source.BadType, "/list"},
		`{"list":"secret"}`:                           {source.BadType, "/list"},
		`{"list":[{},{},5]}`:                          {source.BadType, "/list/2"},
		`{"list":[null]}`:                             {source.BadType, "/list/0"},
		`{"list":[{},{"money":"x"}]}`:                 {source.BadAmount, "/list/1/money"},
		`{"inner":{"list":[{"list":[{"int":"x"}]}]}}`: {source.BadType, "/inner/list/0/list/0/int"},
		`{"inner":"secret"}`:                          {source.BadType, "/inner"},
		`["secret"]`:                                  {source.BadType, ""},
		`"secret"`:                                    {source.BadType, ""},
		`{"money":1,"money":2}`:                       {source.BadJSON, ""},
		`{"unknown":{"a":1,"a":"secret"}}`:            {source.BadJSON, ""},
		`{"text":"secret`:                             {source.BadJSON, ""},
		`{} {}`:                                       {source.BadJSON, ""},
		``:                                            {source.BadJSON, ""},
		`{"list":[` + strings.Repeat("{},", source.MaxLines) + `{}]}`: {source.OverLimit, "/list"},
	} {
		err := source.Decode([]byte(in), new(document))
		fault, ok := errors.AsType[*source.Fault](err)
		if !ok || fault.Code != want.code || fault.Path != want.path {
			t.Errorf("%.60s: %v", in, err)
			continue
		}
		if strings.Contains(fault.Error(), "secret") || fault.Rule == "" {
			t.Errorf("%s: the fault reads %q", in, fault)
		}
	}
}

func TestParseTime(t *testing.T) {
	at, err := source.ParseTime("2024-03-01 12:00:00")
	if want := time.Date(2024, 3, 1, 4, 0, 0, 0, time.UTC); err != nil || !at.Equal(want) {
		t.Errorf("%v, %v", at, err)
	}
	for _, text := range []string{
		"", "2024-03-01", "2024-03-01 12:00", "2024-03-01T12:00:00", "2024-03-01 12:00:00 ", " 2024-03-01 12:00:00",
		"2024-03-01  1:00:00", "2024-3-01 12:00:00.", "2024-02-30 12:00:00", "2024-13-01 12:00:00", "2024-03-01 24:00:00",
		"2024-03-01 12:00:60", "0000-00-00 00:00:00", "0000-01-01 00:00:00", "2024-03-01\u00a012:00:00", "2024-03-01 12:00:0０",
	} {
		if at, err := source.ParseTime(text); err == nil {
			t.Errorf("%q is %v", text, at)
		}
	}
}

func TestFresh(t *testing.T) {
	const window = 10 * time.Minute
	for ahead, want := range map[time.Duration]bool{
		0: true, window: true, -window: true, window + time.Second: false, -window - time.Second: false,
		-24 * 365 * time.Hour * 200: false, 24 * 365 * time.Hour * 200: false,
	} {
		if got := source.Fresh(receivedAt.Add(ahead), receivedAt, window); got != want {
			t.Errorf("%s ahead: %v", ahead, got)
		}
	}
	if source.Fresh(time.Time{}, receivedAt, window) {
		t.Error("no timestamp is fresh")
	}
}

func TestNumbers(t *testing.T) {
	long := strings.Repeat("9", 65)
	given := func(s string) source.Text { return source.Text{Value: s, Given: true} }
	got := source.Numbers(given("P1"), source.Text{}, given(""), given("P1"), given(long), given("T1"))
	if strings.Join(got, ",") != "P1,T1" {
		t.Errorf("%q", got)
	}
}
