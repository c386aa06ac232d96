package main

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"orderflow/pkg/receipt"
	"orderflow/pkg/store"
)

// searchView is the search box with what was found by it.
type searchView struct {
	Number string
	Asked  bool
	Orders []*orderAnswer
	Next   string // the address of more of them
}

// searchPage finds by any number. One order found is shown at once, and so is a push by its receipt.
func (c *console) searchPage(r *http.Request, by user) (screen, error) {
	number := strings.TrimSpace(r.URL.Query().Get("number"))
	if number == "" {
		return screen{template: "search", data: searchView{}}, nil
	}
	if _, err := receipt.Parse(c.receipts.keys, number); err == nil {
		return screen{to: "/pushes/" + url.PathEscape(number)}, nil
	}
	answer, err := c.findOrders(r, by)
	if err != nil {
		return screen{}, err
	}
	found, _ := answer.(page[*orderAnswer])
	if len(found.Items) == 1 && found.Next == nil && !r.URL.Query().Has("cursor") {
		return screen{to: orderPath(found.Items[0].OrderKey)}, nil
	}
	return screen{template: "search", data: searchView{number, true, found.Items, nextURL(r, found.Next)}}, nil
}

// orderView is an order with its dead letters.
type orderView struct {
	*orderAnswer
	Letters []letterAnswer
}

// maxOrderLetters bounds the letters beside an order; the list has them all.
const maxOrderLetters = 20

// TakenOver tells whether another worker had taken an attempt's call over before it ended.
func (s step) TakenOver() bool { return strings.Contains(s.Detail, "taken over") }

func (c *console) orderPage(r *http.Request, by user) (screen, error) {
	answer, err := c.getOrder(r, by)
	if err != nil {
		return screen{}, err
	}
	o, _ := answer.(*orderAnswer)
	letters, _, err := c.db.Letters(r.Context(), store.LetterFilter{OrderKey: o.OrderKey, States: store.LetterStates}, "", maxOrderLetters)
	if err != nil {
		return screen{}, err
	}
	return screen{template: "order", data: orderView{o, listOf(letters, "", letterOf).Items}, live: underWay(o.State)}, nil
}

func (c *console) pushPage(r *http.Request, by user) (screen, error) {
	answer, err := c.getReceipt(r, by)
	if err != nil {
		return screen{}, err
	}
	push, _ := answer.(*receiptAnswer)
	moving := slices.ContainsFunc(push.Orders, func(o receiptOrder) bool { return underWay(o.State) })
	return screen{template: "push", data: push, live: moving}, nil
}

// underWay tells whether an order's state is about to change by itself.
func underWay(state store.State) bool { return state == stateReceived || state == store.StateValidated }

// auditPage lists who did what.
func (c *console) auditPage(r *http.Request, by user) (screen, error) {
	answer, err := c.listAudit(r, by)
	if err != nil {
		return screen{}, err
	}
	entries, _ := answer.(page[auditAnswer])
	return screen{template: "audit", data: listView[auditAnswer]{entries.Items, nextURL(r, entries.Next)}}, nil
}

// Letter is the number of the letter that a line is about; 0 where it is about something else.
func (a auditAnswer) Letter() int64 { return numberAfter(a.Object, "letter ") }

// Job is the number of the replay that a line is about; 0 where it is about something else.
func (a auditAnswer) Job() int64 { return numberAfter(a.Object, "replay ") }

func numberAfter(text, words string) int64 {
	digits, _ := strings.CutPrefix(text, words)
	number, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || digits == text || number < 1 {
		return 0
	}
	return number
}

// listView is one part of a list; Next is the address of the one after it.
type listView[T any] struct {
	Items []T
	Next  string
}

// nextURL is this address with the cursor of what follows, "" at the end.
func nextURL(r *http.Request, cursor *string) string {
	if cursor == nil {
		return ""
	}
	query := r.URL.Query()
	query.Set("cursor", *cursor)
	return r.URL.Path + "?" + query.Encode()
}
