package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// How logins are bounded.
const (
	verifiedFor = time.Minute // since their last use, credentials count as verified without another hash
	maxVerified = 1024
)

var (
	errLogin = errors.New("unknown name or wrong password")
	errBusy  = errors.New("too many logins at once")
)

// door tells who somebody is by name and password. A hash costs tens of milliseconds on purpose, so credentials that were
// verified a moment ago are remembered, by a keyed digest that tells nothing without this process's memory.
type door struct {
	users  map[string]user
	decoy  []byte // compared for unknown names, which must cost what known ones cost
	queue  *loginQueue
	secret []byte

	mu       sync.Mutex
	verified map[[sha256.Size]byte]verified
}

type verified struct {
	user  user
	until time.Time
}

func newDoor(users []user) (*door, error) {
	d := &door{
		users: map[string]user{}, queue: newLoginQueue(), secret: make([]byte, sha256.Size), verified: map[[sha256.Size]byte]verified{},
	}
	_, _ = rand.Read(d.secret) // never fails: the runtime ends the process instead
	cost := bcrypt.MinCost
	for _, u := range users {
		d.users[u.name] = u
		if c, err := bcrypt.Cost(u.hash); err == nil {
			cost = max(cost, c)
		}
	}
	var err error
	if d.decoy, err = bcrypt.GenerateFromPassword([]byte(rand.Text()), cost); err != nil {
		return nil, fmt.Errorf("make the decoy of unknown names: %w", err)
	}
	return d, nil
}

// enter gives the user of these credentials, which came from that network: errLogin when they are wrong, errBusy when too
// many others wait to be told, errWrongs when too many wrong ones came from there. Who was verified a moment ago is let in
// whatever else goes on.
func (d *door) enter(ctx context.Context, from netip.Addr, name, password string) (user, error) {
	digest := d.digest(name, password)
	if u, ok := d.remembered(digest); ok {
		return u, nil
	}
	done, err := d.queue.wait(ctx, from)
	if err != nil {
		return user{}, err
	}
	defer done()
	if u, ok := d.remembered(digest); ok { // another request of the same person was faster
		return u, nil
	}
	u, known := d.users[name]
	hash := d.decoy
	if known {
		hash = u.hash
	}
	if err := bcrypt.CompareHashAndPassword(hash, []byte(password)); err != nil || !known {
		d.queue.wasWrong(from)
		return user{}, errLogin
	}
	d.remember(digest, u)
	return u, nil
}

func (d *door) digest(name, password string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, d.secret)
	mac.Write([]byte(name))
	mac.Write([]byte{0}) // stands in no name
	mac.Write([]byte(password))
	return [sha256.Size]byte(mac.Sum(nil))
}

// remembered tells whose credentials these are if they were verified. Every use keeps them in memory: users change with the
// process only, and whoever is at work must not have to queue with those who try wrong passwords.
func (d *door) remembered(digest [sha256.Size]byte) (user, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	v, ok := d.verified[digest]
	if !ok || !now.Before(v.until) {
		return user{}, false
	}
	d.verified[digest] = verified{v.user, now.Add(verifiedFor)}
	return v.user, true
}

func (d *door) remember(digest [sha256.Size]byte, u user) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if len(d.verified) >= maxVerified {
		for other, v := range d.verified {
			if !now.Before(v.until) {
				delete(d.verified, other)
			}
		}
	}
	if len(d.verified) < maxVerified {
		d.verified[digest] = verified{u, now.Add(verifiedFor)}
	}
}
