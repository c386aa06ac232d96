package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// filterForm is the form that chooses letters, filled in.
type filterForm struct {
	Values   url.Values
	Services []string
	Sources  []order.Source
	States   []store.LetterState
}

func newFilterForm(values url.Values) filterForm {
	values = maps.Clone(values)
	for _, name := range []string{"cursor", "limit"} {
		delete(values, name)
	}
	maps.DeleteFunc(values, func(_ string, v []string) bool {
		return !slices.ContainsFunc(v, func(s string) bool { return s != "" })
	})
	return filterForm{values, workers(), order.Sources, store.LetterStates}
}

// Get is the value of a field.
func (f filterForm) Get(name string) string { return f.Values.Get(name) }

// Has tells whether letters in this state are chosen.
func (f filterForm) Has(state store.LetterState) bool {
	if len(f.Values["state"]) == 0 {
		return state.Live()
	}
	return slices.Contains(splitList(f.Get("state")), string(state)) || slices.Contains(f.Values["state"], string(state))
}

// Any tells whether anything is chosen.
func (f filterForm) Any() bool { return len(f.Values) > 0 }

// Replay is where a replay of these letters is made.
func (f filterForm) Replay() string { return address("/replays/new", f.Values) }

func address(path string, query url.Values) string {
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}

// lettersView is a list of letters with the form that chose them.
type lettersView struct {
	listView[letterAnswer]
	Filter filterForm
	Fault  *failureView // what is wrong with the form
}

func (c *console) lettersPage(r *http.Request, by user) (screen, error) {
	answer, err := c.listLetters(r, by)
	if fault, again := c.rejected(r, err); again {
		v := lettersView{Filter: newFilterForm(r.URL.Query()), Fault: fault}
		return screen{template: "letters", data: v, status: fault.status}, nil
	}
	if err != nil {
		return screen{}, err
	}
	letters, _ := answer.(page[letterAnswer])
	list := listView[letterAnswer]{letters.Items, nextURL(r, letters.Next)}
	return screen{template: "letters", data: lettersView{list, newFilterForm(r.URL.Query()), nil}}, nil
}

// groupView is a group with the addresses of its letters, and of their replay.
type groupView struct {
	groupAnswer
	Letters, Replay string
}

func groupViewOf(g groupAnswer) groupView {
	query := url.Values{"service": {g.Service}, "code": {g.Code}}
	if g.Path != "" {
		query.Set("path", g.Path)
	}
	return groupView{g, address("/letters", query), address("/replays/new", query)}
}

func (c *console) groupsPage(r *http.Request, by user) (screen, error) {
	groups, _, err := c.groups(r, by)
	return screen{template: "groups", data: groups, live: true}, err
}

// groups gives the groups of the letters that the query chooses, and how many letters they are.
func (c *console) groups(r *http.Request, by user) (views []groupView, letters int, err error) {
	answer, err := c.groupLetters(r, by)
	if err != nil {
		return nil, 0, err
	}
	groups, _ := answer.(page[groupAnswer])
	for _, g := range groups.Items {
		views = append(views, groupViewOf(g))
		letters += g.Count
	}
	return views, letters, nil
}

// letterView is a letter as its page shows it, with the form to give it up.
type letterView struct {
	*wholeLetter
	Reason string       // as typed
	Fault  *failureView // what is wrong with it
}

// Live tells whether the letter may be replayed or discarded.
func (l letterView) Live() bool { return l.State.Live() }

// Document is the masked record, indented; "" where the bytes are no JSON.
func (l letterView) Document() string {
	if l.Record == nil || len(l.Record.Document) == 0 {
		return ""
	}
	document := l.Record.Document.Clone()
	if err := document.Indent(jsontext.WithIndent("  ")); err != nil {
		return ""
	}
	return string(document)
}

func (c *console) letterPage(r *http.Request, by user) (screen, error) {
	answer, err := c.getLetter(r, by)
	if err != nil {
		return screen{}, err
	}
	letter, _ := answer.(*wholeLetter)
	return screen{template: "letter", data: letterView{wholeLetter: letter}}, nil
}

func (c *console) discardPage(r *http.Request, by user) (screen, error) {
	reason := r.PostFormValue("reason")
	asked, err := askAs(r, map[string]any{"reason": reason})
	if err == nil {
		_, err = c.discardLetter(asked, by)
	}
	if fault, again := c.rejected(r, err); again {
		s, err := c.letterPage(r, by)
		if v, ok := s.data.(letterView); ok {
			v.Reason, v.Fault = reason, fault
			s.data, s.status = v, fault.status
		}
		return s, err
	}
	return screen{to: "/letters/" + r.PathValue("id")}, err
}

// askAs makes a form the request that the API has for it, so that there is one way to do a thing.
func askAs(r *http.Request, body any) (*http.Request, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, badRequest("bad_body", "the form is not text in UTF-8")
	}
	asked := r.Clone(r.Context())
	asked.Body = io.NopCloser(bytes.NewReader(text))
	return asked, nil
}
