// Console is where people look and act: where is my order, dead letters and their replays, receipts. It serves pages and the JSON API
// of interfaces.md section 5; what it changes, it writes to PostgreSQL with the name of who did it.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/privacy"
	"orderflow/pkg/ratelimit"
	"orderflow/pkg/receipt"
	"orderflow/pkg/store"
)

const service = "console"

type settings struct {
	boot.Settings
	Bus     bus.Settings
	Store   store.Settings
	Privacy privacy.Settings
	Receipt receipt.Settings
	Console Settings
}

func main() {
	var cfg settings
	boot.Main(service, &cfg, func(ctx context.Context, p *boot.Process) error { return run(ctx, p, cfg) })
}

func run(ctx context.Context, p *boot.Process, cfg settings) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Console.Addr)
	if err != nil {
		return fmt.Errorf("CONSOLE_ADDR: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return serveConsole(ctx, p, cfg, listener)
}

// serveConsole answers on the listener until ctx ends. It starts without Kafka and PostgreSQL, and says so where it needs
// them.
func serveConsole(ctx context.Context, p *boot.Process, cfg settings, listener net.Listener) error {
	users, errUsers := parseUsers(cfg.Console.Users)
	keys, errKeys := receipt.ParseKeys(cfg.Receipt.Keys)
	targets, errTargets := parseTargets(cfg.Console.WorkerOps)
	proxies, errProxies := parseProxies(cfg.Console.Proxies)
	if err := errors.Join(errUsers, errKeys, errTargets, errProxies); err != nil {
		return err
	}
	if len(users) == 0 {
		p.Log.Warn("CONSOLE_USERS is not set: nobody can log in, only receipts are answered")
	}
	db, err := store.Open(ctx, cfg.Store.URL)
	if err != nil {
		return err
	}
	defer db.Close()
	client, err := bus.NewClient(cfg.Bus, p.Log, p.Metrics, kgo.ClientID("orderflow-console"))
	if err != nil {
		return err
	}
	defer client.Close()
	door, err := newDoor(users)
	if err != nil {
		return err
	}
	personal, err := privacy.New(cfg.Privacy)
	if err != nil {
		return err
	}
	scraper := newScraper(targets)
	seen, err := newPages(cfg.Console.origins(), newFlow(client, cfg.Bus, p.Log), scraper)
	if err != nil {
		return err
	}
	rehearser := newRehearser(db)
	jobs := newRunner(db, personal, opener(p, cfg.Bus), rehearser.one, p.Log, cfg.Console)
	c := &console{
		log: p.Log, health: p.Health, metrics: newMetrics(p.Metrics), door: door, db: db, writer: store.NewWriter(db, personal),
		personal: personal, rehearser: rehearser,
		receipts: &receipts{keys: keys, db: db, records: newRecords(client, cfg.Bus, p.Log)}, strangers: ratelimit.New[netip.Addr](receiptRate, receiptBurst), wake: jobs.look,
		refused: newRefused(cfg.Bus, p.Log), pages: seen, proxies: proxies, vain: newVains(db.AddAudit, p.Log),
		approvalSize: cfg.Console.ApprovalSize, replayMaxTimes: cfg.Console.ReplayMaxTimes,
	}
	go watch(ctx, p.Health, db, client)
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { jobs.run(ctx) })
	running.Go(func() { scraper.run(ctx) })
	running.Go(func() { c.vain.run(ctx) })
	defer func() { stop(); running.Wait() }() // before the database is closed under them
	p.Log.Info("serving the console", zap.Stringer("addr", listener.Addr()), zap.Int("users", len(users)))
	return c.serve(ctx, listener, cfg.Console.origins())
}

// opener makes the clients of the replay jobs.
func opener(p *boot.Process, cfg bus.Settings) openFunc {
	return func(options ...kgo.Opt) (*kgo.Client, error) { return bus.NewClient(cfg, p.Log, nil, options...) }
}
