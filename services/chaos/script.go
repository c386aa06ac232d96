package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// incident is one fault that was injected.
type incident struct {
	Kind   string
	From   time.Time
	Healed time.Time
	Err    error
}

// blow is a fault that the script can deal: strike does it, then it lasts, then heal undoes it.
type blow struct {
	kind   string
	lasts  [2]time.Duration
	strike func(ctx context.Context) error
	heal   func(ctx context.Context) error
}

// script deals faults from shuffled decks, one for services, one for brokers and PostgreSQL and one for partners, beside
// each other. The same seed deals the same faults for the same times; what they hit depends on the machine.
type script struct {
	stack    *stack
	partners *partners
	say      func(format string, args ...any)
	only     string // blows whose kind holds this text; empty: all

	mu        sync.Mutex
	incidents []incident
}

// Pauses between two faults of a deck.
const (
	pauseLeast = time.Second
	pauseMost  = 4 * time.Second
)

func seconds(least, most float64) [2]time.Duration {
	return [2]time.Duration{time.Duration(least * float64(time.Second)), time.Duration(most * float64(time.Second))}
}

// run deals until ctx ends. Whatever was struck is healed before it returns.
func (s *script) run(ctx context.Context, seed uint64, long bool) {
	var decks sync.WaitGroup
	for n, deck := range [][]blow{s.processes(long), s.backends(long), s.outages()} {
		deck = slices.DeleteFunc(deck, func(b blow) bool { return !strings.Contains(b.kind, s.only) })
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		decks.Go(func() { s.deal(ctx, r, deck) })
	}
	decks.Wait()
}

func (s *script) deal(ctx context.Context, r *rand.Rand, deck []blow) {
	if len(deck) == 0 {
		<-ctx.Done()
	}
	for ctx.Err() == nil {
		r.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, b := range deck {
			if !pause(ctx, between(r, pauseLeast, pauseMost)) {
				return
			}
			s.deliver(ctx, b, between(r, b.lasts[0], b.lasts[1]))
		}
	}
}

// deliver strikes, waits and heals, the last even if the run is over.
func (s *script) deliver(ctx context.Context, b blow, lasts time.Duration) {
	done := incident{Kind: b.kind, From: time.Now()}
	s.say("%s for %s", b.kind, lasts.Round(100*time.Millisecond))
	working := context.WithoutCancel(ctx)
	done.Err = b.strike(working)
	done.Healed = time.Now()
	pause(ctx, lasts)
	if b.heal != nil {
		if err := b.heal(working); err != nil && done.Err == nil {
			done.Err = err
		}
		done.Healed = time.Now()
	}
	if done.Err != nil {
		s.say("%s: %v", b.kind, done.Err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.incidents = append(s.incidents, done)
}

// processes are the blows against services.
func (s *script) processes(long bool) []blow {
	var deck []blow
	for _, name := range slices.Sorted(maps.Keys(s.stack.services)) {
		c := s.stack.services[name]
		if name == "sandbox" { // it keeps what it took in memory
			deck = append(deck, s.frozen("freeze both partners", c, seconds(2, 8)))
			continue
		}
		deck = append(deck, blow{kind: "kill " + name, lasts: seconds(1, 3), strike: func(context.Context) error { c.kill(false); return nil }})
		deck = append(deck, s.frozen("freeze "+name, c, seconds(2, 10)))
		if long && (name == "okkisync-0" || name == "mallupload-1") {
			deck = append(deck, s.frozen("freeze "+name+" beyond its lease", c, seconds(34, 40)))
		}
	}
	return deck
}

// backends are the blows against brokers and PostgreSQL. They never overlap, so that two replicas of three are there.
func (s *script) backends(long bool) []blow {
	var deck []blow
	for n, node := range s.stack.cluster.nodes {
		deck = append(deck, s.killedBroker(n, node))
		if n == 0 || long {
			deck = append(deck, s.frozen(fmt.Sprintf("freeze broker %d", n+1), node, seconds(2, 10)))
		}
	}
	return append(deck,
		s.killedDuringFreeze(0, "ingest"), s.killedDuringFreeze(1, "validate", "persist"),
		s.killedDuringFreeze(1, partnerWorkers...), s.killedDuringFreeze(2, partnerWorkers...),
		blow{kind: "kill PostgreSQL", lasts: seconds(0.5, 6), strike: func(context.Context) error { return s.stack.postgres.kill() }, heal: s.stack.postgres.heal},
		blow{kind: "freeze PostgreSQL", lasts: seconds(2, 8), strike: func(context.Context) error { return s.stack.postgres.freeze() }, heal: s.stack.postgres.heal},
	)
}

func (s *script) frozen(kind string, c *child, lasts [2]time.Duration) blow {
	return blow{kind, lasts, func(context.Context) error { c.freeze(); return nil }, func(context.Context) error { c.thaw(); return nil }}
}

// killedBroker keeps a broker down for a while and is over when all replicas are in sync again, so that never two are out.
func (s *script) killedBroker(n int, node *child) blow {
	return blow{
		fmt.Sprintf("kill broker %d", n+1), seconds(2, 6),
		func(ctx context.Context) error { node.kill(true); s.stack.cluster.awaitShrunk(ctx); return nil },
		func(ctx context.Context) error { node.release(); return s.stack.cluster.awaitInSync(ctx) },
	}
}

// partnerWorkers are all processes that call a partner.
var partnerWorkers = []string{"okkisync-0", "mallupload-0", "okkisync-1", "mallupload-1"}

// killedDuringFreeze kills services while a broker answers nothing: what they have under way to it is lost with them.
func (s *script) killedDuringFreeze(n int, names ...string) blow {
	node := s.stack.cluster.nodes[n]
	return blow{
		"kill " + strings.Join(names, ", ") + " beside a frozen broker", seconds(1, 4),
		func(ctx context.Context) error {
			node.freeze()
			pause(ctx, 1500*time.Millisecond)
			for _, name := range names {
				s.stack.services[name].kill(false)
			}
			return nil
		},
		func(ctx context.Context) error { node.thaw(); return s.stack.cluster.awaitInSync(ctx) },
	}
}

// outages are the blows of the partners.
func (s *script) outages() []blow {
	var deck []blow
	for _, partner := range []string{"okki", "ezr"} {
		add := func(kind string, lasts [2]time.Duration, f fault) {
			f.Partner = partner
			deck = append(deck, blow{
				partner + " " + kind, lasts,
				func(ctx context.Context) error { return s.partners.strike(ctx, partner, &f) },
				func(ctx context.Context) error { return s.partners.strike(ctx, partner, nil) },
			})
		}
		add("answers 500", seconds(2, 10), fault{Status: 500})
		add("answers 500 after taking the order", seconds(1, 4), fault{Status: 500, After: true})
		add("hangs", seconds(2, 8), fault{Hang: true})
		add("cuts the connection", seconds(2, 8), fault{Drop: true})
		add("cuts the connection after taking the order", seconds(1, 4), fault{Drop: true, After: true})
		add("is slow", seconds(3, 10), fault{DelayMS: 1200})
		add("is slow after taking the order", seconds(3, 8), fault{DelayMS: 1200, After: true})
		if partner == "ezr" {
			add("answers 407", seconds(2, 8), fault{Code: "407"})
		} else {
			add("is limited", seconds(2, 8), fault{Code: "7", SubCode: "accesscontrol.limited-by-api-access-count"})
		}
	}
	return deck
}
