package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"

	"go.uber.org/zap"
)

//go:embed pages/*.html
var pageFiles embed.FS

// pages is the console as people see it in a browser. It asks the API's own endpoints and shows what they answer.
type pages struct {
	sessions  *sessions
	origins   []string // trusted ones, as in CONSOLE_ORIGINS
	flow      *flow
	scraper   *scraper
	templates map[language]map[string]*template.Template
}

func newPages(origins []string, flow *flow, scraper *scraper) (*pages, error) {
	p := &pages{sessions: newSessions(), origins: origins, flow: flow, scraper: scraper, templates: map[language]map[string]*template.Template{}}
	names, err := pageFiles.ReadDir("pages")
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	for _, l := range languages {
		p.templates[l] = map[string]*template.Template{}
		layout, err := template.New("layout.html").Funcs(functions(l)).ParseFS(pageFiles, "pages/layout.html", "pages/parts.html")
		if err != nil {
			return nil, fmt.Errorf("parse the layout: %w", err)
		}
		for _, file := range names {
			own, err := layout.Clone()
			if err == nil {
				own, err = own.ParseFS(pageFiles, path.Join("pages", file.Name()))
			}
			if err != nil {
				return nil, fmt.Errorf("parse a page: %w", err)
			}
			p.templates[l][strings.TrimSuffix(file.Name(), ".html")] = own
		}
	}
	return p, nil
}

// screen is what a page answers: a template with its data, or another address.
type screen struct {
	template string
	data     any
	to       string
	live     bool // asks for itself again while something is under way
	status   int  // 0: 200
}

// view is what the layout knows of every page.
type view struct {
	Page     string
	Language language
	By       user
	Here     string // where to come back to when the language was changed
	Live     bool
	Data     any
}

// Known tells whether somebody is logged in.
func (v view) Known() bool { return v.By.name != "" }

// Name and Role are those of who looks.
func (v view) Name() string { return v.By.name }

// Role is the role of who looks, as in CONSOLE_USERS.
func (v view) Role() string { return v.By.role.String() }

// MayChange tells whether who looks may replay and discard.
func (v view) MayChange() bool { return v.By.role >= operator }

// MayApprove tells whether who looks may approve somebody else's replay.
func (v view) MayApprove() bool { return v.By.role >= approver }

// sections are the entries of the navigation that a page belongs to, where it is not one itself.
var sections = map[string]string{
	"order": "search", "push": "search", "letter": "letters", "replay": "replays", "replay_new": "replays", "replay_letters": "replays",
	"refused": "quarantine",
}

// Current tells whether an entry of the navigation is this page, or the one that it belongs to, as aria-current has it.
func (v view) Current(entry string) string {
	switch entry {
	case v.Page:
		return "page"
	case sections[v.Page]:
		return "true"
	default:
		return ""
	}
}

// Other is the language that one can change to.
func (v view) Other() language {
	if v.Language == english {
		return chinese
	}
	return english
}

// pageFunc shows one page.
type pageFunc func(r *http.Request, by user) (screen, error)

// page lets those in who are logged in and have at least the role; others are led to the login, and back afterwards.
func (c *console) page(needed role, show pageFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, ok := c.pages.sessions.find(r)
		if !ok {
			toLogin(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		var s screen
		var err error
		if by.role < needed {
			err = c.refuse(r, by, needed)
		} else {
			s, err = show(r, by)
		}
		c.show(w, r, by, s, err)
	})
}

func (c *console) show(w http.ResponseWriter, r *http.Request, by user, s screen, err error) {
	if err != nil {
		f := c.failureOf(r, err)
		s = screen{template: "failure", data: f, status: f.status}
	}
	if s.to != "" {
		http.Redirect(w, r, s.to, http.StatusSeeOther)
		return
	}
	v := view{Page: s.template, Language: languageOf(r), By: by, Live: s.live, Data: s.data}
	if r.Method == http.MethodGet {
		v.Here = r.URL.RequestURI()
	}
	c.render(w, r, cmp.Or(s.status, http.StatusOK), v)
}

// pagePolicy allows the page's own files, and nothing that stands in the page itself.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func (c *console) render(w http.ResponseWriter, r *http.Request, status int, v view) {
	var text bytes.Buffer
	if err := c.pages.templates[v.Language][v.Page].ExecuteTemplate(&text, "layout", v); err != nil {
		c.log.Error("page not written", zap.String("address", r.Pattern), zap.String("page", v.Page), zap.Error(err))
		c.fail(w, r, errInternal)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Add("Vary", "Cookie, Accept-Language")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "2")
	}
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes())
}
