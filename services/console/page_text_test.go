package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

func pageSources(t *testing.T) map[string]string {
	t.Helper()
	files, err := pageFiles.ReadDir("pages")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, file := range files {
		text, err := pageFiles.ReadFile("pages/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		sources[file.Name()] = string(text)
	}
	return sources
}

func TestTextsAreTheSameInBothLanguages(t *testing.T) {
	if len(texts[english]) < 100 {
		t.Fatalf("%d texts", len(texts[english]))
	}
	verbs := regexp.MustCompile(`%[a-z]`)
	for key, text := range texts[english] {
		other, ok := texts[chinese][key]
		if !ok || other == "" || text == "" {
			t.Errorf("%s: not in both languages", key)
		}
		if !slices.Equal(verbs.FindAllString(text, -1), verbs.FindAllString(other, -1)) {
			t.Errorf("%s takes other values in Chinese", key)
		}
		if han := strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }); han {
			t.Errorf("%s is not English", key)
		}
	}
	for key := range texts[chinese] {
		if _, ok := texts[english][key]; !ok {
			t.Errorf("%s: not in English", key)
		}
	}
}

// Every key that is used exists, and every text is used.
func TestTextsOfPages(t *testing.T) {
	used := map[string]bool{"language.own": true, "flow.speed": true, "flow.measuring": true, "audit.needs": true, "audit.times": true}
	direct := regexp.MustCompile(`\bt "([^"]+)"`)
	for name, source := range pageSources(t) {
		for _, key := range direct.FindAllStringSubmatch(source, -1) {
			used[key[1]] = true
			if _, ok := texts[english][key[1]]; !ok {
				t.Errorf("%s uses %q, which is not there", name, key[1])
			}
		}
	}
	for kind, values := range labelled() {
		for _, value := range values {
			used[kind+"."+value] = true
			if _, ok := texts[english][kind+"."+value]; !ok {
				t.Errorf("no text for the %s %s", kind, value)
			}
		}
	}
	for key := range texts[english] {
		kind, _, _ := strings.Cut(key, ".")
		if !used[key] && !slices.Contains([]string{"ago", "change", "decides", "login", "failure", "fault", "field"}, kind) {
			t.Errorf("%s is not used", key)
		}
	}
}

// labelled are the values that pages show by their name, by kind.
func labelled() map[string][]string {
	strs := func(values ...any) (all []string) {
		for _, v := range values {
			all = append(all, fmt.Sprint(v))
		}
		return all
	}
	kinds := map[string][]string{
		"role":    slices.Collect(maps.Keys(roles)),
		"does":    append(workers(), "ingest", "balance"),
		"health":  strs(healthUnasked, healthReady, healthRed, healthSilent),
		"breaker": {"open", "closed"},
		"urgency": {"bad", "warn"},
		"filter":  slices.Collect(maps.Keys(filterFields)),
		"step": strs(store.StepReceived, store.StepValidated, store.StepRefused, store.StepClaimed, store.StepAttempt, store.StepDelivered,
			store.StepPersisted, store.StepSuperseded, store.StepDuplicate, store.StepDeadLettered, store.StepReplayed, store.StepDiscarded),
		"state": strs(stateReceived, stateUnknown, store.StateValidated, store.StateDelivered, store.StatePersisted, store.StateDuplicate,
			store.StateSuperseded, store.StateParked, store.StateDiscarded, store.JobPlanned, store.JobWaitingApproval, store.JobRunning,
			store.JobPaused, store.JobStopped, store.JobCancelled, store.JobDone),
		"outcome": strs(store.Delivered, store.Refused, store.Conflict, store.Unknown, store.NotTaken),
		"action":  {"replay", "dry run", "approve", "pause", "resume", "cancel", "stop", "discard", "accept", "restore", "refused", "login_failed"},
		"audit":   {"unknown name", "wrong password", "this machine", "a private network", "a public network"},
		"failure": {errNotFound.code, errAway.code, errInternal.code, errSettled.code, forbidden(viewer).code, errMethod.code, errOrigin.code},
	}
	for _, trouble := range troubles {
		kinds["wrong"] = append(kinds["wrong"], string(trouble))
		kinds["do"] = append(kinds["do"], string(trouble))
	}
	for _, f := range (boardHour{}).Figures() {
		kinds["figure"] = append(kinds["figure"], f.Name)
	}
	kinds["fault"] = strs(store.NoRow, store.NoEnd, store.TwoRows, store.StrayRow, store.NotPublished, store.PublishedTwice, store.NotStored,
		store.NoOrder, store.OldOrder, store.AmountsDiffer, store.LinesDiffer, store.StrayOrder, store.StillOpen)
	kinds["state"] = append(kinds["state"], "unbalanced", "complete", "late", "counting", "empty")
	for _, s := range store.LetterStates {
		kinds["state"] = append(kinds["state"], string(s))
	}
	for _, r := range itemResults {
		kinds["state"] = append(kinds["state"], string(r))
	}
	for _, s := range order.Sources {
		kinds["source"] = append(kinds["source"], string(s))
	}
	return kinds
}

// Templates hold no words of their own, in text or in attributes that people read.
func TestPagesHoldNoWords(t *testing.T) {
	tags := regexp.MustCompile(`<[^>]*>`)
	actions := regexp.MustCompile(`{{[^}]*}}`)
	read := regexp.MustCompile(`\b(?:aria-label|alt|title|placeholder)="([^"]*)"`)
	for name, source := range pageSources(t) {
		source = actions.ReplaceAllString(source, "")
		for _, attribute := range read.FindAllStringSubmatch(source, -1) {
			if attribute[1] != "" {
				t.Errorf("%s: the attribute %s", name, attribute[0])
			}
		}
		text := tags.ReplaceAllString(source, "")
		for line := range strings.Lines(text) {
			if strings.ContainsFunc(line, unicode.IsLetter) && !strings.Contains(line, "hx-get") {
				t.Errorf("%s: %q", name, strings.TrimSpace(line))
			}
		}
	}
}

func TestTones(t *testing.T) {
	kinds := labelled()
	for _, value := range slices.Concat(kinds["state"], kinds["step"]) {
		if _, ok := tones[value]; !ok {
			t.Errorf("%s has no tone", value)
		}
	}
	for value, tone := range tones {
		if marks[tone] == "" {
			t.Errorf("%s has the tone %s, which has no mark", value, tone)
		}
	}
	for digits, want := range map[string]string{"0": "0", "999": "999", "1000": "1,000", "1234567": "1,234,567", "-5": "-5", "x": "x"} {
		if got := grouped(digits); got != want {
			t.Errorf("%s: %s", digits, got)
		}
	}
}
