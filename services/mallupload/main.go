// Command mallupload carries shop orders to EZR: it reads mall.validated.v1, uploads batches of up to 100 orders of one
// shop (interface 2030, protocols 4), and publishes what became of each order on deliveries.v1. EZR answers for a batch as
// a whole; the order that spoils one is found by bisecting and goes to mallupload.dlq.v1, the others are delivered.
//
// A return waits while the sale that it takes back is known and not yet delivered, and goes to mallupload.dlq.v1 as
// sale_parked where the sale lies among the dead letters or was discarded. A return of a sale that nobody knows is sent;
// that EZR does not know the sale either (2103) is its end only after MAX_ATTEMPTS calls.
package main

import (
	"context"
	"time"

	"orderflow/pkg/boot"
	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/worker"
)

const (
	service = "mallupload"

	// handleTimeout is far beyond what the ledger allows a batch's calls and its settling.
	handleTimeout = 2 * time.Minute
)

func main() {
	var cfg settings
	boot.Main(service, &cfg, func(ctx context.Context, p *boot.Process) error { return run(ctx, p, cfg) })
}

func run(ctx context.Context, p *boot.Process, cfg settings) error {
	client, err := ezr.New(cfg.EZR)
	if err != nil {
		return err
	}
	desk, stop, err := delivery.Open(ctx, p, cfg.Settings, order.Mall, "ezr")
	if err != nil {
		return err
	}
	defer stop()
	desk.Prepare, desk.Send = prepare, newUploader(client, cfg.Limits).send
	defer desk.StartMending(ctx, p.Log)()
	w := worker.Worker{
		Service: service, Topics: []string{event.Validated(order.Mall)}, Handle: desk.Handle,
		GroupBy: shop, MaxBatch: ezr.MaxBatch, Linger: cfg.Limits.Linger, InFlight: cfg.Limits.inFlight(), Timeout: handleTimeout,
		Settings: cfg.Worker, Bus: cfg.Bus, Process: p,
	}
	return w.Run(ctx)
}
