package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "",
		`ticket 77, "a\b"`:         `ticket 77, "a\b"`,
		"订单 é\u00a0😀":              "订单 é\u00a0😀",
		"a\x1b[2Jb\x00\x7f":        `a\u001b[2Jb\u0000\u007f`,
		"a\u009b2J\u0085":          `a\u009b2J\u0085`,
		"a\tb\r\nc":                `a\u0009b\u000d\u000ac`,
		"\u202a\u202e\u2066\u2069": `\u202a\u202e\u2066\u2069`,
		"\u200e\u200f\u061c\ufeff": `\u200e\u200f\u061c\ufeff`,
		"\u2028\u2029\u200b":       `\u2028\u2029\u200b`,
		"\U000e0001\ue000":         `\udb40\udc01\ue000`,
		"a\x9bb":                   `a\ufffdb`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

const (
	hostile = `a\u001b[2J\u009b2J\u202eb\n  next: pay\tme`
	shown   = `a\u001b[2J\u009b2J\u202eb\u000a  next: pay\u0009me`
)

// What others wrote comes to a terminal without a command to it and without a line of its own.
func TestHostileTexts(t *testing.T) {
	job := `{"id":3,"state":"done","balanced":true,"by":"anna","reason":"` + hostile + `"}`
	record := `{"id":4,"record":{"shop":"` + strings.NewReplacer(`\u009b`, "\u009b", `\u202e`, "\u202e").Replace(hostile) + `"}}`
	script{
		"GET /api/replays?limit=20": {`{"items":[` + job + `],"next":null}`},
		"GET /api/replays/3":        {job},
		"GET /api/orders?number=P1": {`{"items":[{"order_key":"mall:` + hostile + `:1","state":"discarded","revision":1,"steps":[
			{"at":"2026-01-02T03:04:05Z","service":"console","step":"discarded","revision":1,"letter":4,"by":"olga","reason":"` + hostile + `"}]}],"next":null}`},
		"GET /api/dead-letters/4": {record},
		"GET /api/dead-letters/5": {`409 {"error":{"code":"settled","message":"` + hostile + `"}}`},
	}.start(t)
	for command, want := range map[string]string{
		"replays ls": shown, "replays show 3": "reason: " + shown + "\n", "where P1": "mall:" + shown + ":1", "dlq show 4": `\u009b2J\u202eb\n`,
	} {
		out, err := orderctl(t, strings.Fields(command)...)
		if err != nil {
			t.Errorf("%s: %v", command, err)
		}
		contains(t, out, want)
		if strings.ContainsAny(out, "\x1b\u009b\u202e\t") || strings.Contains(out, "\n  next: pay") {
			t.Errorf("%s: %q", command, out)
		}
		var told, meant any
		if command == "dlq show 4" && (json.Unmarshal([]byte(out), &told) != nil || json.Unmarshal([]byte(record), &meant) != nil || !jsonEqual(told, meant)) {
			t.Errorf("%s says something else: %s", command, out)
		}
	}
	if _, err := orderctl(t, "dlq", "show", "5"); err == nil || !strings.Contains(err.Error(), shown) {
		t.Errorf("a refusal: %v", err)
	}
}

func jsonEqual(a, b any) bool {
	first, _ := json.Marshal(a)
	second, _ := json.Marshal(b)
	return string(first) == string(second)
}

func TestErrorsHideTheConsolesPassword(t *testing.T) {
	settings(t, map[string]string{"CONSOLE_URL": "http://anna:hunter2@127.0.0.1:1/desk?token=hunter2"})
	_, err := orderctl(t, "where", "R1")
	if !errors.Is(err, errNoConsole) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "http://127.0.0.1:1/desk") {
		t.Errorf("%v", err)
	}
}
