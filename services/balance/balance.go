package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// balance counts, round after round.
type balance struct {
	cfg      Settings
	settings bus.Settings
	db       *store.Store
	client   *kgo.Client
	admin    *kadm.Client
	log      *zap.Logger
	metrics  *metrics
	passages map[order.Source]*passage
	reader   reader
	schemaID int // of completeness records
	now      func() time.Time
	round    int
	alarmed  map[hourID]int64 // hours at fault that were logged, and how many faults they had
}

type hourID struct {
	source order.Source
	hour   time.Time
}

func newBalance(p *boot.Process, cfg settings, db *store.Store, client *kgo.Client, r reader, schemaID int) *balance {
	b := &balance{
		cfg: cfg.Balance, settings: cfg.Bus, db: db, client: client, admin: kadm.NewClient(client), log: p.Log, metrics: newMetrics(p.Metrics),
		passages: map[order.Source]*passage{}, reader: r, schemaID: schemaID, now: time.Now, alarmed: map[hourID]int64{},
	}
	for _, source := range order.Sources {
		b.passages[source] = &passage{source: source, admin: b.admin, settings: cfg.Bus, log: p.Log}
	}
	return b
}

const condition = "balance"

// run holds the right to balance and checks, again and again, until ctx ends.
func (b *balance) run(ctx context.Context, health *boot.Health) error {
	defer b.reader.close()
	for {
		hold, err := b.db.HoldBalance(ctx)
		if err == nil {
			b.log.Info("balancing")
			err = b.work(ctx, hold, health)
			hold.Release()
			b.metrics.active.Set(0)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, store.ErrHeld) {
			err = nil // it waits, as it should
		}
		health.Set(condition, describe(err))
		if pause(ctx, b.cfg.Every/3) != nil {
			return context.Cause(ctx)
		}
	}
}

// work checks until the right is lost. A check that fails is done again in the next round.
func (b *balance) work(ctx context.Context, hold *store.BalanceHold, health *boot.Health) error {
	b.reader.close() // somebody else may have read on
	b.metrics.active.Set(1)
	for {
		if err := hold.Check(ctx); err != nil {
			return err
		}
		began := time.Now()
		err := b.check(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.metrics.checked(time.Since(began), err)
		health.Set(condition, describe(err))
		if err != nil {
			b.log.Warn("check not finished", zap.Error(describe(err)), zap.Duration("took", time.Since(began)))
		}
		if err := pause(ctx, b.cfg.Every-time.Since(began)); err != nil {
			return err
		}
	}
}

// describe keeps what a database quotes out of logs and health.
func describe(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(store.Describe(err))
}

// check is one round: what orders.v1 has, how far the services are, what came in, what became of each offset, and what there
// is to tell. A part that fails does not keep the others from being looked at, with what was known before.
func (b *balance) check(ctx context.Context) error {
	b.round++
	asOf, err := b.db.Now(ctx)
	if err != nil {
		return err
	}
	seen, err := b.reader.catchUp(ctx, asOf)
	b.metrics.foreign.Add(float64(b.reader.foreign))
	errs := []error{err, b.reader.stuck(time.Now())}
	if asOf, err = b.db.Now(ctx); err != nil { // so that what was seen just now is held against PostgreSQL at once
		return errors.Join(append(errs, err)...)
	}
	for _, source := range order.Sources {
		if err := b.passages[source].look(ctx, asOf); err != nil {
			errs = append(errs, err)
		}
	}
	now := b.now()
	var all []store.BalanceHour
	for _, source := range order.Sources {
		hours, err := b.checkSource(ctx, source, seen, asOf, now)
		errs = append(errs, err)
		all = append(all, hours...)
	}
	errs = append(errs, b.report(ctx, all, now))
	b.metrics.show(all, now)
	_, err = b.db.ForgetPublished(ctx, hourOf(now.Add(-keep)))
	return errors.Join(append(errs, err)...)
}

// checkSource counts the hours of a source whose turn it is, and gives all of them.
func (b *balance) checkSource(ctx context.Context, source order.Source, seen []store.Published, asOf, now time.Time) ([]store.BalanceHour, error) {
	hours, err := b.db.BalanceHours(ctx, source, hourOf(now.Add(-keep)))
	if err != nil {
		return nil, err
	}
	if hours, err = b.ranges(ctx, source, hours, now); err != nil || len(hours) == 0 {
		return hours, err
	}
	stray, err := b.stray(ctx, hours, asOf)
	if err != nil {
		return hours, err
	}
	accepted, err := b.db.AcceptedFaults(ctx, source, hours[0].Hour)
	if err != nil {
		return hours, err
	}
	var due []int
	recorded := newTouched(source, seen)
	for i := range hours {
		if touched := recorded.within(hours[i].Ranges) || len(stray[hours[i].Hour]) > 0; b.cfg.turn(&hours[i], now, b.round, touched) {
			due = append(due, i)
		}
	}
	chosen := make([]store.BalanceHour, len(due))
	for n, i := range due {
		chosen[n] = hours[i]
	}
	if err := b.strayOrders(ctx, source, chosen, stray); err != nil {
		return hours, err
	}
	known := b.passages[source].known
	known.SeenAt = b.reader.seenAt
	for _, batch := range batches(chosen) {
		tallies, err := b.db.CountHours(ctx, source, bus.Generation(event.Received(source)), batch, known)
		if err != nil {
			return hours, err
		}
		for n := range batch {
			h := &hours[due[0]]
			due = due[1:]
			h.Tally = tallies[n]
			if err := b.settle(ctx, h, known, stray[h.Hour], of(accepted, h.Hour)); err != nil {
				return hours, err
			}
		}
	}
	return hours, nil
}

// maxNamed is how many offsets of an hour are named at most.
const maxNamed = 100

// settle names what does not balance in an hour that was counted, and stores it. What a person accepted is named beside that.
func (b *balance) settle(ctx context.Context, h *store.BalanceHour, known store.Known, stray []store.FaultyOffset, accepted []store.AcceptedFault) error {
	most := maxNamed + len(accepted)
	var faults []store.FaultyOffset
	if h.Tally.Faults > 0 || h.State != store.HourOpen && h.Tally.Open > 0 {
		var err error
		if faults, err = b.db.NameOffsets(ctx, h, known, most); err != nil {
			return err
		}
		b.nameOrders(ctx, h, faults)
	}
	h.Tally.Faults += int64(len(stray))
	faults = append(stray, faults...)
	h.Tally.Accept(h.Hour, faults, accepted)
	h.State = after(h.State, &h.Tally)
	b.alarm(h, faults)
	return b.db.SaveTally(ctx, h, faults[:min(len(faults), most)])
}

// maxLogged is how many offsets of an hour, and strange records of a round, are told in the log.
const maxLogged = 5

// alarm says in the log what does not balance, once, and once more when it balances again.
func (b *balance) alarm(h *store.BalanceHour, faults []store.FaultyOffset) {
	id := hourID{h.Source, h.Hour}
	if before := b.alarmed[id]; before == h.Tally.Faults {
		return
	}
	fields := []zap.Field{zap.String("source", string(h.Source)), zap.Time("hour", h.Hour), zap.Int64("faults", h.Tally.Faults), zap.Int64("accepted", h.Tally.Accepted)}
	if h.Tally.Balanced() {
		delete(b.alarmed, id)
		b.log.Info("the hour balances again", fields...)
		return
	}
	b.alarmed[id] = h.Tally.Faults
	for _, f := range faults[:min(len(faults), maxLogged)] {
		if f.Fault != store.StillOpen {
			b.log.Error("the hour does not balance", append(slices.Clone(fields), zap.String("code", string(f.Fault)), zap.String("order_key", string(f.OrderKey)),
				zap.String("topic", event.Received(h.Source)), zap.Int32("partition", f.Partition), zap.Int64("offset", f.Offset))...)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for the next check: %w", context.Cause(ctx))
	case <-timer.C:
		return nil
	}
}
