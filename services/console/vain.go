package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/store"
)

// How often the audit hears of the same attempt in vain.
const (
	refusedWindow = time.Minute
	loginWindow   = 10 * time.Minute
	vainTick      = 5 * time.Second
	vainWrite     = 5 * time.Second
	noPerson      = "-" // can be nobody's name
)

// vain is a kind of attempt in vain: an action that a role does not allow, or a wrong login. There are few kinds, whatever
// strangers send.
type vain struct {
	who, action, object, reason string
	window                      time.Duration
}

// vainCount is how often it was tried in a window, and how many of these the audit has heard of.
type vainCount struct {
	began       time.Time
	first       string // the object of the first attempt
	tried, told int
}

// vains keeps attempts in vain from filling the audit, which nobody can empty: of each kind it has a line at once, and one with
// the number of all others when the window has ended.
type vains struct {
	log   *zap.Logger
	write func(context.Context, store.AuditEntry) error
	wake  chan struct{}

	writing chan struct{} // one at a time, so that nothing is told twice
	mu      sync.Mutex
	counts  map[vain]*vainCount
}

func newVains(write func(context.Context, store.AuditEntry) error, log *zap.Logger) *vains {
	return &vains{log: log, write: write, wake: make(chan struct{}, 1), writing: make(chan struct{}, 1), counts: map[vain]*vainCount{}}
}

// add counts an attempt at first, which is the object in the line that is written at once. It tells whether that line is still
// to be written.
func (v *vains) add(kind vain, first string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	count := v.counts[kind]
	if count == nil {
		count = &vainCount{began: time.Now(), first: first}
		v.counts[kind] = count
	}
	count.tried++
	return count.told == 0
}

// addLater counts an attempt, and has the audit hear of it in the background: how long an answer takes must not tell whether a
// name is known.
func (v *vains) addLater(kind vain) {
	if v.add(kind, kind.object) {
		select {
		case v.wake <- struct{}{}:
		default:
		}
	}
}

// run writes until ctx ends, and then what is left.
func (v *vains) run(ctx context.Context) {
	ticker := time.NewTicker(vainTick)
	defer ticker.Stop()
	writing, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	context.AfterFunc(ctx, func() { time.AfterFunc(vainWrite, giveUp) }) // a stop waits for the database no longer than one write may take
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-v.wake:
		case <-ticker.C:
		}
		v.tell(writing, false)
	}
	v.tell(writing, true) // whatever was under way when ctx ended
}

// tell writes the lines that are due, or all. What the audit does not take stays, and is written later.
func (v *vains) tell(ctx context.Context, all bool) {
	ctx, cancel := context.WithTimeout(ctx, vainWrite)
	defer cancel()
	if !take(ctx, v.writing) {
		return
	}
	defer func() { <-v.writing }()
	now := time.Now()
	for kind, due := range v.due(now, all) {
		entry := store.AuditEntry{Who: kind.who, Action: kind.action, Object: due.first, Reason: kind.reason}
		if due.told > 0 {
			entry.Object = kind.object
		}
		if more := due.tried - due.told; due.told > 0 || more > 1 {
			entry.Reason = fmt.Sprintf("%s; times: %d", kind.reason, more)
		}
		if err := v.write(ctx, entry); err != nil {
			v.log.Warn("attempt in vain not audited yet", zap.String("cause", store.Describe(err)))
			return
		}
		v.told(kind, due, now)
	}
}

func (k vain) over(count vainCount, now time.Time) bool { return now.Sub(count.began) >= k.window }

// due are the counts that the audit has to hear of now. Those that are over without more to tell are forgotten.
func (v *vains) due(now time.Time, all bool) map[vain]vainCount {
	v.mu.Lock()
	defer v.mu.Unlock()
	due := map[vain]vainCount{}
	for kind, count := range v.counts {
		over := kind.over(*count, now)
		switch {
		case count.told < count.tried && (over || all || count.told == 0):
			due[kind] = *count
		case over:
			delete(v.counts, kind)
		}
	}
	return due
}

// told notes what was written. After the end of a window the next attempt begins a new one.
func (v *vains) told(kind vain, written vainCount, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	count := v.counts[kind]
	count.told = written.tried
	if !kind.over(written, now) {
		return
	}
	delete(v.counts, kind)
	if since := count.tried - written.tried; since > 0 {
		v.counts[kind] = &vainCount{began: now, first: kind.object, tried: since}
	}
}
