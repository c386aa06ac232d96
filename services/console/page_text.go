package main

import (
	_ "embed" // the texts
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/cause"
	"orderflow/pkg/order"
)

// language of a page, as BCP 47 has it.
type language string

const (
	english language = "en"
	chinese language = "zh"
)

var languages = []language{english, chinese}

//go:embed texts_en.json
var textsEnglish []byte

//go:embed texts_zh.json
var textsChinese []byte

var texts = map[language]map[string]string{english: parseTexts(textsEnglish), chinese: parseTexts(textsChinese)}

func parseTexts(file []byte) map[string]string {
	var all map[string]string
	if err := json.Unmarshal(file, &all); err != nil {
		panic(fmt.Sprintf("texts of the pages: %v", err)) // the files are part of the program
	}
	return all
}

const languageCookie = "orderflow_language"

// languageOf is the one that was chosen, else the one that the browser prefers.
func languageOf(r *http.Request) language {
	if chosen, err := r.Cookie(languageCookie); err == nil && texts[language(chosen.Value)] != nil {
		return language(chosen.Value)
	}
	if strings.HasPrefix(strings.ToLower(r.Header.Get("Accept-Language")), "zh") {
		return chinese
	}
	return english
}

// setLanguage remembers the language and leads back.
func (c *console) setLanguage(w http.ResponseWriter, r *http.Request) {
	chosen := language(r.PostFormValue("language"))
	if texts[chosen] == nil {
		chosen = english
	}
	c.setCookie(w, r, languageCookie, string(chosen), int((365 * 24 * time.Hour).Seconds()))
	toLocal(w, r, r.PostFormValue("next"))
}

// functions are what templates may call, besides those of html/template.
func functions(l language) template.FuncMap {
	t := func(key string, args ...any) (string, error) {
		text, ok := texts[l][key]
		if !ok {
			return "", fmt.Errorf("no text %q in %s", key, l)
		}
		if len(args) == 0 {
			return text, nil
		}
		return fmt.Sprintf(text, args...), nil
	}
	label := func(kind string, value any) string {
		name := fmt.Sprint(value)
		if text, ok := texts[l][kind+"."+name]; ok {
			return text
		}
		return name
	}
	return template.FuncMap{
		"t": t, "label": label, "tone": tone,
		"mark":      func(value any) string { return marks[tone(value)] },
		"time":      func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") },
		"moment":    func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05.000 UTC") },
		"day":       func(at time.Time) string { return at.UTC().Format(time.DateOnly) },
		"clock":     func(at time.Time) string { return at.UTC().Format("15:04") },
		"instant":   func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
		"ago":       func(at time.Time) string { return longAgo(l, time.Since(at)) },
		"number":    number,
		"orderPath": orderPath,
		"jobPath":   jobPath,
		"why":       func(a auditAnswer) string { return why(l, a) },
		"sentences": func(message string) []string { return sentences(l, message) },
		"speed":     func(s speed) string { return perSecond(l, s) },
		"cause":     func(code string) *cause.Text { return explain(l, code) },
		"language":  func(other language, part string) string { return texts[other]["language."+part] },
	}
}

// explain says in words what a code means; nil where nobody described it.
func explain(l language, code string) *cause.Text {
	text, known := cause.Of(cause.Language(l), code)
	if !known {
		return nil
	}
	return &text
}

// longAgo says how long ago something was, in its largest unit.
func longAgo(l language, d time.Duration) string {
	switch {
	case d < 0:
		return texts[l]["ago.future"]
	case d < time.Minute:
		return fmt.Sprintf(texts[l]["ago.seconds"], int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf(texts[l]["ago.minutes"], int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf(texts[l]["ago.hours"], int(d.Hours()))
	default:
		return fmt.Sprintf(texts[l]["ago.days"], int(d.Hours()/24))
	}
}

// perSecond says a speed with as many digits as tell something.
func perSecond(l language, s speed) string {
	switch {
	case !s.Known:
		return texts[l]["flow.measuring"]
	case s.Second > 0 && s.Second < 0.05:
		return fmt.Sprintf(texts[l]["flow.speed"], "<0.1")
	case s.Second < 9.95 && s.Second != 0:
		return fmt.Sprintf(texts[l]["flow.speed"], strconv.FormatFloat(s.Second, 'f', 1, 64))
	default:
		return fmt.Sprintf(texts[l]["flow.speed"], grouped(strconv.FormatFloat(s.Second, 'f', 0, 64)))
	}
}

// number writes a whole number as people read it; "" for one that is not known.
func number(n any) string {
	if known, ok := n.(*int64); ok {
		if known == nil {
			return ""
		}
		n = *known
	}
	return grouped(fmt.Sprint(n))
}

// grouped puts a comma between thousands.
func grouped(digits string) string {
	if n, err := strconv.ParseInt(digits, 10, 64); err != nil || n < 0 {
		return digits
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// orderPath is an order's address. A key has escapes of its own, which must come back as they are.
func orderPath(key order.Key) string { return "/orders/" + url.PathEscape(string(key)) }

// jobPath is a replay job's address.
func jobPath(id int64) string { return "/replays/" + strconv.FormatInt(id, 10) }

// marks stand beside a state's name for those who do not see its colour.
var marks = map[string]string{"good": "✓", "busy": "…", "warn": "!", "bad": "✕", "quiet": "–"}

// tones are how urgent a state, a step, a result or a class of a letter is.
var tones = map[string]string{
	"delivered": "good", "persisted": "good", "fixed": "good", "done": "good", "would_pass": "good",
	"received": "busy", "validated": "busy", "claimed": "busy", "attempt": "busy", "replaying": "busy", "replayed": "busy",
	"running": "busy", "planned": "busy", "sent": "busy", "selected": "busy",
	"waiting_approval": "warn", "paused": "warn", "unknown": "warn",
	"open": "bad", "failed_again": "bad", "parked": "bad", "refused": "bad", "dead_lettered": "bad", "stopped": "bad", "would_fail": "bad",
	"unbalanced": "bad", "complete": "good", "late": "warn", "counting": "busy", "empty": "quiet",
	"superseded": "quiet", "duplicate": "quiet", "discarded": "quiet", "cancelled": "quiet", "skipped": "quiet",
}

func tone(value any) string {
	if known, ok := tones[fmt.Sprint(value)]; ok {
		return known
	}
	return "quiet"
}
