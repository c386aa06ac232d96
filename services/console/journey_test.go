//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/receipt"
	"orderflow/pkg/store"
)

// The journey of a night: what is wrong, which order, why, a dry run, a replay that a second person approves and that
// everybody watches, one that is cancelled, and a viewer who is refused. All of it by keyboard alone.
func TestBrowserJourney(t *testing.T) {
	y := newYard(t)
	y.serve()
	ops := y.staff()
	base, stop := y.console(ops)
	browser, dir := chromium(t), screenshots(t)
	olga := openWindow(browser, t, base, dir)
	olga.login("olga")
	olga.sees("All is well", "lets pass", "closed")
	olga.shoot("journey-all-is-well")
	y.park("A", 0, 500)
	numbers := y.examples()
	olga.sees("501 open dead letters", "to decide") // by itself
	olga.tabTo("Skip to content")
	olga.do(chromedp.KeyEvent(kb.Enter))
	olga.until(`document.activeElement.id === "main"`)

	olga.open("/")
	olga.fill("number", "icbu:A00003")
	olga.enter()
	olga.sees("icbu:A00003", "Timeline", "Parked as a dead letter")

	olga.press("Causes")
	olga.sees("partner_rejected", "500")
	olga.press("Example")
	olga.sees("What the deployed code says today")
	olga.press("Causes")
	olga.sees("partner_rejected")
	olga.press("Make a replay")
	olga.sees("letters match now", "more than 400 letters")
	olga.fill("reason", "the partner has mended it")
	olga.press("Dry run")
	olga.sees("dry run", "500 of 500", "done")
	olga.press("Replay these letters for real")
	olga.sees("letters match now")
	olga.fill("reason", "the partner has mended it")
	olga.tabTo("rate")
	eval[bool](olga, `(document.activeElement.value = "250") === "250"`)
	olga.press("Replay")
	olga.sees("waits for approval", "You made this replay")
	waits := eval[string](olga, `location.pathname`)

	approvedAndWatched(browser, t, y, olga, waits)
	givenUp(t, y, olga)
	vera := viewerRefused(browser, t, olga)
	troubled(t, ops, olga)
	everyPage(t, olga, vera, slices.Concat(numbers, []string{waits, waits + "/letters?result=fixed", "/replays/3"}))
	wentAway(t, olga, stop)
}

// approvedAndWatched: a second person approves what olga made; her page shows how 500 letters become fixed, by itself.
func approvedAndWatched(browser context.Context, t *testing.T, y *yard, olga *window, waits string) {
	olga.shoot("journey-waits-for-approval")
	anna := openWindow(browser, t, olga.base, olga.dir)
	anna.login("anna")
	anna.sees("waits for a second person")
	anna.press("Replays")
	anna.press("Replay " + filepath.Base(waits))
	anna.sees("need a second person's approval")
	eval[bool](olga, `window.untouched = true`)
	release := y.pause() // after the first letters, for as long as it takes to see them
	anna.press("Approve")
	olga.until(`(n => n > 0 && n < 500)(parseInt(document.querySelector("a[href$='result=fixed'] .big").innerText))`)
	olga.shoot("journey-under-way")
	release()
	olga.sees("500 of 500", "done", "anna")
	if !eval[bool](olga, `window.untouched === true`) {
		t.Error("the page was loaded anew instead of keeping itself up to date")
	}
	if eval[bool](olga, `!!document.querySelector("#cancel")`) {
		t.Error("a job that is done can still be cancelled on the page")
	}
	if fixed := eval[string](olga, `document.querySelector("a[href$='result=fixed'] .big").innerText`); fixed != "500" {
		t.Errorf("%s fixed", fixed)
	}
	olga.hears("done, 100%")
}

// givenUp: a replay that was begun too early is given up, with a reason that is typed while the page moves. What is wrong
// in a form is said beside it, and nothing that was typed is lost.
func givenUp(t *testing.T, y *yard, olga *window) {
	y.park("B", 1000, 1300)
	olga.open("/replays/new?q=:B")
	olga.fill("reason", "too early")
	olga.tabTo("rate")
	eval[bool](olga, `(i => { i.type = "text"; i.value = "very fast"; return true; })(document.activeElement)`) // as a browser without number fields
	olga.press("Replay")
	olga.sees("A field cannot be used as it is", "not a whole number")
	if typed := eval[string](olga, `document.querySelector("[name=reason]").value + ", " + document.querySelector("[name=rate]").getAttribute("value")`); typed != "too early, very fast" {
		t.Errorf("left of what was typed: %s", typed)
	}
	olga.tabTo("rate")
	eval[bool](olga, `(document.activeElement.value = "1") === "1"`)
	olga.press("Replay")
	olga.sees("of 300")
	olga.fill("reason", "not ")
	olga.until(`parseInt(document.querySelector("#live .big").innerText) > 1`) // the page keeps itself up to date around what is typed
	olga.do(chromedp.KeyEvent("yet"))
	olga.press("Cancel")
	olga.sees("cancelled")
	olga.press("Audit")
	olga.sees("not yet", "cancels")
}

// viewerRefused: a viewer sees, and may not.
func viewerRefused(browser context.Context, t *testing.T, olga *window) *window {
	vera := openWindow(browser, t, olga.base, olga.dir)
	vera.login("vera")
	vera.open("/letters?q=:B")
	vera.sees("icbu:B01")
	if eval[bool](vera, `document.body.innerHTML.includes("/replays/new")`) {
		t.Error("a viewer is offered a replay")
	}
	if status := eval[int](vera, `(x => { x.open("POST", "/replays", false); x.send(); return x.status })(new XMLHttpRequest())`); status != 403 {
		t.Errorf("a viewer's replay: %d", status)
	}
	vera.open("/replays/new?q=:B")
	vera.sees("Your role does not allow this", "needs the role operator")
	vera.press("中文")
	vera.sees("您的角色无此权限", "需要的角色： 操作员")
	vera.open("/audit")
	vera.sees("被拒绝", "需要操作员角色，实为只读", "POST /replays", "vera", "创建重放")
	return vera
}

// troubled: what is wrong comes and goes by itself on the overview, with the words of the process that it is about.
func troubled(t *testing.T, ops map[string]*ops, olga *window) {
	olga.open("/")
	ops["mallupload"].red("dead letter guard, mall", "mall is held: 41 of its last 50 records would be dead letters; mend the rules or the deployment")
	ops["mallupload"].held.WithLabelValues("mallupload", "mall").Set(1)
	ops["okkisync"].breaker.WithLabelValues("okkisync").Set(1)
	olga.sees("holds back records", "mend the rules or the deployment", "sends only probes", "holds mall", "began")
	olga.hears("Wants attention")
	olga.tabTo(eval[string](olga, `document.querySelector("a.state[href='/letters?service=okkisync']").innerText.trim()`)) // without an id, in the part that is replaced
	// Not for a moment is the focus elsewhere: a key would go astray.
	eval[bool](olga, `(document.addEventListener("htmx:afterSwap", () => { window.kept = document.activeElement.getAttribute("href"); }), true)`)
	olga.until(`window.kept !== undefined`)
	if kept := eval[string](olga, `String(window.kept)`); kept != "/letters?service=okkisync" {
		t.Errorf("with the new part the focus went to %q", kept)
	}
}

// wentAway: a page whose console is away says so instead of looking as if all was as before.
func wentAway(t *testing.T, olga *window, stop func()) {
	olga.open("/")
	olga.sees("Overview")
	if eval[bool](olga, `document.getElementById("stale").checkVisibility()`) {
		t.Error("a fresh page calls itself old")
	}
	stop()
	olga.until(`document.getElementById("stale").checkVisibility()`)
	olga.shoot("journey-console-away")
}

// everyPage looks at all pages in both widths, modes and languages.
func everyPage(t *testing.T, english, chinese *window, more []string) {
	t.Helper()
	paths := append([]string{
		"/", "/search", "/search?number=SHARED-1", "/search?number=nothing", "/orders/icbu:A00003", "/letters/groups",
		"/letters?q=:B&limit=5&service=okkisync", "/letters?since=yesterday", "/replays", "/replays/new?q=:B", "/quarantine", "/audit?limit=20",
		"/nothing/here", "/login",
	}, more...)
	for n, path := range paths {
		for _, w := range []*window{english, chinese} {
			language := map[*window]string{english: "en", chinese: "zh"}[w]
			name := fmt.Sprintf("%02d-%s-%s", n, strings.Trim(strings.NewReplacer("/", "-", "?", "-", "=", "-", "&", "-", ":", "-", "%", "-").Replace(path), "-"), language)
			if path == "/login" {
				name, w = fmt.Sprintf("%02d-login-%s", n, language), w.stranger()
			}
			for _, scheme := range []string{"light", "dark"} {
				w.looks(scheme)
				for _, width := range []int64{wide, narrow} {
					w.size(width)
					w.open(path)
					where := fmt.Sprint(path, " ", language, " ", scheme, " ", width)
					w.until(`document.readyState === "complete"`)
					if lang := eval[string](w, `document.documentElement.lang`); !strings.HasPrefix(lang, language) {
						t.Errorf("%s says it is in %s", where, lang)
					}
					w.fits(where)
					w.contrasts(where)
					w.labelled(where)
					w.shoot(fmt.Sprintf("%s-%s-%d", name, scheme, width))
				}
			}
			w.size(wide)
			w.looks("light")
			if w != chinese {
				w.open(path)
				w.tabsThrough(path)
			}
		}
	}
}

// labelled sees that everything to be filled in or pressed has a name, and that a page has one headline.
func (w *window) labelled(where string) {
	w.t.Helper()
	if bare := eval[[]string](w, `[
		...[...document.querySelectorAll("input:not([type=hidden]), select, progress")].filter(e => ![...e.labels].some(l => l.innerText.trim() || l.textContent.trim())),
		...[...document.querySelectorAll("a, button")].filter(e => !e.textContent.trim()),
		...(document.querySelectorAll("h1").length === 1 ? [] : [document.querySelector("main")]),
	].map(e => e.outerHTML.slice(0, 100))`); len(bare) > 0 {
		w.t.Errorf("%s: without a name: %v", where, bare)
	}
}

// stranger is a window of the same browser and language in which nobody is logged in.
func (w *window) stranger() *window {
	s := openWindow(w.ctx, w.t, w.base, w.dir)
	s.open("/login")
	if eval[string](w, `document.documentElement.lang`) != "en" {
		s.press("中文")
		s.sees("登录")
	}
	return s
}

// console runs the console in this yard until the returned function is called.
func (y *yard) console(workers map[string]*ops) (base string, stop func()) {
	d := &desk{t: y.TB, broker: y.broker, url: y.url, store: y.store}
	cfg := deskSettings(y.TB, d)
	cfg.Privacy = y.privacy()
	cfg.Console.ApprovalSize = 400
	var targets []string
	for name, o := range workers {
		targets = append(targets, name+"=http://"+o.address)
	}
	cfg.Console.WorkerOps = strings.Join(targets, ",")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		y.Fatal(err)
	}
	d.base = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	p := &boot.Process{Name: service, Log: zap.NewNop(), Health: boot.NewHealth(), Metrics: prometheus.NewRegistry()}
	go func() { ended <- serveConsole(ctx, p, cfg, listener) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			y.Error(err)
		}
	}
	y.Cleanup(stop)
	d.await("ready", func() bool { return d.ask("", "GET", "/readyz", "").status == 200 })
	return d.base, stop
}

// staff has a member in the group of every worker, which keeps up, and an ops address for each.
func (y *yard) staff() map[string]*ops {
	all := map[string]*ops{"ingest": newOps(y.TB, "ingest")}
	for _, name := range workers() {
		all[name] = newOps(y.TB, name)
		var topics []string
		for _, source := range order.Sources {
			topics = append(topics, event.Received(source))
			if name != "validate" {
				topics[len(topics)-1] = event.Validated(source)
			}
		}
		topics = append(topics, event.Replay(name))
		client, err := y.open(kgo.ConsumerGroup(name), kgo.ConsumeTopics(topics...), kgo.AutoCommitInterval(100*time.Millisecond))
		if err != nil {
			y.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				client.PollFetches(ctx)
			}
		}()
		y.Cleanup(func() { cancel(); <-done; client.Close() })
	}
	return all
}

// examples puts things of every kind there: a letter that differs from the newest revision, refused requests, a push. They
// are the pages to look at.
func (y *yard) examples() (pages []string) {
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join("..", "..", "schemas", "examples", "mall", name))
		var batch []json.RawMessage
		if err == nil {
			err = json.Unmarshal(text, &batch)
		}
		if err != nil {
			y.Fatal(err)
		}
		return batch[0]
	}
	key := order.Key("mall:SHOP-7:20261122-0042")
	bad := letterFact(key, 7001, "bad_amount", "/Dtls/0/Amount")
	now := time.Now().UTC().Truncate(time.Millisecond)
	l := &bad.Letter.Letter
	l.Message = "not an exact decimal number"
	l.Origin.Value, l.First, l.Last = read("bad-bad_amount.json"), now.Add(-47*time.Minute), now.Add(-47*time.Minute)
	newest := validatedFact(key, 7002, "20261122-0042", "SHARED-1")
	newest.Validated.Document = read("good-seed.json")
	y.apply(bad, newest, deliveredFact(key, 7002), validatedFact("icbu:SHARED-1", 7003, "SHARED-1"))
	letters, _, err := y.store.Letters(y.Context(), store.LetterFilter{OrderKey: key}, "", 1)
	if err != nil || len(letters) != 1 {
		y.Fatal(letters, err)
	}

	var refused []event.Message
	for i, cause := range []string{"bad_signature", "bad_json", "unknown_token", "too_large"} {
		m := event.New(event.Quarantine, "ingest", event.Meta{PushID: fmt.Sprint("01JD8Z0Q4M3N5P7R9T", i), Digest: "9f2c"}, now, "application/json", []byte("{\"phone\":\"13800138000\",\n \"name\":\"王小明\","))
		m.Key = "mall"
		m.SetHeader("quarantine-cause", cause)
		m.SetHeader("quarantine-length", fmt.Sprint(41+i*1000))
		m.SetHeader("quarantine-remote", "203.0.113.0/24")
		refused = append(refused, m)
	}
	y.broker.Produce(refused...)
	place := ""
	for _, m := range y.broker.Read(event.Quarantine) {
		place = fmt.Sprintf("/quarantine/%d/%d", m.Partition, m.Offset)
	}
	d := &desk{t: y.TB, broker: y.broker}
	push, _ := d.push(order.Mall, "mall:SHOP-7:20261122-0099")
	if _, err := receipt.Parse(receiptKeys(y), push); err != nil {
		y.Fatal(err)
	}
	return []string{fmt.Sprint("/letters/", letters[0].ID), orderPath(key), place, "/pushes/" + push}
}

// privacy are the settings of the yard's keys.
func (y *yard) privacy() privacy.Settings {
	const secret = "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU="
	return privacy.Settings{PseudonymKeys: "p=" + secret, PayloadKeys: "k=" + secret}
}
