package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"orderflow/pkg/order"
	"orderflow/pkg/sender"
)

// outage is one outside system away for a while, and nothing else. What it goes through is struck one after the other,
// each for an equal part of the time.
type outage struct {
	name   string
	lone   bool     // with a single order in the system
	groups []string // consumers that have to wait for it
	ways   []blow
	heal   func(ctx context.Context) error
	counts func(source string) bool // whose deliveries depend on it
}

// spell is an outage as it went.
type spell struct {
	outage
	from, healed, drained time.Time
	lag                   int64  // greatest of a group, in records
	lagging               string // that group
	late                  error  // what was still under way when the wait for the end was given up
}

const (
	warmUp   = 5 * time.Second // load before an outage
	lagEvery = time.Second
)

// outages are the trials of OUTAGES=1.
type outages struct {
	*trial
	serial int
	spells []spell
}

// awayInTurn lets each outside system be away once, under load; true when every law held and every outage was one.
func awayInTurn(ctx context.Context, cfg settings, root string, out io.Writer) (bool, error) {
	bin, remove, err := build(ctx, root, cfg.Mutant)
	if err != nil {
		return false, err
	}
	defer remove()
	lasts := time.Duration(cfg.Minutes * float64(time.Minute))
	o := &outages{trial: newTrial(cfg, root, bin, "one away at a time", lasts, "overwrite")}
	o.closes, o.last = true, cfg.Close
	rep, err := o.runWith(ctx, o.storm)
	if err != nil {
		return false, o.keep(err)
	}
	wrong := writeSpells(out, rep.seen, o.spells)
	rep.writeLaws(out)
	if wrong || len(rep.broken()) > 0 {
		fmt.Fprintf(out, "evidence: %s\n\n", o.dir)
		return false, nil
	}
	if !cfg.Keep {
		_ = os.RemoveAll(o.dir)
	}
	return true, nil
}

// list are the outages, in their order. A partner answers 503 for half of the time, hangs for a quarter and cuts every
// connection for the last one; PostgreSQL is stopped.
func (o *outages) list(s *stack, p *partners) []outage {
	away := func(partner string) (ways []blow) {
		for _, f := range []fault{{Status: 503}, {Status: 503}, {Hang: true}, {Drop: true}} {
			f.Partner = partner
			ways = append(ways, blow{strike: func(ctx context.Context) error { return p.strike(ctx, partner, &f) }})
		}
		return ways
	}
	back := func(partner string) func(context.Context) error {
		return func(ctx context.Context) error { return p.strike(ctx, partner, nil) }
	}
	icbu := func(source string) bool { return source == string(order.ICBU) }
	mall := func(source string) bool { return source == string(order.Mall) }
	everyone := func(string) bool { return true }
	stop := []blow{{strike: func(context.Context) error { return s.postgres.server.Stop() }}}
	return []outage{
		{"OKKI away", false, []string{"okkisync"}, away("okki"), back("okki"), icbu},
		{"EZR away", false, []string{"mallupload"}, away("ezr"), back("ezr"), mall},
		{"PostgreSQL away", false, []string{"persist", "okkisync", "mallupload"}, stop, s.postgres.heal, everyone},
		{"OKKI away, a single order", true, []string{"okkisync"}, away("okki"), back("okki"), icbu},
	}
}

// storm goes through all outages.
func (o *outages) storm(ctx context.Context, s *stack, p *partners, path string) (found []incident, at times, late, err error) {
	j, err := newJournal(path)
	if err != nil {
		return nil, at, nil, err
	}
	at.begun = time.Now()
	for n, away := range o.list(s, p) {
		one, err := o.through(ctx, s, p, j, away, uint64(n))
		if err != nil {
			return nil, at, nil, fmt.Errorf("%s: %w", away.name, err)
		}
		o.spells = append(o.spells, one)
		found = append(found, incident{Kind: one.name, From: one.from, Healed: one.healed})
		at.loadEnded, at.healed, at.drained = one.healed, one.healed, one.drained
		if one.late != nil {
			late = one.late
			break // what comes after it would be blamed for it
		}
	}
	return found, at, late, j.close()
}

// through goes through one outage: load, a while of health, the outage, health, and the wait until all has its end.
func (o *outages) through(ctx context.Context, s *stack, p *partners, j *journal, away outage, n uint64) (one spell, err error) {
	giveUp, stopStories := context.WithCancel(ctx)
	defer stopStories()
	loading, endLoad := context.WithCancel(ctx)
	defer endLoad()
	l := &load{
		sender: sender.New(s.ingest, s.secrets), journal: j, partners: p, stack: s, rate: o.rate, decent: true, serial: o.serial,
		rand: rand.New(rand.NewPCG(o.seed, 100+n)),
	}
	one = spell{outage: away}
	struck, loaded := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(loaded)
		if !away.lone {
			l.run(loading, giveUp)
			return
		}
		<-struck
		l.single(giveUp)
	}()
	watching, endWatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { one.watch(watching, s.cluster) })
	defer func() { endWatch(); watch.Wait(); o.serial = l.serial }()
	if !away.lone {
		pause(ctx, min(warmUp, o.lasts/2))
	}
	if err = o.strike(ctx, &one, struck); err == nil {
		endLoad()
		err = one.heal(context.WithoutCancel(ctx))
	}
	if one.healed = time.Now(); err != nil {
		stopStories()
		<-loaded
		return one, err
	}
	o.say("%s: over, waiting until all is drained", one.name)
	one.late = o.awaitDrained(ctx, s, l, loaded)
	stopStories()
	<-loaded
	one.drained = time.Now()
	o.say("%s: drained after %s", one.name, show(one.drained.Sub(one.healed)))
	return one, ctx.Err()
}

// strike goes through the ways of an outage; struck is closed once it is there.
func (o *outages) strike(ctx context.Context, one *spell, struck chan struct{}) error {
	defer func() {
		select {
		case <-struck:
		default:
			close(struck)
		}
	}()
	o.say("%s for %s", one.name, o.lasts)
	one.from = time.Now()
	for i, way := range one.ways {
		if err := way.strike(ctx); err != nil {
			return err
		}
		if i == 0 {
			close(struck)
		}
		if !pause(ctx, o.lasts/time.Duration(len(one.ways))) {
			return ctx.Err()
		}
	}
	return nil
}

// watch keeps the greatest lag of the groups that wait.
func (one *spell) watch(ctx context.Context, c *cluster) {
	for pause(ctx, lagEvery) {
		asking, cancel := context.WithTimeout(ctx, askWithin)
		lags, err := c.admin.Lag(asking, one.groups...)
		cancel()
		if err != nil {
			continue // the next look tells
		}
		for group, described := range lags {
			if lag := described.Lag.Total(); lag > one.lag {
				one.lag, one.lagging = lag, group
			}
		}
	}
}

// single pushes one good icbu order.
func (l *load) single(ctx context.Context) {
	l.serial++
	a := author{source: order.ICBU, number: fmt.Sprintf("C%07d", l.serial), serial: l.serial, at: time.Now().AddDate(0, 0, -3)}
	l.push(ctx, "new", a.source, a.write(1, good, ""))
}
