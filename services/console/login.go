package main

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"orderflow/pkg/ratelimit"
)

// limited is a failure that tells when to come back.
type limited struct {
	*failure
	after time.Duration
}

func (l *limited) Unwrap() error { return l.failure }

// seconds is the Retry-After of HTTP.
func (l *limited) seconds() int { return int(math.Ceil(l.after.Seconds())) }

// login tells who asks by HTTP Basic.
func (c *console) login(r *http.Request) (user, error) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return user{}, errNoLogin
	}
	by, err := c.admit(r, name, password)
	wrongs, early := errors.AsType[errWrongs](err)
	switch {
	case err == nil:
		return by, nil
	case errors.Is(err, errLogin):
		return user{}, errNoLogin
	case early:
		return user{}, &limited{errTooWrong, wrongs.after}
	default:
		return user{}, errCrowd
	}
}

// admit asks the door, counts what it says, and has a wrong login written to the audit.
func (c *console) admit(r *http.Request, name, password string) (user, error) {
	from := c.network(r)
	by, err := c.door.enter(r.Context(), from, name, password)
	outcome := "entered"
	switch {
	case err == nil:
	case errors.Is(err, errLogin):
		outcome = "wrong"
		c.vain.addLater(c.wrongLogin(from, name))
	case errors.Is(err, errBusy):
		outcome = "busy"
	default:
		outcome = "limited"
	}
	c.metrics.logins.WithLabelValues(outcome).Inc()
	return by, err
}

// wrongLogin is what the audit may say of one: a name only if it is one of ours, since people type their password there, and
// the kind of network. So it has few kinds, however many try.
func (c *console) wrongLogin(from netip.Addr, name string) vain {
	object, reason := "login "+noPerson, "unknown name"
	if _, known := c.door.users[name]; known {
		object, reason = "login "+name, "wrong password"
	}
	return vain{who: noPerson, action: "login_failed", object: object, reason: reason + ", from " + networkKind(from), window: loginWindow}
}

func networkKind(from netip.Addr) string {
	switch {
	case from.IsLoopback():
		return "this machine"
	case from.IsPrivate(), from.IsLinkLocalUnicast():
		return "a private network"
	default:
		return "a public network"
	}
}

// network is where a request comes from: the peer's, or what proxies that are ours wrote down, the last one first.
func (c *console) network(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	from := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for ours(c.proxies, from) && len(hops) > 0 {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[len(hops)-1]))
		if err != nil {
			break
		}
		from, hops = hop.Unmap(), hops[:len(hops)-1]
	}
	return ratelimit.NetworkOf(from)
}

func ours(proxies []netip.Prefix, address netip.Addr) bool {
	for _, p := range proxies {
		if p.Contains(address.WithZone("")) {
			return true
		}
	}
	return false
}

// parseProxies reads addresses and networks, and reports every mistake at once.
func parseProxies(text string) ([]netip.Prefix, error) {
	var proxies []netip.Prefix
	var errs []error
	for i, entry := range splitList(text) {
		prefix, err := netip.ParsePrefix(entry)
		if address, errAddress := netip.ParseAddr(entry); errAddress == nil {
			prefix, err = netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()), nil
		}
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("CONSOLE_PROXIES: entry %d is no address and no network such as 10.0.0.0/24", i+1))
		case prefix.Bits() == 0:
			errs = append(errs, fmt.Errorf("CONSOLE_PROXIES: entry %d is everybody: anybody could write another's address", i+1))
		default:
			proxies = append(proxies, prefix)
		}
	}
	return proxies, errors.Join(errs...)
}
