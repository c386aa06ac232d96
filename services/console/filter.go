package main

import (
	"bytes"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"

	"orderflow/pkg/bus"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// fields are the named texts of a filter, from a query or from a JSON object; one reader makes a filter of either, so that
// what was looked at is what is replayed.
type fields map[string][]string

const (
	maxFilterText = 1024
	maxIDs        = 10_000
)

// filterFields read one field each into a filter. An empty text counts as absent before they are asked.
var filterFields = map[string]func(f *store.LetterFilter, text string, now time.Time) string{
	"ids": func(f *store.LetterFilter, text string, _ time.Time) string { return readIDs(f, text) },
	"service": func(f *store.LetterFilter, text string, _ time.Time) string {
		return oneOf(&f.Service, text, workers())
	},
	"source": func(f *store.LetterFilter, text string, _ time.Time) string {
		return oneOf(&f.Source, text, order.Sources)
	},
	"code":      func(f *store.LetterFilter, text string, _ time.Time) string { return plain(&f.Code, text) },
	"path":      func(f *store.LetterFilter, text string, _ time.Time) string { return plain(&f.Path, text) },
	"shop":      func(f *store.LetterFilter, text string, _ time.Time) string { return plain(&f.Shop, text) },
	"order_key": func(f *store.LetterFilter, text string, _ time.Time) string { return plain(&f.OrderKey, text) },
	"q":         func(f *store.LetterFilter, text string, _ time.Time) string { return plain(&f.Q, text) },
	"since":     func(f *store.LetterFilter, text string, now time.Time) string { return readTime(&f.Since, text, now) },
	"until":     func(f *store.LetterFilter, text string, now time.Time) string { return readTime(&f.Until, text, now) },
	"min_amount": func(f *store.LetterFilter, text string, _ time.Time) string {
		amount, err := order.ParseAmount(text)
		if err != nil {
			return "not an amount such as 199.50"
		}
		f.MinAmount = decimal.NewNullDecimal(amount)
		return ""
	},
	"state": func(f *store.LetterFilter, text string, _ time.Time) string {
		for _, one := range splitList(text) {
			var state store.LetterState
			if fault := oneOf(&state, one, store.LetterStates); fault != "" {
				return fault
			}
			f.States = append(f.States, state)
		}
		return ""
	},
}

// lists are the fields that may hold several values.
var lists = []string{"ids", "state"}

// filter makes the filter of the fields. The error is a failure that names every parameter at fault, never its value.
func (f fields) filter(now time.Time) (store.LetterFilter, error) {
	var filter store.LetterFilter
	var unknown, faults []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		read, ok := filterFields[name]
		if !ok {
			unknown = append(unknown, parameterName(name))
			continue
		}
		values := slices.DeleteFunc(slices.Clone(f[name]), func(v string) bool { return v == "" })
		if len(values) > 1 && !slices.Contains(lists, name) {
			faults = append(faults, name+": give it once")
			continue
		}
		if len(values) == 0 {
			continue
		}
		if fault := read(&filter, strings.Join(values, ","), now); fault != "" {
			faults = append(faults, name+": "+fault)
		}
	}
	if len(unknown) > 0 {
		known := strings.Join(slices.Sorted(maps.Keys(filterFields)), ", ")
		return filter, badRequest("unknown_parameter", strings.Join(unknown, ", ")+": no such parameter; there are "+known)
	}
	if !filter.Since.IsZero() && !filter.Until.IsZero() && !filter.Since.Before(filter.Until) {
		faults = append(faults, "since: not before until")
	}
	if len(faults) > 0 {
		return filter, badRequest("bad_parameter", strings.Join(faults, "; "))
	}
	if err := filter.Validate(); err != nil {
		return filter, badRequest("bad_parameter", err.Error())
	}
	return filter, nil
}

var parameterShape = regexp.MustCompile(`^[a-z_]{1,32}$`)

// parameterName quotes a parameter's name where it looks like one: anything else may be a value that lost its name.
func parameterName(name string) string {
	if parameterShape.MatchString(name) {
		return name
	}
	return "a parameter whose name is not lower case letters"
}

func plain[T ~string](into *T, text string) string {
	if len(text) > maxFilterText || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return "not a text of at most " + strconv.Itoa(maxFilterText) + " bytes"
	}
	*into = T(text)
	return ""
}

func oneOf[T ~string](into *T, text string, known []T) string {
	if !slices.Contains(known, T(text)) {
		names := make([]string, len(known))
		for i, name := range known {
			names[i] = string(name)
		}
		return "not one of " + strings.Join(names, ", ")
	}
	*into = T(text)
	return ""
}

// readTime takes an instant, or how long ago it was.
func readTime(into *time.Time, text string, now time.Time) string {
	if ago, err := time.ParseDuration(text); err == nil {
		if ago < 0 {
			return "a duration counts back from now and is not negative"
		}
		*into = now.Add(-ago).UTC()
		return ""
	}
	instant, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || instant.Year() < 1970 || instant.Year() > 9998 {
		return "neither RFC 3339, such as 2026-11-22T07:00:00Z (a + is %2B in an address), nor a duration back from now, such as 90m"
	}
	*into = instant.UTC()
	return ""
}

// complete refuses a name without a value, such as an unset variable leaves: dropped, it would widen a replay to letters
// that nobody meant. A list may have such names, since an empty form field means nothing.
func (f fields) complete() error {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if _, known := filterFields[name]; known && len(splitList(strings.Join(f[name], ","))) == 0 {
			return badRequest("bad_parameter", name+": it has no value; give it one, or leave it out")
		}
	}
	return nil
}

func readIDs(f *store.LetterFilter, text string) string {
	for _, one := range splitList(text) {
		id, err := strconv.ParseInt(one, 10, 64)
		if err != nil || id < 1 || len(f.IDs) == maxIDs {
			return "not a list of at most " + strconv.Itoa(maxIDs) + " letters' numbers"
		}
		f.IDs = append(f.IDs, id)
	}
	return ""
}

// workers are the services that have dead letters.
func workers() []string {
	var names []string
	for _, topic := range bus.Topics() {
		if name, found := strings.CutSuffix(topic.Name, ".dlq.v1"); found {
			names = append(names, name)
		}
	}
	return names
}

// queryFields takes the filter's fields and those of a list out of a query.
func queryFields(query url.Values) (f fields, cursor string, limit int, err error) {
	f = fields(maps.Clone(query))
	cursor = query.Get("cursor")
	limit, err = readLimit(query)
	delete(f, "cursor")
	delete(f, "limit")
	return f, cursor, limit, err
}

const (
	usualLimit = 50
	maxLimit   = 500
)

func readLimit(query url.Values) (int, error) {
	if query.Get("limit") == "" {
		return usualLimit, nil
	}
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 1 || limit > maxLimit || len(query["limit"]) > 1 {
		return 0, badRequest("bad_parameter", "limit: not a number from 1 to "+strconv.Itoa(maxLimit))
	}
	return limit, nil
}

// onlyList reads the query of a list that has no filter.
func onlyList(r *http.Request, more ...string) (query url.Values, cursor string, limit int, err error) {
	if query, err = parseQuery(r); err != nil {
		return nil, "", 0, err
	}
	for name := range query {
		if !slices.Contains(append(more, "cursor", "limit"), name) {
			return nil, "", 0, badRequest("unknown_parameter", parameterName(name)+": no such parameter")
		}
	}
	limit, err = readLimit(query)
	return query, query.Get("cursor"), limit, err
}

// UnmarshalJSON reads an object of texts and numbers, by their literal text, or lists of them; null counts as absent.
func (f *fields) UnmarshalJSON(text []byte) error {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(text, &members); err != nil {
		return badRequest("bad_parameter", "filter: not a JSON object, or a name stands twice in it")
	}
	if *f = nil; members == nil {
		return nil
	}
	*f = fields{}
	for name, value := range members {
		values := []jsontext.Value{value}
		if value.Kind() == '[' {
			values = nil
			if err := json.Unmarshal(value, &values); err != nil {
				return badRequest("bad_parameter", parameterName(name)+": not a list")
			}
		}
		for _, v := range values {
			switch v.Kind() {
			case 'n':
			case '"':
				var s string
				if err := json.Unmarshal(v, &s); err != nil {
					return badRequest("bad_parameter", parameterName(name)+": not a text")
				}
				(*f)[name] = append((*f)[name], s)
			case '0':
				(*f)[name] = append((*f)[name], string(bytes.TrimSpace(v)))
			default:
				return badRequest("bad_parameter", parameterName(name)+": neither a text nor a number, nor a list of them")
			}
		}
		if (*f)[name] == nil {
			(*f)[name] = []string{}
		}
	}
	return nil
}
