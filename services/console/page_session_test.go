package main

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		known := func(id string, headers ...string) bool {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Cookie", sessionCookie+"="+id)
			for _, name := range headers {
				r.Header.Set(name, "true")
			}
			_, ok := s.find(r)
			return ok
		}
		after := func(d time.Duration) { <-time.After(d) }
		anna := user{name: "anna", role: approver}

		id := s.begin(anna)
		for range 23 { // used all the time: 11.5 h
			after(sessionIdle - time.Second)
			if !known(id) {
				t.Fatal("over while in use")
			}
		}
		after(sessionIdle - time.Second)
		if !known(id) {
			t.Error("over before its time")
		}
		after(time.Minute)
		if known(id) {
			t.Error("longer than the longest")
		}
		id = s.begin(anna)
		after(sessionIdle)
		if known(id) {
			t.Error("idle, and not over")
		}
		id = s.begin(anna)
		for range 4 { // a page that asks for itself is no use
			after(sessionIdle / 4)
			known(id, "Hx-Request")
		}
		if known(id) {
			t.Error("a page keeps a session alive by itself")
		}
		if known("") || known("x") {
			t.Error("anybody is let in")
		}

		other := s.begin(user{name: "vera", role: viewer})
		var own []string
		for range maxOwnSessions + 1 {
			after(time.Second)
			own = append(own, s.begin(anna))
		}
		if known(own[0]) || !known(own[1]) || !known(other) {
			t.Error("too many sessions of one person: their least used one has to go, and nobody else's")
		}
		for i := range 2 * maxSessions {
			s.begin(user{name: fmt.Sprint("u", i)})
		}
		if len(s.byID) > maxSessions {
			t.Errorf("%d sessions", len(s.byID))
		}
	})
}
