package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/sender"
)

// load pushes orders as the three upstream systems do, each order in a story of its own, and writes every request and
// answer to the journal. A push that is not accepted is sent again, the same bytes, until it is.
type load struct {
	sender   *sender.Sender
	journal  *journal
	partners *partners
	stack    *stack
	rate     float64 // pushes a second, about
	refuse   bool    // have partners refuse some orders, and replay these letters
	decent   bool    // good orders only, from senders that mean well

	rand    *rand.Rand // of the ticker's goroutine only
	serial  int
	stories sync.WaitGroup
	open    atomic.Int64 // stories that have not ended
	sales   []author     // that a return may refer to
	replays *replayer
}

const (
	pushWithin   = 10 * time.Second
	againFirst   = 300 * time.Millisecond
	againLast    = 3 * time.Second
	pushesAStory = 1.7 // measured: what the rate is divided by
	shops        = 3

	decentPushesAStory = 1.15
)

// step is one push of a story.
type step struct {
	wait    time.Duration // after the step before
	kind    string
	content int
	verdict verdict
	code    string
}

// run starts stories until ctx ends, and returns when all of them have ended or give up ends.
func (l *load) run(ctx, giveUp context.Context) {
	pushes := pushesAStory
	if l.decent {
		pushes = decentPushesAStory
	}
	pace := time.Duration(float64(time.Second) * pushes / l.rate)
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for ctx.Err() == nil {
		l.begin(giveUp)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	l.stories.Wait()
}

// begin starts one story.
func (l *load) begin(ctx context.Context) {
	l.serial++
	r := rand.New(rand.NewPCG(l.rand.Uint64(), l.rand.Uint64()))
	if !l.decent && r.IntN(40) == 0 {
		l.story(func() { l.hostile(ctx, r) })
		return
	}
	a := author{source: order.Sources[r.IntN(len(order.Sources))], number: fmt.Sprintf("C%07d", l.serial), serial: l.serial, at: time.Now().AddDate(0, 0, -3)}
	if a.source == order.Mall {
		a.shop = fmt.Sprintf("HQS%04d", r.IntN(shops))
	}
	switch {
	case l.decent:
		l.story(func() { l.tell(ctx, a, decentPlan(r)) })
	case l.refuse && a.source != order.Procurement && r.IntN(60) == 0:
		l.story(func() { l.refused(ctx, a) })
	case l.refuse && a.source == order.Mall && r.IntN(60) == 0:
		l.story(func() { l.orphaned(ctx, a) })
	case a.source == order.Mall && r.IntN(4) == 0:
		l.batch(ctx, a, r)
	case a.source == order.Mall && r.IntN(8) == 0 && len(l.sales) > 0:
		sale := l.sales[r.IntN(len(l.sales))]
		a.shop, a.original = sale.shop, sale.number
		l.story(func() { l.tell(ctx, a, []step{{kind: "return", content: 1, verdict: good}}) })
	default:
		steps := plan(r, a.source)
		if a.source == order.Mall && len(steps) == 1 && steps[0].verdict == good && len(l.sales) < 500 {
			l.sales = append(l.sales, a)
		}
		l.story(func() { l.tell(ctx, a, steps) })
	}
}

func (l *load) story(tell func()) {
	l.open.Add(1)
	l.stories.Go(func() {
		defer l.open.Add(-1)
		tell()
	})
}

// plan draws what happens to one order: most are pushed once; some again with equal content, some with newer contents, a
// few with a former content once more, and one push in a hundred breaks a rule.
func plan(r *rand.Rand, source order.Source) []step {
	codes := faultsOf[source]
	faulty := step{kind: "bad", verdict: bad, code: codes[r.IntN(len(codes))]}
	newer := func(content int) step {
		return step{wait: between(r, 0, 15*time.Second), kind: "newer", content: content, verdict: good}
	}
	steps := []step{{kind: "new", content: 1, verdict: good}}
	equal := step{wait: between(r, 0, 10*time.Second), kind: "equal", content: 1, verdict: good}
	switch draw := r.IntN(200); {
	case draw < 90:
	case draw < 120:
		steps = append(steps, equal)
	case draw < 180:
		for content := 2; content < 3+r.IntN(3); content++ {
			steps = append(steps, newer(content))
		}
		if r.IntN(3) == 0 {
			last := steps[len(steps)-1]
			steps = append(steps, step{wait: equal.wait, kind: "equal", content: last.content, verdict: good})
		}
	case draw < 190:
		former := newer(1)
		former.kind = "former"
		steps = append(steps, newer(2), former)
	case draw < 192: // the newest is refused: the one before it stays
		faulty.wait, faulty.content = between(r, 0, 5*time.Second), 2
		steps = append(steps, faulty)
	case draw < 194: // a refused one in the middle
		faulty.wait, faulty.content = between(r, 0, 5*time.Second), 2
		steps = append(steps, faulty, newer(3))
	case draw < 196:
		faulty.content = 1
		steps = []step{faulty}
	default: // as fast as the sender can
		for content := 2; content < 8; content++ {
			steps = append(steps, step{kind: "newer", content: content, verdict: good})
		}
	}
	return steps
}

// decentPlan is one push, for some orders another of equal or newer content right behind it.
func decentPlan(r *rand.Rand) []step {
	steps := []step{{kind: "new", content: 1, verdict: good}}
	switch r.IntN(20) {
	case 0:
		steps = append(steps, step{kind: "equal", content: 1, verdict: good})
	case 1, 2:
		steps = append(steps, step{kind: "newer", content: 2, verdict: good})
	}
	return steps
}

// tell pushes one order's steps one after the other.
func (l *load) tell(ctx context.Context, a author, steps []step) {
	for _, s := range steps {
		if s.wait > 0 && !pause(ctx, s.wait) {
			return
		}
		if !l.push(ctx, s.kind, a.source, a.write(s.content, s.verdict, s.code)) {
			return
		}
	}
}

// batch pushes several new orders of a shop at once, then goes on with each of them.
func (l *load) batch(ctx context.Context, first author, r *rand.Rand) {
	authors, plans, docs := []author{first}, [][]step{plan(r, order.Mall)}, []document(nil)
	for n := range 1 + r.IntN(20) {
		a := first
		a.number, a.serial = fmt.Sprintf("%s-%d", first.number, n), first.serial*31+n
		authors = append(authors, a)
		rest := []step{{kind: "new", content: 1, verdict: good}}
		if n < 2 {
			rest = plan(r, order.Mall)
		}
		plans = append(plans, rest)
	}
	for i, a := range authors {
		s := plans[i][0]
		docs = append(docs, a.write(s.content, s.verdict, s.code))
	}
	l.story(func() {
		if !l.push(ctx, "new", order.Mall, docs...) {
			return
		}
		for i, a := range authors {
			if len(plans[i]) > 1 {
				l.story(func() { l.tell(ctx, a, plans[i][1:]) })
			}
		}
	})
}

// push sends the documents as one push until it is accepted; false when ctx ended first.
func (l *load) push(ctx context.Context, kind string, source order.Source, docs ...document) bool {
	body := docs[0].body
	if source == order.Mall {
		bodies := make([][]byte, len(docs))
		for i := range docs {
			bodies[i] = docs[i].body
		}
		body = append(append([]byte("["), bytes.Join(bodies, []byte(","))...), ']')
	}
	for wait := againFirst; ; wait = min(2*wait, againLast) {
		entry := attempt{At: time.Now().UTC(), Kind: kind, Docs: docs}
		sending, cancel := context.WithTimeout(ctx, pushWithin)
		answer, err := l.sender.Send(sending, sender.Push{Source: source, Body: body})
		cancel()
		entry.Took = time.Since(entry.At).Milliseconds()
		entry.Status, entry.Accepted, entry.Receipt = answer.Status, answer.Accepted, answer.Receipt
		if err != nil {
			entry.Error = err.Error()
		}
		l.journal.write(entry)
		if answer.Accepted {
			return true
		}
		if kind != "again" {
			kind = "again"
		}
		if !pause(ctx, wait) {
			return false
		}
	}
}
