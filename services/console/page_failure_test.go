package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What somebody asks for in vain is told to people as a page in their language, and to programs as JSON.
func TestMishaps(t *testing.T) {
	d := start(t)
	b := d.browse("vera")
	b.headers["Accept"], b.headers["Accept-Language"] = "text/html,application/xhtml+xml,*/*;q=0.8", "zh-CN"
	for _, c := range []struct {
		method, path string
		status       int
		texts        []string
	}{
		{"GET", "/nothing/here", 404, []string{"这里没有内容", `href="/audit"`, "vera"}},
		{"GET", "/orders", 404, []string{"这里没有内容"}},
		{"POST", "/audit", 405, []string{"此地址不支持该操作"}},
		{"GET", "/letters?since=yesterday&code=kept&state=open", 400, []string{"有字段填写不正确", "失败时间从：既不是 RFC 3339", `value="yesterday"`, `value="kept"`}},
		{"GET", "/letters?colour=red", 400, []string{"没有这个参数"}},
		{"GET", "/orders/icbu:none", 404, []string{"PostgreSQL 中没有该订单"}},
	} {
		got := b.send(c.method, c.path, "")
		if got.status != c.status || !strings.Contains(got.header.Get("Content-Type"), "text/html") || got.header.Get("Content-Security-Policy") != pagePolicy {
			t.Errorf("%s %s: %d %v", c.method, c.path, got.status, got.header)
		}
		for _, text := range c.texts {
			if !strings.Contains(got.body, text) {
				t.Errorf("%s %s lacks %q:\n%s", c.method, c.path, text, got.body)
			}
		}
	}
	if got := d.browse("").send("GET", "/nothing", ""); got.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("a program: %v", got.header)
	}
	stranger := d.browse("")
	stranger.headers["Accept"] = "text/html"
	if got := stranger.get("/nothing"); got.status != 404 || !strings.Contains(got.body, "There is nothing here") || strings.Contains(got.body, "/audit") {
		t.Errorf("a stranger: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/api/nothing", "/receipts/none", "/assets/none"} {
		if got := b.get(path); got.code() != "not_found" {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	b.headers["Origin"] = "https://evil.example.com"
	if got := b.post("/replays", nil); got.status != http.StatusForbidden || !strings.Contains(got.body, "该操作来自其他网站") {
		t.Errorf("from elsewhere: %d %s", got.status, got.body)
	}
}

// A form that is rejected comes back with what was typed and with what is wrong.
func TestRejectedForms(t *testing.T) {
	d := start(t)
	parked(d, 2)
	b := d.browse("olga")
	long := strings.Repeat("y", 1025)
	for _, c := range []struct {
		path   string
		form   url.Values
		status int
		texts  []string
	}{
		{
			"/replays",
			url.Values{"q": {"mall"}, "rate": {"soon"}, "reason": {"typed & kept"}},
			400,
			[]string{"Rate: not a whole number", `value="soon"`, `value="typed &amp; kept"`, `name="q" value="mall"`},
		},
		{"/replays", url.Values{"q": {"mall"}, "rate": {"5"}, "reason": {long}}, 400, []string{"Reason: not a text of at most 1024 bytes", `value="5"`, long}},
		{"/replays", url.Values{"q": {"mall"}, "rate": {"5"}, "reason": {"a\u202eb"}}, 400, []string{"Reason: not one line of plain text, without control"}},
		{"/letters/1/discard", url.Values{"reason": {long}}, 400, []string{"Reason: not a text of at most 1024 bytes", long, "bad_amount"}},
		{"/letters/1/discard", url.Values{"reason": {"a\x1bb"}}, 400, []string{"Reason: not one line of plain text, without control"}},
		{"/letters/1/discard", url.Values{"reason": {" "}}, 400, []string{"Reason: say in at most 1024 bytes"}},
		{"/login", url.Values{"name": {"olga"}, "password": {"wrong-wrong"}}, 403, []string{`value="olga"`}},
	} {
		got := b.post(c.path, c.form)
		if got.status != c.status || strings.Contains(got.body, "wrong-wrong") {
			t.Errorf("%s: %d", c.path, got.status)
		}
		for _, text := range c.texts {
			if !strings.Contains(got.body, text) {
				t.Errorf("%s lacks %.60q:\n%s", c.path, text, got.body)
			}
		}
	}
	b.led(b.post("/replays", url.Values{"rate": {"1"}, "dry_run": {"yes"}}), "/replays/1")
	d.await("done", func() bool { return strings.Contains(b.get("/replays/1").body, "done") })
	got := b.post("/replays/1/cancel", url.Values{"reason": {"too late"}})
	if got.status != http.StatusConflict || !strings.Contains(got.body, "not possible while the job is done") || !strings.Contains(got.body, "Replay 1") ||
		strings.Contains(got.body, "hx-get") {
		t.Errorf("after the end: %d %s", got.status, got.body)
	}
}

func TestSentences(t *testing.T) {
	for message, want := range map[string]string{
		"": "",
		"PostgreSQL does not answer, so nobody can tell now: ask again in a moment": "PostgreSQL 没有响应，暂时无法回答，请稍后再试",
		"since: give it once; state: not one of open, fixed; x: not a list":         "失败时间从：只能填写一次|状态：不在以下范围内： open, fixed|X：不是列表",
		"cancel: not possible while the job is done":                                "取消：任务当前状态不允许此操作： 已完成",
		"this needs the role operator":                                              "需要的角色： 操作员",
		"rate: letters a second, from 1 to 100000; 0 means as fast as they go":      "速率：每秒 1 到 100000 封，0 表示不限速",
		"colour: no such parameter; there are code, ids":                            "Colour：没有这个参数|可用的有： code, ids",
		"a sentence that nobody translated":                                         "A sentence that nobody translated",
		"result: not one of selected, fixed":                                        "结果：不在以下范围内： selected, fixed",
	} {
		if got := strings.Join(sentences(chinese, message), "|"); got != want {
			t.Errorf("%s: %s, want %s", message, got, want)
		}
	}
	if got := strings.Join(sentences(english, "since: give it once; limit: not a number from 1 to 500"), "|"); got != "Failed since: give it once|Limit: not a number from 1 to 500" {
		t.Errorf("in English: %s", got)
	}
}

// Every sentence of a failure in the code is known in both languages.
func TestFailuresAreTranslated(t *testing.T) {
	files, err := parser.ParseDir(token.NewFileSet(), ".", nil, 0) //nolint:staticcheck // one folder without build tags
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for name, file := range files["main"].Files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			var message ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				if called, ok := n.Fun.(*ast.Ident); ok && called.Name == "badRequest" && len(n.Args) == 2 {
					message = n.Args[1]
				}
			case *ast.CompositeLit:
				if kind, ok := n.Type.(*ast.Ident); ok && kind.Name == "failure" && len(n.Elts) == 3 {
					message = n.Elts[2]
				}
			}
			if message != nil {
				ast.Inspect(message, func(n ast.Node) bool {
					if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
						found++
						translated(t, name, literal.Value)
					}
					return true
				})
			}
			return true
		})
	}
	if found < 25 {
		t.Errorf("only %d sentences were found", found)
	}
}

// translated holds a piece of a failure's message against the texts.
func translated(t *testing.T, file, literal string) {
	t.Helper()
	text, err := strconv.Unquote(literal)
	if err != nil {
		t.Fatal(err)
	}
	for piece := range strings.SplitSeq(text, "; ") {
		translatedPiece(t, file, strings.Trim(piece, ": "))
	}
}

func translatedPiece(t *testing.T, file, piece string) {
	t.Helper()
	for key := range texts[chinese] {
		if sentence, ok := strings.CutPrefix(key, "fault."); ok && strings.Contains(sentence, piece) {
			return
		}
	}
	if !slices.Contains([]string{"", "result", "reason"}, piece) {
		t.Errorf("%s: %q is not translated", file, piece)
	}
}
