package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

var elsewhere = netip.MustParseAddr("192.0.2.1")

// A network that sends many wrong logins has to wait, and nobody else.
func TestWrongLoginsOfANetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := testDoor(t)
		wrong := func() error { _, err := d.enter(t.Context(), here, "anna", "wrong"); return err }
		for n := range 3 * wrongBurst { // good ones cost nothing
			clear(d.verified)
			if _, err := d.enter(t.Context(), here, "anna", "annaanna"); err != nil {
				t.Fatalf("good login %d: %v", n, err)
			}
		}
		for n := range wrongBurst {
			if err := wrong(); !errors.Is(err, errLogin) {
				t.Fatalf("wrong login %d: %v", n, err)
			}
		}
		early, ok := errors.AsType[errWrongs](wrong())
		if !ok || early.after != wrongEvery {
			t.Errorf("after %d wrong logins: %v %v", wrongBurst, ok, early.after)
		}
		if _, err := d.enter(t.Context(), here, "anna", "annaanna"); err != nil {
			t.Errorf("who is at work there: %v", err)
		}
		clear(d.verified)
		if _, err := d.enter(t.Context(), here, "anna", "annaanna"); !errors.As(err, new(errWrongs)) {
			t.Errorf("who is not at work there: %v", err)
		}
		if _, err := d.enter(t.Context(), elsewhere, "vera", "veravera"); err != nil {
			t.Errorf("from elsewhere: %v", err)
		}
		<-time.After(wrongEvery)
		if err := wrong(); !errors.Is(err, errLogin) {
			t.Errorf("%v later: %v", wrongEvery, err)
		}
		if err := wrong(); !errors.As(err, new(errWrongs)) {
			t.Errorf("twice %v later: %v", wrongEvery, err)
		}
	})
}

// However many a network sends, it has one hash; a stranger elsewhere has the other one at once.
func TestHashesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newLoginQueue()
		release := make(chan struct{})
		var flood sync.WaitGroup
		for range 100 {
			flood.Go(func() {
				if done, err := q.wait(t.Context(), here); err == nil {
					<-release
					done()
				}
			})
		}
		synctest.Wait()
		if len(q.slots) != 1 {
			t.Errorf("%d hashes of one network at once", len(q.slots))
		}
		began := time.Now()
		done, err := q.wait(t.Context(), elsewhere)
		if err != nil || time.Since(began) > 0 {
			t.Fatalf("elsewhere: %v after %v", err, time.Since(began))
		}
		third := make(chan error, 1)
		go func() {
			done, err := q.wait(t.Context(), netip.MustParseAddr("192.0.2.2"))
			third <- err
			if err == nil {
				done()
			}
		}()
		synctest.Wait()
		done()
		if err := <-third; err != nil || time.Since(began) > 0 {
			t.Errorf("a third network, once a hash is free: %v after %v", err, time.Since(began))
		}
		close(release)
		flood.Wait()
		if len(q.turns) != 0 || len(q.slots) != 0 {
			t.Errorf("%d networks are remembered, %d hashes taken", len(q.turns), len(q.slots))
		}
	})
}

// from asks from another address of this machine.
func (d *desk) from(address, who, method, path, body string) said {
	d.t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if who != "" {
		request.SetBasicAuth(who, who+who)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	return said{response.StatusCode, response.Header, ""}
}

// While 40 connections of one address try wrong passwords, whoever is at work is let in at once, and whoever comes from
// elsewhere too. The audit tells of the flood in few lines, and nothing of what was typed.
func TestFloodOfWrongPasswords(t *testing.T) {
	d := start(t)
	d.ask("vera", "GET", "/api/audit", "")
	stop := make(chan struct{})
	var flood sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); flood.Wait() })
	t.Cleanup(end)
	var refused, early atomic.Int64
	for n := range 40 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch got := d.ask([]string{"geheim", "OLGA"}[n%2], "GET", "/api/audit", ""); got.status {
				case http.StatusUnauthorized:
					refused.Add(1)
				case http.StatusTooManyRequests:
					early.Add(1)
					if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 1 || after > 10 || got.code() != "rate_limited" {
						t.Errorf("Retry-After %q, %s", got.header.Get("Retry-After"), got.body)
					}
				case http.StatusServiceUnavailable:
				default:
					t.Errorf("a wrong login: %d", got.status)
				}
			}
		})
	}
	d.await("limited", func() bool {
		if got := d.ask("vera", "GET", "/api/audit", ""); got.status != http.StatusOK {
			t.Fatalf("vera: %d %s", got.status, got.body)
		}
		return early.Load() >= 100
	})
	if got := d.from("127.0.0.2", "anna", "GET", "/api/audit", ""); got.status != http.StatusOK {
		t.Errorf("anna, from elsewhere: %d", got.status)
	}
	if got := d.from("127.0.0.3", "", "POST", "/login", ""); got.status != http.StatusForbidden {
		t.Errorf("a wrong login from elsewhere: %d", got.status)
	}
	end()
	if n := refused.Load(); n < wrongBurst/2 || n > 10*wrongBurst {
		t.Errorf("%d wrong logins were looked at, %d were not", n, early.Load())
	}
	b := d.browse("")
	for language, want := range map[string]string{"en": "Too many wrong logins came from your network address. Wait ", "zh-CN": "您的网络地址登录失败次数过多，请等待 "} {
		b.headers["Accept-Language"] = language
		var got said
		d.await("limited on the page", func() bool { // a slow machine's addresses get their tries back
			got = b.post("/login", url.Values{"name": {"olga"}, "password": {"wrong"}})
			return got.status != http.StatusForbidden
		})
		if after, err := strconv.Atoi(got.header.Get("Retry-After")); got.status != http.StatusTooManyRequests || err != nil || after < 1 ||
			!strings.Contains(got.body, want+strconv.Itoa(after)) {
			t.Errorf("the page: %d, Retry-After %q\n%s", got.status, got.header.Get("Retry-After"), got.body)
		}
	}
	failed := func() []string {
		return pgtest.Rows(t, d.url, `select who, object, reason from audit where action = 'login_failed' order by id`)
	}
	d.await("audited", func() bool { return len(failed()) > 0 })
	if rows := failed(); len(rows) > 2 || !strings.HasPrefix(rows[0], "- login - unknown name, from this machine") {
		t.Errorf("the audit of %d wrong logins: %q", refused.Load(), rows)
	}
}

// A person whose role does not allow something fills no audit by trying it again and again.
func TestRefusalsAreCounted(t *testing.T) {
	d := start(t)
	for n := range 60 {
		if got := d.ask("vera", "POST", fmt.Sprintf("/api/dead-letters/%d/discard", n), `{}`); got.status != http.StatusForbidden {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	d.ask("vera", "POST", "/api/replays", `{}`)
	rows := pgtest.Rows(t, d.url, `select who, object, reason from audit where action = 'refused' order by id`)
	want := []string{"vera POST /api/dead-letters/0/discard needs operator, is viewer", "vera POST /api/replays needs operator, is viewer"}
	if len(rows) > 3 || rows[0] != want[0] || !slices.Contains(rows, want[1]) { // the number of the others comes when its minute is over
		t.Errorf("the audit of 61 refusals: %q", rows)
	}
	for l, want := range map[language]string{english: "needs the role operator, is viewer; times: 59", chinese: "需要操作员角色，实为只读；次数：59"} {
		if got := why(l, auditAnswer{Action: "refused", Reason: "needs operator, is viewer; times: 59"}); got != want {
			t.Errorf("%s: %s", l, got)
		}
	}
	for l, want := range map[language]string{english: "wrong password, from a public network; times: 7", chinese: "密码错误，来自公网；次数：7"} {
		if got := why(l, auditAnswer{Action: "login_failed", Reason: "wrong password, from a public network; times: 7"}); got != want {
			t.Errorf("%s: %s", l, got)
		}
	}
}

// tried runs vains over a writer that fails for a while; it gives what was written.
func tried(t *testing.T, tries func(t *testing.T, v *vains, away *atomic.Bool)) (lines []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		v := newVains(func(_ context.Context, e store.AuditEntry) error {
			if away.Load() {
				return errors.New("away")
			}
			lines = append(lines, e.Object+": "+e.Reason)
			return nil
		}, zap.NewNop())
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { v.run(ctx); close(ended) }()
		tries(t, v, &away)
		stop()
		<-ended
		if left := len(v.counts); left > 1 {
			t.Errorf("%d kinds are remembered", left)
		}
	})
	return lines
}

func TestAttemptsInVain(t *testing.T) {
	kind := vain{who: "vera", action: "refused", object: "all", reason: "r", window: time.Minute}
	for name, c := range map[string]struct {
		tries func(t *testing.T, v *vains, away *atomic.Bool)
		want  []string
	}{
		"one": {func(t *testing.T, v *vains, _ *atomic.Bool) { v.addLater(kind); <-time.After(time.Hour) }, []string{"all: r"}},
		"many in a window": {func(t *testing.T, v *vains, _ *atomic.Bool) {
			v.add(kind, "first")
			v.tell(t.Context(), false)
			for range 999 {
				v.addLater(kind)
			}
			<-time.After(time.Hour)
		}, []string{"first: r", "all: r; times: 999"}},
		"all the time": {func(t *testing.T, v *vains, _ *atomic.Bool) {
			for range 120 {
				v.addLater(kind)
				<-time.After(time.Second)
			}
		}, nil},
		"at the end": {func(t *testing.T, v *vains, _ *atomic.Bool) {
			v.addLater(kind)
			synctest.Wait()
			v.addLater(kind)
			v.addLater(kind)
		}, []string{"all: r", "all: r; times: 2"}},
		"while the audit is away": {func(t *testing.T, v *vains, away *atomic.Bool) {
			away.Store(true)
			v.addLater(kind)
			v.addLater(kind)
			<-time.After(10 * time.Minute)
			v.addLater(kind)
			away.Store(false)
			<-time.After(vainTick)
		}, []string{"all: r; times: 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			lines := tried(t, c.tries)
			if few := len(lines) >= 3 && len(lines) <= 5; c.want == nil && few { // where a window ends depends on the tick
				return
			}
			if !slices.Equal(lines, c.want) {
				t.Errorf("lines %q, want %q", lines, c.want)
			}
		})
	}
}

// What is tried while a line is being written, and the process stops meanwhile, is told in the end.
func TestAttemptsInVainAsTheProcessStops(t *testing.T) {
	kind := vain{who: "vera", action: "refused", object: "all", reason: "r", window: time.Minute}
	ctx, stop := context.WithCancel(t.Context())
	var v *vains
	var lines []string
	v = newVains(func(_ context.Context, e store.AuditEntry) error {
		if len(lines) == 0 {
			v.addLater(kind)
			stop()
		}
		lines = append(lines, e.Object+": "+e.Reason)
		return nil
	}, zap.NewNop())
	v.addLater(kind)
	v.run(ctx)
	if want := []string{"all: r", "all: r; times: 1"}; !slices.Equal(lines, want) {
		t.Errorf("lines %q, want %q", lines, want)
	}
}

// Only a proxy of ours is believed about who asks, and only what it wrote itself.
func TestNetworkBehindProxies(t *testing.T) {
	proxies, err := parseProxies("10.0.0.0/8, 127.0.0.1,::ffff:192.0.2.9, 2001:db8::/32")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"198.51.100.1:5", nil, "198.51.100.1"},
		{"198.51.100.1:5", []string{"203.0.113.1"}, "198.51.100.1"},
		{"10.1.1.1:5", nil, "10.1.1.1"},
		{"10.1.1.1:5", []string{"203.0.113.1"}, "203.0.113.1"},
		{"[::ffff:10.1.1.1]:5", []string{"203.0.113.1"}, "203.0.113.1"},
		{"192.0.2.9:5", []string{"203.0.113.1"}, "203.0.113.1"},
		{"127.0.0.1:5", []string{"6.6.6.6, 203.0.113.1"}, "203.0.113.1"},
		{"127.0.0.1:5", []string{"6.6.6.6", "203.0.113.1, 10.0.0.7"}, "203.0.113.1"},
		{"127.0.0.1:5", []string{"6.6.6.6, nonsense, 10.0.0.7"}, "10.0.0.7"},
		{"127.0.0.1:5", []string{""}, "127.0.0.1"},
		{"[2001:db8::1]:5", []string{"2a00:1:2:3:4:5:6:7"}, "2a00:1:2:3::"},
		{"odd", []string{"203.0.113.1"}, "invalid IP"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		for _, line := range c.forwarded {
			r.Header.Add("X-Forwarded-For", line)
		}
		if got := (&console{proxies: proxies}).network(r).String(); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
		if got := (&console{}).network(r).String(); len(c.forwarded) > 0 && got == "203.0.113.1" {
			t.Errorf("%s %q: %s is believed without a proxy", c.peer, c.forwarded, got)
		}
	}
	_, err = parseProxies("10.0.0.1,proxy.example.com,0.0.0.0/0,10.0.0.0/40")
	if err == nil || strings.Count(err.Error(), "CONSOLE_PROXIES: entry") != 3 {
		t.Errorf("mistakes: %v", err)
	}
}

func TestKindOfNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.5": "this machine", "::1": "this machine", "10.0.0.1": "a private network", "fd00::": "a private network", "203.0.113.1": "a public network",
	} {
		if got := networkKind(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}
