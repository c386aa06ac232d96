package main

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// loginView is the login page after an attempt, or before the first.
type loginView struct {
	Next  string
	Name  string // as typed
	Fault string // the key of a text
	After int    // seconds, where the text names them
}

func (c *console) loginPage(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	if _, ok := c.pages.sessions.find(r); ok {
		toLocal(w, r, next)
		return
	}
	c.render(w, r, http.StatusOK, view{Page: "login", Language: languageOf(r), Here: r.URL.RequestURI(), Data: loginView{Next: next}})
}

func (c *console) enter(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.PostFormValue("next"))
	u, err := c.admit(r, r.PostFormValue("name"), r.PostFormValue("password"))
	if err != nil {
		c.notEntered(w, r, loginView{Next: next, Name: r.PostFormValue("name")}, err)
		return
	}
	c.pages.sessions.end(r)
	c.setSession(w, r, c.pages.sessions.begin(u), int(sessionLongest.Seconds()))
	toLocal(w, r, next)
}

// notEntered shows the login once more, with what was typed and why it does not do.
func (c *console) notEntered(w http.ResponseWriter, r *http.Request, shown loginView, err error) {
	status := http.StatusServiceUnavailable
	shown.Fault = "login.busy"
	if errors.Is(err, errLogin) {
		status, shown.Fault = http.StatusForbidden, "login.wrong"
	}
	if wrongs, ok := errors.AsType[errWrongs](err); ok {
		later := limited{errTooWrong, wrongs.after}
		status, shown.Fault, shown.After = later.status, "login.limited", later.seconds()
		w.Header().Set("Retry-After", strconv.Itoa(shown.After))
	}
	here := "/login?next=" + url.QueryEscape(shown.Next)
	c.render(w, r, status, view{Page: "login", Language: languageOf(r), Here: here, Data: shown})
}

func (c *console) leave(w http.ResponseWriter, r *http.Request) {
	c.pages.sessions.end(r)
	c.setSession(w, r, "", -1)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func (c *console) setSession(w http.ResponseWriter, r *http.Request, id string, seconds int) {
	c.setCookie(w, r, sessionCookie, id, seconds)
}

// setCookie keeps a value in the browser, for our own pages and no script.
func (c *console) setCookie(w http.ResponseWriter, r *http.Request, name, value string, seconds int) {
	//nolint:gosec // Secure is set where the browser speaks TLS; on loopback it does not
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: c.pages.secure(r), SameSite: http.SameSiteStrictMode,
	})
}

// toLogin leads to the login and, where something was only looked at, back again.
func toLogin(w http.ResponseWriter, r *http.Request) {
	if polls(r) { // the whole page has to go there, not the part that asked
		w.Header().Set("Hx-Refresh", "true")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	to := "/login"
	if here := localPath(r.URL.RequestURI()); r.Method == http.MethodGet && here != "/" {
		to += "?next=" + url.QueryEscape(here)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// toLocal leads to an address of this console, whatever was asked for.
func toLocal(w http.ResponseWriter, r *http.Request, address string) {
	http.Redirect(w, r, localPath(address), http.StatusSeeOther) //nolint:gosec // localPath lets no other host through
}

const maxNext = 4096

// localPath is the address if it is one of this console, else the first page. Browsers read \ as / and drop controls.
func localPath(address string) string {
	parsed, err := url.Parse(address)
	odd := strings.ContainsFunc(address, func(r rune) bool { return r == '\\' || unicode.IsControl(r) || unicode.IsSpace(r) })
	if err != nil || odd || len(address) > maxNext || parsed.IsAbs() || parsed.Host != "" || parsed.User != nil ||
		!strings.HasPrefix(address, "/") || strings.HasPrefix(address, "//") {
		return "/"
	}
	return address
}
