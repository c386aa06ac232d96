//go:build e2e

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"orderflow/pkg/bustest"
)

// Widths of a desk's and of a telephone's window.
const (
	wide   = 1360
	narrow = 360
)

// chromium starts a browser, each of whose windows has cookies of its own.
func chromium(t *testing.T) context.Context {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && program == "" {
			program = found
		}
	}
	if program == "" {
		t.Fatal("chromium is missing: deploy/setup.sh all installs it; on Debian: apt-get install chromium fonts-noto-cjk")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.DisableGPU, // and a folder that chromedp removes: it knows who still writes there
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(bustest.Patience))
	if os.Geteuid() == 0 { // Chromium's sandbox refuses root
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as this context, so no timeout
		t.Fatalf("chromium does not start: %v", err)
	}
	return ctx
}

// window is one person's browser window.
type window struct {
	t    *testing.T
	ctx  context.Context
	base string
	dir  string // of screenshots
}

// openWindow opens a window that reports what the browser complains about: scripts that fail, and what the page's policy
// forbids. That a page is refused on purpose is no complaint.
func openWindow(browser context.Context, t *testing.T, base, dir string) *window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded:
			refused := strings.Contains(e.Entry.Text, "the server responded with a status of 4") && !strings.Contains(e.Entry.URL, "/assets/")
			// The console was stopped, perhaps while the page was asking.
			away := strings.Contains(e.Entry.Text, "net::ERR_CONNECTION_") || strings.Contains(e.Entry.Text, "net::ERR_EMPTY_RESPONSE")
			if e.Entry.Level == log.EntryLevelError && !refused && !away || strings.Contains(e.Entry.Text, "Content Security Policy") {
				t.Errorf("the browser says: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			t.Errorf("a script failed: %+v", e.ExceptionDetails)
		case *runtime.EventConsoleAPICalled:
			text := ""
			for _, arg := range e.Args {
				text += string(arg.Value) + arg.Description
			}
			if e.Type == "error" && !strings.Contains(text, "htmx:") { // htmx says so too when an answer was refused
				t.Errorf("the browser's console: %s", text)
			}
		}
	}))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // the window lives as long as the context that opens it
		t.Fatal(err)
	}
	w := &window{t, ctx, base, dir}
	w.size(wide)
	return w
}

func (w *window) do(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, bustest.Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		w.t.Fatal(err)
	}
}

// eval evaluates a script; the page's policy does not bind the browser's own tools.
func eval[T any](w *window, script string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, bustest.Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		w.t.Fatalf("%s: %v", script, err)
	}
	return value
}

func (w *window) open(path string) {
	w.t.Helper()
	w.do(chromedp.Navigate(w.base + path))
}

func (w *window) size(width int64) {
	w.t.Helper()
	w.do(chromedp.EmulateViewport(width, 860))
}

// sees waits until the page shows texts.
func (w *window) sees(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		w.until(`document.body.innerText.includes(` + strconv.Quote(text) + `)`)
	}
}

// hears waits until a screen reader is told a text: that is when a new part has settled, a moment after it is to be seen.
func (w *window) hears(text string) {
	w.t.Helper()
	w.until(`document.getElementById("news").innerText.includes(` + strconv.Quote(text) + `)`)
}

// until waits until a script says so. A page that is just being replaced by another cannot be asked: that is no answer.
func (w *window) until(script string) {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(w.ctx, bustest.Patience)
	defer cancel()
	for {
		so, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!!document.body && `+script))
		if err == nil && so {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.shoot("fault")
			w.t.Fatalf("%s never came (%v); the page is %s", script, err, eval[string](w, `location.href + " " + document.body.innerText`))
		}
	}
}

// tabTo presses Tab until the focus is on what is named so.
func (w *window) tabTo(name string) {
	w.t.Helper()
	for range 100 {
		w.do(chromedp.KeyEvent(kb.Tab))
		at := eval[string](w, `(a => a ? (a.id || "") + "|" + (a.name || "") + "|" + (a.innerText || "").trim() : "")(document.activeElement)`)
		for part := range strings.SplitSeq(at, "|") {
			if part == name {
				w.focusShows()
				return
			}
		}
	}
	w.shoot("fault")
	w.t.Fatalf("Tab never leads to %q on %s", name, eval[string](w, `location.href`))
}

// focusShows sees that what has the focus is to be seen, and marked.
func (w *window) focusShows() {
	w.t.Helper()
	if fault := eval[string](w, `(a => {
		const style = getComputedStyle(a), box = a.getBoundingClientRect();
		const seen = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
		return style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2 ? "is not marked" : seen ? "" : "is out of sight";
	})(document.activeElement)`); fault != "" {
		w.t.Errorf("the focus on %s %s", eval[string](w, `document.activeElement.outerHTML.slice(0, 120)`), fault)
	}
}

// press goes by Tab to a link or button that leads to another page, and presses Enter.
func (w *window) press(name string) {
	w.t.Helper()
	w.tabTo(name)
	w.enter()
}

// enter presses Enter and waits for the page that it leads to: what is to be seen there may stand on this one too.
func (w *window) enter() {
	w.t.Helper()
	eval[bool](w, `window.left = true`)
	w.do(chromedp.KeyEvent(kb.Enter))
	w.until(`!window.left && document.readyState === "complete"`)
}

func (w *window) fill(name, text string) {
	w.t.Helper()
	w.tabTo(name)
	w.do(chromedp.KeyEvent(text))
}

// login uses nothing but the keyboard.
func (w *window) login(who string) {
	w.t.Helper()
	w.open("/login")
	w.fill("name", who)
	w.fill("password", who+who)
	w.enter()
	w.sees("Overview", who)
}

func (w *window) shoot(name string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, bustest.Patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, name+".png"), picture, 0o600)
	}
	if err != nil {
		w.t.Error(err)
	}
}

// looks chooses what the browser says that its person prefers.
func (w *window) looks(scheme string) {
	w.t.Helper()
	w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// fits sees that nothing stands out of the window, and names what does.
func (w *window) fits(where string) {
	w.t.Helper()
	if out := eval[string](w, `(root => root.scrollWidth <= root.clientWidth ? "" : root.scrollWidth + " pixels, "
		+ [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest("thead, .skip, .unseen"))
		.map(e => e.outerHTML.slice(0, 100)).join("\n"))(document.documentElement)`); out != "" {
		w.t.Errorf("%s is wider than its window: %s", where, out)
	}
}

// contrasts sees that every text has the contrast of WCAG AA against what it stands on.
func (w *window) contrasts(where string) {
	w.t.Helper()
	if faint := eval[[]string](w, contrastScript); len(faint) > 0 {
		w.t.Errorf("%s has texts that are hard to read: %s", where, strings.Join(faint, "\n"))
	}
}

// contrastScript walks all texts that are to be seen, those of fields and of style sheets included.
const contrastScript = `(() => {
	const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
	const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
	const ground = e => {
		const layers = [];
		for (; e; e = e.parentElement) {
			layers.push(parse(getComputedStyle(e).backgroundColor));
		}
		return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
	};
	const light = c => { const l = c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
	const ratio = (a, b) => { const x = light(a), y = light(b); return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
	const faint = [];
	let seen = 0;
	const look = (e, text, style) => {
		const under = ground(e), got = ratio(over(parse(style.color), under), under);
		seen++;
		if (got < 4.5) {
			faint.push(got.toFixed(2) + " " + text.trim().slice(0, 60) + " in " + e.outerHTML.slice(0, 80));
		}
	};
	const shown = e => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !e.closest(".unseen, script, style");
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const text = texts.currentNode.data, e = texts.currentNode.parentElement;
		if (text.trim() && shown(e)) {
			look(e, text, getComputedStyle(e));
		}
	}
	for (const e of document.querySelectorAll("body *")) {
		if (!shown(e)) {
			continue;
		}
		if (e.matches("input:not([type=checkbox]), select")) {
			look(e, e.value, getComputedStyle(e));
		}
		for (const part of ["::before", "::after"]) {
			const style = getComputedStyle(e, part);
			if (/^"[^"]*\S[^"]*"$/.test(style.content)) {
				look(e, style.content, style);
			}
		}
	}
	return seen > 5 ? faint : ["only " + seen + " texts were found"];
})()`

// standStill keeps a page that brings itself up to date as it is now.
func (w *window) standStill() {
	w.t.Helper()
	eval[bool](w, `(document.addEventListener("htmx:beforeSwap", e => { e.detail.shouldSwap = false; }), true)`)
	w.until(`!document.querySelector(".htmx-settling, .htmx-swapping, .htmx-added")`)
}

// tabsThrough sees that Tab leads through everything on the page that can be used, each in sight and marked. The page stands
// still meanwhile: what comes or goes with a new part, such as a process that answered late, would be counted wrongly.
func (w *window) tabsThrough(where string) {
	w.t.Helper()
	w.standStill()
	const usable = `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']")].filter(e => e.checkVisibility({ visibilityProperty: true }))`
	eval[bool](w, `(() => { document.activeElement.blur(); scrollTo(0, 0); return true; })()`)
	want := eval[int](w, usable+`.length`)
	reached := map[int]bool{}
	for range want + 1 {
		w.do(chromedp.KeyEvent(kb.Tab))
		at := eval[int](w, usable+`.indexOf(document.activeElement)`)
		if at < 0 {
			continue // the browser's own address bar
		}
		reached[at] = true
		w.focusShows()
	}
	if len(reached) != want {
		w.t.Errorf("%s: Tab reaches %d of %d", where, len(reached), want)
	}
}

// screenshots is the folder where people look at what the pages look like.
func screenshots(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "orderflow-screenshots")
	if named := os.Getenv("SCREENSHOTS"); named != "" {
		dir = named
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Log("screenshots are in", dir)
	return dir
}
