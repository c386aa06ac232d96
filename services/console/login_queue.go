package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"orderflow/pkg/ratelimit"
)

// How those who are not known yet are bounded.
const (
	hashesAtOnce = 2 // password hashes take a whole core each
	waitForHash  = 3 * time.Second
	wrongBurst   = 20              // wrong logins that one network may send at once
	wrongEvery   = 6 * time.Second // after them
)

// errWrongs says that so many wrong logins came from a network that nobody looks at more of them yet.
type errWrongs struct{ after time.Duration }

func (e errWrongs) Error() string {
	return fmt.Sprintf("too many wrong logins from there: again in %s", e.after)
}

// loginQueue gives out the few hashes that may run at once. A network has at most one of them, and waits for it with one
// request: however many others it sends, a stranger elsewhere finds a free hash, or stands right behind it.
type loginQueue struct {
	slots chan struct{} // handed on in the order of asking
	wrong *ratelimit.Buckets[netip.Addr]

	mu    sync.Mutex
	turns map[netip.Addr]*turn // of networks that ask right now
}

// turn lets the requests of one network through one after the other.
type turn struct {
	slot   chan struct{}
	asking int
}

func newLoginQueue() *loginQueue {
	return &loginQueue{
		slots: make(chan struct{}, hashesAtOnce), wrong: ratelimit.New[netip.Addr](1/wrongEvery.Seconds(), wrongBurst), turns: map[netip.Addr]*turn{},
	}
}

// wait returns when a hash may be computed for a network, errBusy when that takes too long, errWrongs when the network has
// to come back later. Done must be called after the hash.
func (q *loginQueue) wait(ctx context.Context, from netip.Addr) (done func(), err error) {
	if err := q.patience(from); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, waitForHash)
	defer cancel()
	own := q.join(from)
	if !take(ctx, own.slot) {
		q.part(from, own)
		return nil, errBusy
	}
	leave := func() { <-own.slot; q.part(from, own) }
	if err := q.patience(from); err != nil { // those before were wrong
		leave()
		return nil, err
	}
	if !take(ctx, q.slots) {
		leave()
		return nil, errBusy
	}
	return func() { <-q.slots; leave() }, nil
}

func take(ctx context.Context, slot chan struct{}) bool {
	select {
	case slot <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (q *loginQueue) patience(from netip.Addr) error {
	if after := q.wrong.Wait(from, time.Now()); after > 0 {
		return errWrongs{after}
	}
	return nil
}

// wasWrong counts a wrong login. A good one costs a network nothing.
func (q *loginQueue) wasWrong(from netip.Addr) { q.wrong.Allow(from, time.Now()) }

func (q *loginQueue) join(from netip.Addr) *turn {
	q.mu.Lock()
	defer q.mu.Unlock()
	own := q.turns[from]
	if own == nil {
		own = &turn{slot: make(chan struct{}, 1)}
		q.turns[from] = own
	}
	own.asking++
	return own
}

func (q *loginQueue) part(from netip.Addr, own *turn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if own.asking--; own.asking == 0 {
		delete(q.turns, from)
	}
}
