package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// script is a console that answers each request, named by method and address, with the next of its answers, and the last one
// from then on. An answer that begins with a status is an error.
type script map[string][]string

func (s script) start(t *testing.T) (asked *[]string) {
	t.Helper()
	asked = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		name, password, _ := r.BasicAuth()
		address := r.Method + " " + r.URL.RequestURI()
		*asked = append(*asked, strings.TrimSpace(address+" "+string(body)))
		answers := s[address]
		switch {
		case name+password != "annasecret" && !strings.HasPrefix(r.URL.Path, "/receipts/"):
			answers = []string{`401 {"error":{"code":"unauthorized","message":"no login"}}`}
		case len(answers) == 0:
			answers = []string{`404 {"error":{"code":"not_found","message":"nothing here"}}`}
		case len(answers) > 1:
			s[address] = answers[1:]
		}
		text := answers[0]
		for status, code := range map[string]int{"401 ": 401, "404 ": 404, "409 ": 409, "429 ": 429, "503 ": 503} {
			if rest, failed := strings.CutPrefix(text, status); failed {
				w.Header().Set("Retry-After", "34")
				w.WriteHeader(code)
				text = rest
			}
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	settings(t, map[string]string{"CONSOLE_URL": server.URL, "CONSOLE_USER": "anna", "CONSOLE_PASSWORD": "secret"})
	return asked
}

const unavailable = `503 {"error":{"code":"unavailable","message":"PostgreSQL does not answer"}}`

func TestWhere(t *testing.T) {
	step := func(text string) string { return `{"at":"2026-01-02T03:04:05Z","service":"s",` + text + `}` }
	script{
		"GET /api/orders?number=P1": {`{"items":[{"order_key":"icbu:P1","state":"delivered","revision":7,"total":"1204.50","currency":"CNY","delivered_total":"1204.50","steps":[` +
			strings.Join([]string{
				step(`"step":"received","revision":7,"topic":"icbu.received.v1","partition":2,"offset":7`),
				step(`"step":"attempt","revision":7,"attempt":1,"outcome":"unknown","detail":"unknown: its claim ran out"`),
				step(`"step":"attempt","revision":7,"attempt":2,"outcome":"unknown","code":"http-500","took_ms":31,"detail":"unknown, 31 ms"`),
				step(`"step":"attempt","revision":7,"attempt":3,"outcome":"delivered","code":"0","took_ms":0,"detail":"delivered after its claim was taken over, 0 ms"`),
				step(`"step":"duplicate","revision":8,"detail":"7","other_revision":7`),
				step(`"step":"dead_lettered","revision":8,"code":"partner_rejected","detail":"isv.bad","letter":4,"letter_state":"discarded"`),
				step(`"step":"discarded","revision":8,"letter":4,"letter_state":"discarded","by":"olga","reason":"ticket 77"`),
				step(`"step":"refused","revision":9,"code":"bad_amount","detail":"/amount","path":"/amount","letter":5,"letter_state":"failed_again"`),
				step(`"step":"replayed","revision":9,"code":"bad_amount","path":"/amount","detail":"3","letter":5,"job":3,"result":"failed_again","by":"anna"`),
				step(`"step":"superseded","revision":6,"detail":"7","other_revision":7`),
			}, ",") + `]}],"next":null}`},
		"GET /api/orders?number=P2":             {`{"items":[{"order_key":"icbu:P2","state":"parked","revision":9,"steps":[` + step(`"step":"refused","revision":9,"code":"bad_amount","letter":5,"letter_state":"open"`) + `]}],"next":null}`},
		"GET /api/orders?number=early":          {`429 {"error":{"code":"rate_limited","message":"too many wrong logins"}}`},
		"GET /api/orders?number=many":           {`{"items":[{"order_key":"mall:A:1"}],"next":"c1"}`},
		"GET /api/orders?cursor=c1&number=many": {`{"items":[{"order_key":"mall:<B>:1"}],"next":null}`},
		"GET /api/orders?number=none":           {`{"items":[],"next":null}`},
		"GET /api/orders?number=trash":          {`{"items":[],"next":null}`},
		"GET /receipts/trash":                   {`{"receipt":"trash","source":"procurement","received_at":"2026-01-02T03:04:05Z","quarantined":true,"orders":[]}`},
		"GET /receipts/R1": {`{"receipt":"R1","source":"mall","received_at":"2026-01-02T03:04:05Z","orders":[{"order_key":"mall:S:1","revision":1,"state":"received"},
			{"order_key":"mall:S:2","revision":2,"state":"parked","code":"sum_mismatch"},{"order_key":"","revision":3,"state":"unknown"}]}`},
	}.start(t)
	out, err := orderctl(t, "where", "P1")
	if err != nil {
		t.Error(err)
	}
	contains(t, out, "icbu:P1  delivered  1204.50 CNY  (delivered 1204.50)", "meaning: its partner has it",
		"but:     the push of revision 9 failed (bad_amount): what is said above is about revision 7", "next:    orderctl dlq show 5 says",
		"icbu.received.v1, partition 2, offset 7", "call 1: nobody knows whether it was taken", "its worker died", "answer http-500, 31 ms",
		"call 3: taken, after another worker had taken over, answer 0, 0 ms", "same content as revision 7", "partner_rejected (isv.bad), letter 4",
		"letter 4, by olga: ticket 77", "bad_amount at /amount, letter 5", "job 3 of anna: failed again, bad_amount at /amount", "by revision 7")
	if out, err = orderctl(t, "where", "P2"); err != nil || strings.Contains(out, "but:") {
		t.Errorf("%v: %s", err, out)
	}
	contains(t, out, "meaning: it failed and waits for somebody", "next:    orderctl dlq show 5")
	out, err = orderctl(t, "where", "trash")
	if err != nil {
		t.Error(err)
	}
	contains(t, out, "a push of procurement", "meaning: it was no readable order", "next:    the sender pushes it again")
	out, err = orderctl(t, "where", "none")
	if !errors.Is(err, errRefused) {
		t.Errorf("no such order: %v", err)
	}
	contains(t, out, "no order has this number", "meaning:", "If it is a receipt, it was cut", "next:", "orderctl quarantine ls")
	if out, err = orderctl(t, "where", "P1", "--json"); err != nil || !strings.HasPrefix(out, `{"items":[{"order_key"`) {
		t.Errorf("--json: %v %s", err, out)
	}
	if _, err = orderctl(t, "where", "early"); err == nil || !strings.Contains(err.Error(), "next: try again in 34 s") {
		t.Errorf("after too many wrong logins: %v", err)
	}
	if out, err = orderctl(t, "where", "many"); err != nil || strings.Contains(out, "and more") {
		t.Errorf("two pages: %v %s", err, out)
	}
	contains(t, out, "mall:A:1", "mall:<B>:1")
	if out, err = orderctl(t, "where", "many", "--json"); err != nil || out != `{"items":[{"order_key":"mall:A:1"},{"order_key":"mall:<B>:1"}],"next":null}`+"\n" {
		t.Errorf("--json of two pages is one document: %v %s", err, out)
	}
	t.Setenv("CONSOLE_PASSWORD", "wrong")
	if _, err = orderctl(t, "where", "P1"); err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "next: set CONSOLE_USER") {
		t.Errorf("a wrong password: %v", err)
	}
	t.Setenv("CONSOLE_USER", "")
	if out, err = orderctl(t, "where", "R1"); err != nil {
		t.Error(err)
	}
	contains(t, out, "a push of mall", "received   mall:S:1", "parked     mall:S:2  sum_mismatch", "meaning: ", "unknown    its order is not known any more")
	t.Setenv("CONSOLE_URL", "http://127.0.0.1:1")
	if _, err = orderctl(t, "where", "R1"); !errors.Is(err, errNoConsole) || strings.Contains(err.Error(), "R1") || !strings.Contains(err.Error(), "/readyz") {
		t.Errorf("no console: %v", err)
	}
}

func TestDeadLetterCommands(t *testing.T) {
	asked := script{
		"GET /api/dead-letters?limit=100&service=validate&since=2h":          {`{"items":[{"id":7,"state":"open","service":"validate","code":"bad_amount","path":"/amount","order_key":"icbu:P1","total":"7.10","failed_at":"2026-01-02T03:04:05Z"}],"next":"n1"}`},
		"GET /api/dead-letters?cursor=n1&limit=99&service=validate&since=2h": {`{"items":[{"id":6,"state":"open","order_key":"icbu:P2","failed_at":"2026-01-02T03:04:05Z"}],"next":null}`},
		"GET /api/dead-letters/groups?order_key=mall%3AS%3A1":                {`{"items":[{"service":"validate","code":"bad_amount","path":"/Dtls/*/Amount","count":12,"example":7}],"next":null}`},
		"GET /api/orders?limit=1&number=7":                                   {`{"items":[{"order_key":"mall:S:7"}],"next":"c"}`},
		"GET /api/orders?limit=1&number=90001":                               {`{"items":[{"order_key":"icbu:90001"}],"next":null}`},
		"GET /api/dead-letters/7":                                            {`{"id":7,"record":{"document":{"amount":1.10}}}`},
		"POST /api/dead-letters/7/discard":                                   {`{"id":7,"code":"bad_amount","order_key":"icbu:P1"}`, `409 {"error":{"code":"settled","message":"settled already"}}`},
	}.start(t)
	out, err := orderctl(t, "dlq", "ls", "service=validate", "--since", "2h")
	if err != nil {
		t.Error(err)
	}
	contains(t, out, "NUMBER", "bad_amount", "7.10", "icbu:P1", "icbu:P2")
	if out, err = orderctl(t, "dlq", "ls", "service=validate", "--since", "2h", "--json"); err != nil || !json.Valid([]byte(out)) || strings.Count(out, `"items"`) != 1 {
		t.Errorf("--json of two pages is one document: %v %s", err, out)
	}
	if out, err = orderctl(t, "dlq", "groups", "--order-key", "mall:S:1"); err != nil {
		t.Error(err)
	}
	contains(t, out, "12", "/Dtls/*/Amount")
	if out, err = orderctl(t, "dlq", "show", "7"); err != nil {
		t.Error(err)
	}
	contains(t, out, `"amount": 1.10`, "note: this is letter 7; an order has that number too, mall:S:7: orderctl where 7")
	for _, command := range [][]string{{"dlq", "show", "90001"}, {"dlq", "discard", "90001", "--reason", "x"}} {
		if _, err = orderctl(t, command...); err == nil || !strings.Contains(err.Error(), "an order's, icbu:90001: orderctl dlq ls order_key=icbu:90001") {
			t.Errorf("%q: %v", command, err)
		}
	}
	if _, err = orderctl(t, "dlq", "show", "8"); err == nil || !strings.Contains(err.Error(), "next: orderctl dlq ls") {
		t.Errorf("nobody's number: %v", err)
	}
	if out, err = orderctl(t, "dlq", "discard", "7", "--reason", "a test"); err != nil {
		t.Error(err)
	}
	contains(t, out, "letter 7 is discarded: bad_amount of icbu:P1")
	if !slices.Contains(*asked, `POST /api/dead-letters/7/discard {"reason":"a test"}`) {
		t.Errorf("asked %q", *asked)
	}
	if _, err = orderctl(t, "dlq", "discard", "7", "--reason", "again"); err == nil || !strings.Contains(err.Error(), "next: orderctl dlq show") {
		t.Errorf("once more: %v", err)
	}
	if _, err = orderctl(t, "dlq", "ls", "colour=red"); err == nil || !strings.Contains(err.Error(), "is no filter") {
		t.Errorf("an unknown filter: %v", err)
	}
}

func TestReplayCommands(t *testing.T) {
	const job = `{"id":3,"selected":2,"by":"anna","balanced":true,"state":`
	done := job + `"done","sent":2,"fixed":2}`
	asked := script{
		"POST /api/replays":          {job + `"planned"}`, job + `"waiting_approval"}`, job + `"planned","dry_run":true}`, `{"id":4,"selected":0,"left_out":2,"balanced":true,"state":"done"}`},
		"GET /api/replays/3":         {unavailable, job + `"running","sent":1,"fixed":1}`, done, done, job + `"done","dry_run":true,"would_pass":2}`, job + `"stopped","failed_again":2}`},
		"GET /api/replays?limit=20":  {`{"items":[` + done + `],"next":null}`},
		"POST /api/replays/3/cancel": {job + `"cancelled","skipped":2}`},
	}.start(t)
	out, err := orderctl(t, "dlq", "replay", "service=validate", "7", "8", "--rate", "1000", "--reason", "mended", "--wait")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	contains(t, out, "replay 3: 2 letters, planned", "replay 3 by anna: done", "fixed 2, failed again 0")
	if want := `POST /api/replays {"dry_run":false,"filter":{"ids":["7","8"],"service":["validate"]},"rate":1000,"reason":"mended"}`; (*asked)[0] != want {
		t.Errorf("asked %s\nwant  %s", (*asked)[0], want)
	}
	if out, err = orderctl(t, "dlq", "replay", "code=x"); err != nil {
		t.Error(err)
	}
	contains(t, out, "orderctl replays approve 3")
	if out, err = orderctl(t, "replays", "show", "3"); err != nil {
		t.Error(err)
	}
	contains(t, out, "replay 3 by anna: done")
	if out, err = orderctl(t, "dlq", "replay", "code=x", "--dry-run"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	contains(t, out, "dry run 3 by anna: done", "would pass 2")
	if out, err = orderctl(t, "replays", "show", "3", "--wait"); !errors.Is(err, errRefused) {
		t.Errorf("a job that stopped by itself: %v\n%s", err, out)
	}
	contains(t, out, "failed again 2", "stopped by itself")
	if out, err = orderctl(t, "dlq", "replay", "code=parked", "--wait"); !errors.Is(err, errRefused) {
		t.Errorf("every letter was left out: %v\n%s", err, out)
	}
	contains(t, out, "2 more matched and are left out")
	if out, err = orderctl(t, "replays", "ls"); err != nil {
		t.Error(err)
	}
	contains(t, out, "NUMBER", "fixed 2")
	if out, err = orderctl(t, "replays", "cancel", "3", "--reason", "too many"); err != nil {
		t.Error(err)
	}
	contains(t, out, "cancelled", "skipped 2")
	if _, err = orderctl(t, "dlq", "replay"); err == nil || !strings.Contains(err.Error(), "say which letters") {
		t.Errorf("a replay of everything by accident: %v", err)
	}
}
