// Command balance answers whether an hour is complete: per source and hour of receipt, it holds the offsets that Kafka
// received against the rows that PostgreSQL has and against what stands in orders.v1, read by a reader of its own. What does not
// balance is named; what does is told to analysts on orders.completeness.v1. It only looks and counts: it changes nothing
// that it counts.
//
// One process works at a time, the holder of an advisory lock in PostgreSQL; others wait for it, ready.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/dbready"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
	"orderflow/pkg/store"
	"orderflow/schemas"
)

const service = "balance"

type settings struct {
	boot.Settings
	Bus      bus.Settings
	Store    store.Settings
	Registry registry.Settings
	Balance  Settings
}

// Settings of the balance itself.
type Settings struct {
	Every    time.Duration `env:"BALANCE_EVERY" envDefault:"30s" doc:"time between two checks; a fault of the recent hours is found within it"`
	Grace    time.Duration `env:"BALANCE_GRACE" envDefault:"2m" doc:"how long after its end an hour's offset ranges become final"`
	Deadline time.Duration `env:"BALANCE_DEADLINE" envDefault:"1h" doc:"how long after that an hour with open orders is told to be incomplete"`
	Recent   time.Duration `env:"BALANCE_RECENT" envDefault:"6h" doc:"hours that are counted in every check; older ones are, one after the other, within an hour"`
}

// Validate reports every mistake at once.
func (s *Settings) Validate() error {
	var errs []error
	if s.Every < time.Second || s.Every > 3*time.Minute {
		errs = append(errs, errors.New("BALANCE_EVERY: from 1s to 3m"))
	}
	if s.Grace < 0 || s.Grace > time.Hour {
		errs = append(errs, errors.New("BALANCE_GRACE: from 0s to 1h"))
	}
	if s.Deadline < 0 {
		errs = append(errs, errors.New("BALANCE_DEADLINE: not negative"))
	}
	if s.Recent < time.Hour || s.Recent > keep {
		errs = append(errs, errors.New("BALANCE_RECENT: from 1h to 360h"))
	}
	return errors.Join(errs...)
}

func main() {
	var cfg settings
	boot.Main(service, &cfg, func(ctx context.Context, p *boot.Process) error { return run(ctx, p, cfg) })
}

func run(ctx context.Context, p *boot.Process, cfg settings) error {
	asked, err := registry.New(cfg.Registry)
	if err != nil {
		return err
	}
	id, err := asked.Await(ctx, p, subject, schemas.CompletenessSchema)
	if err != nil {
		return err
	}
	db, stop, err := dbready.Open(ctx, p, cfg.Bus, cfg.Store.URL, topics()...)
	if err != nil {
		return err
	}
	defer stop()
	client, err := bus.NewClient(cfg.Bus, p.Log, p.Metrics, kgo.ClientID("orderflow-balance"))
	if err != nil {
		return err
	}
	defer client.Close()
	b := newBalance(p, cfg, db, client, reader{
		db: db, admin: kadm.NewClient(client), settings: cfg.Bus, log: p.Log, decode: published.NewDecoder(asked).Decode,
	}, id)
	return b.run(ctx, p.Health)
}

// topics are those whose offsets are what is counted: one of them made anew would be counted against the old one.
func topics() []string {
	all := []string{event.Orders}
	for _, source := range order.Sources {
		all = append(all, event.Received(source))
	}
	return all
}
