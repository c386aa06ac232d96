// Command okkisync carries ICBU orders to OKKI: it reads icbu.validated.v1, calls OKKI's order method over the Qimen
// gateway (protocols 2.3), one call per order and many at once, and publishes what became of each on deliveries.v1. An
// order that OKKI refuses goes to okkisync.dlq.v1; an outage shows as lag.
package main

import (
	"context"
	"time"

	"orderflow/pkg/boot"
	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner/okki"
	"orderflow/pkg/worker"
)

const (
	service = "okkisync"

	// inFlight calls at once, or LANES if that is less. OKKI publishes no limit; the gateway answers its flow limits with a
	// ban, which is obeyed.
	inFlight = 64
	// handleTimeout is far beyond what the ledger allows a call and its settling.
	handleTimeout = 2 * time.Minute
)

type settings struct {
	delivery.Settings
	OKKI okki.Settings
}

func main() {
	var cfg settings
	boot.Main(service, &cfg, func(ctx context.Context, p *boot.Process) error { return run(ctx, p, cfg) })
}

func run(ctx context.Context, p *boot.Process, cfg settings) error {
	client, err := okki.New(cfg.OKKI)
	if err != nil {
		return err
	}
	desk, stop, err := delivery.Open(ctx, p, cfg.Settings, order.ICBU, "okki")
	if err != nil {
		return err
	}
	defer stop()
	desk.Prepare, desk.Send = prepare, sendTo(client)
	defer desk.StartMending(ctx, p.Log)()
	w := worker.Worker{
		Service: service, Topics: []string{event.Validated(order.ICBU)}, Handle: desk.Handle,
		MaxBatch: 1, InFlight: min(inFlight, cfg.Worker.Lanes), Timeout: handleTimeout,
		Settings: cfg.Worker, Bus: cfg.Bus, Process: p,
	}
	return w.Run(ctx)
}
