package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"

	"orderflow/pkg/store"
)

// failureView is an error as a page shows it.
type failureView struct {
	status  int
	Code    string
	Message string // in English, as the API has it; the page says it in its own language
}

// failureOf makes an error one that people may see. What is no failure of theirs is told in the log.
func (c *console) failureOf(r *http.Request, err error) *failureView {
	f, ok := errors.AsType[*failure](err)
	switch {
	case ok:
	case errors.Is(err, store.ErrNotFound):
		f = errNotFound
	default:
		f = errAway
		if r.Context().Err() == nil || errors.Is(r.Context().Err(), context.DeadlineExceeded) {
			c.log.Warn("page not shown", zap.String("address", r.Pattern), zap.String("cause", store.Describe(err)))
		}
	}
	return &failureView{f.status, f.code, f.message}
}

// rejected tells whether a form can be shown once more with what was typed, and what is wrong with it.
func (c *console) rejected(r *http.Request, err error) (*failureView, bool) {
	f, ok := errors.AsType[*failure](err)
	if !ok || !slices.Contains([]int{http.StatusBadRequest, http.StatusConflict}, f.status) {
		return nil, false
	}
	return c.failureOf(r, f), true
}

// mishap answers an error that no page of ours is about, as whoever asks can read it: people get a page outside the API,
// programs get JSON.
func (c *console) mishap(w http.ResponseWriter, r *http.Request, f *failure) {
	people := strings.Contains(r.Header.Get("Accept"), "text/html") && !polls(r)
	for _, machine := range []string{"/api/", "/receipts/", "/assets/"} {
		people = people && !strings.HasPrefix(r.URL.Path+"/", machine)
	}
	if !people {
		c.fail(w, r, f)
		return
	}
	by, _ := c.pages.sessions.find(r)
	c.render(w, r, f.status, view{Page: "failure", Language: languageOf(r), By: by, Here: "/", Data: &failureView{f.status, f.code, f.message}})
}

// lists that stand in a message, by the words before them.
var messageLists = []string{"not one of ", "there are ", "not possible while the job is ", "this needs the role "}

// sentences say an API's message in a language: as a whole, or a fault of each field. What nobody translated stays English.
func sentences(l language, message string) []string {
	all := faults(l, message)
	for i, sentence := range all {
		first, size := utf8.DecodeRuneInString(sentence)
		all[i] = string(unicode.ToUpper(first)) + sentence[size:]
	}
	return all
}

func faults(l language, message string) []string {
	if message == "" {
		return nil
	}
	if whole, ok := texts[l]["fault."+message]; ok {
		return []string{whole}
	}
	for _, words := range messageLists {
		if list, found := strings.CutPrefix(message, words); found {
			return []string{opening(l, words) + wordOf(l, list)}
		}
	}
	var all []string
	for fault := range strings.SplitSeq(message, "; ") {
		field, rest, found := strings.Cut(fault, ": ")
		if !found {
			if fault != message { // else there is nothing to split
				all = append(all, faults(l, fault)...)
			} else {
				all = append(all, fault)
			}
			continue
		}
		all = append(all, fieldName(l, field)+texts[l]["fault.colon"]+strings.Join(faults(l, rest), " "))
	}
	return all
}

func opening(l language, words string) string {
	if text, ok := texts[l]["fault."+strings.TrimSpace(words)]; ok {
		return text + " "
	}
	return words
}

// wordOf names a state or a role in the language; a list of API's words stays as one has to type it.
func wordOf(l language, word string) string {
	for _, kind := range []string{"state.", "role."} {
		if text, ok := texts[l][kind+word]; ok {
			return text
		}
	}
	return word
}

var (
	roleNeeded = regexp.MustCompile(`^needs ([a-z]+), is ([a-z]+)(?:; times: (\d+))?$`)
	loginFrom  = regexp.MustCompile(`^(unknown name|wrong password), from (this machine|a private network|a public network)(?:; times: (\d+))?$`)
)

// why says the reason of a line of the audit: what the console wrote itself in the language, what people wrote as it is.
func why(l language, a auditAnswer) string {
	if roles := roleNeeded.FindStringSubmatch(a.Reason); a.Action == "refused" && roles != nil {
		return fmt.Sprintf(texts[l]["audit.needs"], wordOf(l, roles[1]), wordOf(l, roles[2])) + times(l, roles[3])
	}
	if from := loginFrom.FindStringSubmatch(a.Reason); a.Action == "login_failed" && from != nil {
		return texts[l]["audit."+from[1]] + texts[l]["audit."+from[2]] + times(l, from[3])
	}
	if a.Action == "stop" {
		return texts[l]["wrong.stopped"]
	}
	return a.Reason
}

// times says how many attempts one line stands for.
func times(l language, count string) string {
	if count == "" {
		return ""
	}
	return fmt.Sprintf(texts[l]["audit.times"], count)
}

// fieldName is what a form calls a field of the API.
func fieldName(l language, field string) string {
	for _, kind := range []string{"filter.", "field.", "replay."} {
		if text, ok := texts[l][kind+field]; ok {
			return text
		}
	}
	return field
}
