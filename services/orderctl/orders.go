package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
)

// ordersSettings say where the analysts' topic and its schemas are.
type ordersSettings struct {
	Kafka    bus.Settings
	Registry registry.Settings
}

func ordersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "orders",
		Short: "read the analysts' topic: follow it, export it",
		Long: `orders reads orders.v1, the analysts' topic: one record per order and revision, typed, with exact amounts and without
personal data. The greatest revision of an order wins. schemas/README.md tells what each field means.`,
	}
	cmd.AddCommand(tailCommand(), exportCommand())
	return cmd
}

// pingWithin is how long brokers may take to say that they are there.
const pingWithin = 10 * time.Second

// openOrders makes a client that reads committed transactions only, and the decoder of what it reads.
func openOrders(ctx context.Context, cfg ordersSettings, opts ...kgo.Opt) (*kgo.Client, *published.Decoder, error) {
	asked, err := registry.New(cfg.Registry)
	if err != nil {
		return nil, nil, err
	}
	client, err := openCommitted(ctx, cfg.Kafka, opts...)
	if err != nil {
		return nil, nil, err
	}
	return client, published.NewDecoder(asked), nil
}

// openCommitted makes a client that reads committed transactions only, of a Kafka that answers.
func openCommitted(ctx context.Context, cfg bus.Settings, opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := bus.NewClient(cfg, zap.NewNop(), nil, append([]kgo.Opt{
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchBytes), kgo.BrokerMaxReadBytes(8 * fetchBytes),
	}, opts...)...)
	if err != nil {
		return nil, err
	}
	pinging, cancel := context.WithTimeout(ctx, pingWithin)
	defer cancel()
	if err := client.Ping(pinging); err != nil {
		client.Close()
		return nil, fmt.Errorf("reach Kafka at %s: %w\n  next: see that it runs there; KAFKA_BROKERS names another address", strings.Join(cfg.Brokers, ","), err)
	}
	return client, nil
}
