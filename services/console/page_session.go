package main

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Bounds of sessions.
const (
	sessionIdle    = 30 * time.Minute
	sessionLongest = 12 * time.Hour
	maxSessions    = 1024
	maxOwnSessions = 16 // of one person: somebody's forgotten browsers must not lock others out
	sessionCookie  = "orderflow_session"
)

// sessions are who is logged in by which cookie. They live in this process only: after a restart everybody logs in again.
type sessions struct {
	mu   sync.Mutex
	byID map[string]*session
}

type session struct {
	user  user
	began time.Time
	used  time.Time
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.used) >= sessionIdle || now.Sub(s.began) >= sessionLongest
}

func newSessions() *sessions { return &sessions{byID: map[string]*session{}} }

// begin makes a session with an id that nobody has seen before. The person's least used session makes room where there are
// too many, or else anybody's.
func (s *sessions) begin(u user) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	own := 0
	for other, known := range s.byID {
		if known.over(now) {
			delete(s.byID, other)
		} else if known.user.name == u.name {
			own++
		}
	}
	if own >= maxOwnSessions {
		s.drop(func(known *session) bool { return known.user.name == u.name })
	} else if len(s.byID) >= maxSessions {
		s.drop(func(*session) bool { return true })
	}
	id = rand.Text()
	s.byID[id] = &session{u, now, now}
	return id
}

// drop ends the least used of some sessions.
func (s *sessions) drop(which func(*session) bool) {
	least := ""
	for id, known := range s.byID {
		if which(known) && (least == "" || known.used.Before(s.byID[least].used)) {
			least = id
		}
	}
	delete(s.byID, least)
}

// find tells who asks. A page that asks for itself again does not count as use: nobody may be sitting before it.
func (s *sessions) find(r *http.Request) (user, bool) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return user{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	known, ok := s.byID[cookie.Value]
	if !ok {
		return user{}, false
	}
	if known.over(now) {
		delete(s.byID, cookie.Value)
		return user{}, false
	}
	if !polls(r) {
		known.used = now
	}
	return known.user, true
}

// end forgets the session of a request, if there is one.
func (s *sessions) end(r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.byID, cookie.Value)
	}
}

// polls tells whether a page asks for itself, and not a person.
func polls(r *http.Request) bool { return r.Header.Get("Hx-Request") == "true" }

// secure tells whether the browser speaks TLS: with us, or with a proxy whose origin is trusted.
func (p *pages) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	trusted := func(origin string) bool {
		return strings.HasPrefix(origin, "https://") && slices.Contains(p.origins, origin)
	}
	return r.Header.Get("X-Forwarded-Proto") == "https" && (trusted(r.Header.Get("Origin")) || trusted("https://"+r.Host))
}
