// Command validate judges every received push by its contract and writes the normalised documents and the analysts'
// records: <source>.received.v1 -> <source>.validated.v1 and orders.v1, in one Kafka transaction per batch. What breaks a stated rule goes to validate.dlq.v1 with an
// enumerated code and the JSON pointer of the field at fault.
package main

import (
	"context"
	"time"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/judge"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
	"orderflow/pkg/worker"
	"orderflow/schemas"
)

const service = "validate"

type settings struct {
	boot.Settings
	Bus      bus.Settings
	Registry registry.Settings
	Privacy  privacy.PseudonymSettings
	Worker   worker.Settings
}

func main() {
	var cfg settings
	boot.Main(service, &cfg, func(ctx context.Context, p *boot.Process) error { return run(ctx, p, cfg) })
}

func run(ctx context.Context, p *boot.Process, cfg settings) error {
	pseudonyms, err := privacy.NewPseudonyms(cfg.Privacy)
	if err != nil {
		return err
	}
	client, err := registry.New(cfg.Registry)
	if err != nil {
		return err
	}
	id, err := client.Await(ctx, p, published.Subject, schemas.OrderSchema)
	if err != nil {
		return err
	}
	work := transform{published.NewEncoder(id), pseudonyms, time.Now}
	loop := worker.Transactions{
		Service: service, Transform: work.apply, Stamp: judge.Stamp,
		Settings: cfg.Worker, Bus: cfg.Bus, Process: p,
	}
	for _, source := range order.Sources {
		loop.Topics = append(loop.Topics, event.Received(source))
	}
	return loop.Run(ctx)
}
