package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"orderflow/pkg/sender"
)

// trial is one run: a stack, a load, a script, and the evidence of what came of it.
type trial struct {
	name     string
	root     string
	bin      string
	seed     uint64
	rate     float64
	lasts    time.Duration
	drain    time.Duration
	only     string // faults whose kind holds this text; empty: all
	existing string // how EZR deals with an order that it knows: overwrite or 2102
	say      func(format string, args ...any)
	closes   bool   // wait for hours that are over, or soon will be, to be closed
	last     bool   // and for the end of the last one
	dir      string // of logs and evidence; kept when a law is broken
}

// times of a trial.
type times struct {
	begun, loadEnded, healed, drained time.Time
}

// storm is what happens to a stack: it gives the faults, the times, and what had no end in time.
type storm func(ctx context.Context, s *stack, p *partners, path string) (found []incident, at times, late, err error)

// refusals are the settings of a run in which EZR takes no changes: when the load ends, newer contents are all that is left
// of mall, each ends as a letter, and the guard of letters would hold them for good.
func (t *trial) refusals() map[string]string {
	if t.existing != "2102" {
		return nil
	}
	return map[string]string{"DEAD_LETTER_RATIO": "1"}
}

// run goes through the trial and gives its report.
func (t *trial) run(ctx context.Context) (*report, error) { return t.runWith(ctx, t.storm) }

func (t *trial) runWith(ctx context.Context, storm storm) (rep *report, err error) {
	if t.dir, err = os.MkdirTemp("", "of-chaos-"); err != nil { // short: the path of a unix socket has little room
		return nil, err
	}
	began := time.Now()
	t.say("%s: starting three brokers, PostgreSQL and the services", t.name)
	s, err := startStack(ctx, t.root, t.bin, t.dir, t.refusals())
	defer s.end()
	if err != nil {
		return nil, err
	}
	p := newPartners(s.sandbox)
	if err := p.existing(ctx, t.existing); err != nil {
		return nil, err
	}
	t.say("ready after %s; %s of load and faults, seed %d", time.Since(began).Round(time.Second), t.lasts, t.seed)
	path := filepath.Join(t.dir, "pushes.jsonl")
	incidents, at, drainErr, err := storm(ctx, s, p, path)
	if err != nil {
		return nil, err
	}
	if t.closes && drainErr == nil {
		if err := t.awaitClosed(ctx, s, at.healed); err != nil {
			return nil, err
		}
	}
	seen, err := t.gather(ctx, s, p, path)
	if err != nil {
		return nil, err
	}
	if t.closes && drainErr == nil {
		seen.healed, seen.last = at.healed, t.last
	}
	rep = newReport(t, seen, incidents, at, drainErr)
	if len(rep.broken()) > 0 {
		if err := seen.dump(ctx, s.postgres.url(), filepath.Join(t.dir, "evidence.txt")); err != nil {
			return nil, err
		}
	}
	for name, c := range s.services {
		if n := c.unplanned(); n > 0 {
			rep.deaths[name] = n
		}
	}
	return rep, nil
}

// storm runs load and script, heals everything and waits until nothing is under way any more.
func (t *trial) storm(ctx context.Context, s *stack, p *partners, path string) (found []incident, at times, drained, err error) {
	j, err := newJournal(path)
	if err != nil {
		return nil, at, nil, err
	}
	replays, err := newReplayer(ctx, s.cluster.addrs, s.postgres.url())
	if err != nil {
		return nil, at, nil, err
	}
	defer replays.close()
	giveUp, stopStories := context.WithCancel(ctx)
	defer stopStories()
	l := &load{
		sender: sender.New(s.ingest, s.secrets), journal: j, partners: p, stack: s, rate: t.rate, refuse: true, replays: replays,
		rand: rand.New(rand.NewPCG(t.seed, 77)),
	}
	storming, endStorm := context.WithTimeout(ctx, t.lasts)
	defer endStorm()
	at.begun = time.Now()
	loaded := make(chan struct{})
	go func() { defer close(loaded); l.run(storming, giveUp) }()
	script := &script{stack: s, partners: p, say: t.say, only: t.only}
	script.run(storming, t.seed, t.lasts >= 5*time.Minute)
	if ctx.Err() != nil {
		stopStories()
		<-loaded
		return nil, at, nil, ctx.Err()
	}
	at.loadEnded = time.Now()
	t.say("healing; %d stories are open", l.open.Load())
	if err := s.heal(ctx); err != nil {
		stopStories()
		<-loaded
		return nil, at, nil, fmt.Errorf("heal: %w", err)
	}
	at.healed = time.Now()
	drained = t.awaitDrained(ctx, s, l, loaded)
	stopStories()
	<-loaded
	at.drained = time.Now()
	t.say("drained after %s", at.drained.Sub(at.healed).Round(100*time.Millisecond))
	return script.incidents, at, drained, j.close()
}

// awaitDrained waits until every story has ended and every record has its end.
func (t *trial) awaitDrained(ctx context.Context, s *stack, l *load, loaded <-chan struct{}) error {
	pool, err := pgxpool.New(ctx, s.postgres.url())
	if err != nil {
		return err
	}
	defer pool.Close()
	return eventually(ctx, t.drain, "everything has its end", func() error {
		select {
		case <-loaded:
		default:
			return fmt.Errorf("%d stories are open", l.open.Load())
		}
		var rows, open, unsettled, dirty int64
		err := pool.QueryRow(ctx, `select count(*), count(*) filter (where end_state is null),
			(select count(*) from deliveries where state <> 'settled'), (select count(*) from `+newestDirty+`) from received`).Scan(&rows, &open, &unsettled, &dirty)
		if err != nil {
			return err
		}
		if dirty > 0 {
			return fmt.Errorf("%d deliveries are to be made once more", dirty)
		}
		asking, cancel := context.WithTimeout(ctx, askWithin)
		defer cancel()
		ends, err := s.cluster.admin.ListEndOffsets(asking, receivedTopics...)
		if err != nil {
			return err
		}
		var written int64
		for _, partitions := range ends {
			for _, p := range partitions {
				written += p.Offset
			}
		}
		if open > 0 || rows != written || unsettled > 0 {
			return fmt.Errorf("%d records are written, %d are in PostgreSQL, %d of these without an end; %d deliveries are not settled", written, rows, open, unsettled)
		}
		return counted(ctx, pool, written)
	})
}
