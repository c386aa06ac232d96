package source

import (
	"strconv"
	"unicode/utf8"
)

// Rules collects the verdict on one document: the first fault, and the warnings. A check names its field relative to the
// place that At set, in the contract's names.
type Rules struct {
	fault    *Fault
	warnings []string
	list     string // pointer of the list whose element is being checked; "" at the top
	index    int
}

// At makes the following checks concern element index of a list, given by its pointer.
func (r *Rules) At(list string, index int) { r.list, r.index = list, index }

// Top makes the following checks concern the document itself.
func (r *Rules) Top() { r.list = "" }

// Need refuses a document that breaks a stated rule.
func (r *Rules) Need(holds bool, code Code, field, rule string) {
	if !holds && r.fault == nil {
		r.fault = &Fault{Code: code, Path: r.path(field), Rule: rule}
	}
}

// Given refuses a document without a required field.
func (r *Rules) Given(given bool, field string) {
	r.Need(given, MissingField, field, "a required field is missing")
}

// Text refuses a document whose required text is missing or empty.
func (r *Rules) Text(t Text, field string) { r.Given(t.Value != "", field) }

// Length refuses a text of more than limit characters (not bytes).
func (r *Rules) Length(t Text, limit int, field string) {
	if len(t.Value) > limit && utf8.RuneCountInString(t.Value) > limit {
		r.Need(false, TooLong, field, "longer than "+strconv.Itoa(limit)+" characters")
	}
}

// Decimals refuses an amount that is not exact with so many decimals.
func (r *Rules) Decimals(a Amount, places int32, field string) {
	if !a.HasDecimals(places) {
		r.Need(false, BadAmount, field, "more than "+strconv.Itoa(int(places))+" decimals")
	}
}

// Warn notes a breach of a rule that no contract states; the document is taken.
func (r *Rules) Warn(holds bool, code Code, field, rule string) {
	if !holds && len(r.warnings) < maxWarnings {
		r.warnings = append(r.warnings, (&Fault{Code: code, Path: r.path(field), Rule: rule}).Error())
	}
}

// maxWarnings keeps an odd order of many lines from carrying more warnings than content.
const maxWarnings = 16

// Fault is the first breach of a stated rule, or nil. It is an error only when it is not nil: compare before returning.
func (r *Rules) Fault() *Fault { return r.fault }

// Warnings are the breaches noted by Warn, in words; nil when there are none.
func (r *Rules) Warnings() []string { return r.warnings }

func (r *Rules) path(field string) string {
	if r.list == "" {
		return "/" + field
	}
	return r.list + "/" + strconv.Itoa(r.index) + "/" + field
}
