// Ingest takes the pushes of the three senders over HTTP, proves them over the raw bytes, writes each order to its
// source's received topic, and answers in the sender's own dialect once all in-sync replicas have it. What it refuses it
// keeps in quarantine.
package main

import (
	"context"
	"fmt"
	"net"

	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/partner/okki"
)

func main() {
	cfg := &Settings{}
	boot.Main(service, cfg, func(ctx context.Context, p *boot.Process) error { return run(ctx, p, cfg) })
}

func run(ctx context.Context, p *boot.Process, cfg *Settings) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Ingest.Addr)
	if err != nil {
		return fmt.Errorf("INGEST_ADDR: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return takePushes(ctx, p, cfg, listener)
}

// takePushes serves pushes until ctx ends.
func takePushes(ctx context.Context, p *boot.Process, cfg *Settings, listener net.Listener) error {
	client, err := bus.NewClient(cfg.Kafka, p.Log, p.Metrics, clientOptions()...)
	if err != nil {
		return err
	}
	defer client.Close()
	prices, err := okki.New(cfg.OKKI)
	if err != nil {
		return err
	}
	ready := newReadiness(client, p.Health)
	door, err := newDoor(cfg, p, client, ready, prices)
	if err != nil {
		return err
	}
	go ready.watch(ctx)
	p.Log.Info("taking pushes", zap.Stringer("addr", listener.Addr()))
	return (&server{door, p.Health}).serve(ctx, listener)
}
