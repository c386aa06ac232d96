// Package bustest gives tests a Kafka of their own: kfake on a free port, with every topic of the house. It starts in
// milliseconds, keeps its data in a folder of the test, and can be stopped and started again on the same port.
package bustest

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/freeport"
)

// Patience is how long a helper waits before it fails the test. It is long because the machine may be busy; nothing waits
// for it when all is well.
const Patience = 2 * time.Minute

// Broker is a Kafka for one test.
type Broker struct {
	Brokers  []string
	Settings bus.Settings
	Cluster  *kfake.Cluster // for faults and for looking inside

	t       testing.TB
	options []kfake.Opt
	client  []kgo.Opt // of every client
}

// Start starts a broker with all topics of the house and stops it when the test ends. Options are kfake's own.
func Start(t testing.TB, options ...kfake.Opt) *Broker {
	t.Helper()
	base := []kfake.Opt{
		kfake.NumBrokers(1), kfake.DataDir(t.TempDir()),
		kfake.BrokerConfigs(map[string]string{"group.consumer.heartbeat.interval.ms": "200"}),
	}
	b := &Broker{t: t, options: append(base, options...)}
	own := b.options
	for {
		port, err := freeport.Next(1) // a stopped broker finds its own free again
		if err == nil {
			b.options = append(slices.Clone(own), kfake.Ports(port))
			err = b.open()
		}
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("start broker: %v", err)
		}
	}
	t.Cleanup(b.Stop)
	b.apply()
	return b
}

// StartVirtual starts a broker that is reached through memory only, inside a testing/synctest bubble: there, time passes
// as soon as everybody waits. Clients need the options it gives beside the Settings.
func StartVirtual(t testing.TB, options ...kfake.Opt) (*Broker, []kgo.Opt) {
	t.Helper()
	network := &kfake.VirtualNetwork{}
	b := &Broker{t: t, client: []kgo.Opt{kgo.Dialer(network.DialContext)}}
	b.options = append([]kfake.Opt{kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen)}, options...)
	if err := b.open(); err != nil {
		t.Fatalf("start broker: %v", err)
	}
	t.Cleanup(b.Stop)
	b.apply()
	return b, b.client
}

func (b *Broker) apply() {
	b.t.Helper()
	client := b.Client()
	defer client.Close()
	if _, err := bus.Apply(b.Context(), client); err != nil {
		b.t.Fatalf("apply topics: %v", err)
	}
}

func (b *Broker) open() error {
	cluster, err := kfake.NewCluster(b.options...)
	if err != nil {
		return err
	}
	b.Cluster = cluster
	if b.Brokers == nil { // a restart keeps the addresses, and clients may be reading them
		b.Brokers = cluster.ListenAddrs()
		b.Settings = bus.Settings{Brokers: b.Brokers}
	}
	return nil
}

// Stop stops the broker, gracefully: its data stays. Stopping twice is harmless.
func (b *Broker) Stop() { b.Cluster.Close() }

// Restart starts a stopped broker again, on the same port with the same data. Faults are gone.
func (b *Broker) Restart() {
	b.t.Helper()
	if err := b.open(); err != nil {
		b.t.Fatalf("start broker again: %v", err)
	}
}

// Context is the test's context with the house's patience. It is not for a bubble's long waits.
func (b *Broker) Context() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), Patience)
	b.t.Cleanup(cancel)
	return ctx
}

// Client makes a client of this broker that is closed when the test ends.
func (b *Broker) Client(opts ...kgo.Opt) *kgo.Client {
	b.t.Helper()
	client, err := bus.NewClient(b.Settings, zap.NewNop(), nil, append(slices.Clone(b.client), opts...)...)
	if err != nil {
		b.t.Fatalf("make client: %v", err)
	}
	b.t.Cleanup(client.CloseAllowingRebalance)
	return client
}

// Produce writes the messages, each acknowledged.
func (b *Broker) Produce(messages ...event.Message) {
	b.t.Helper()
	client := b.Client()
	defer client.Close()
	if err := bus.Produce(b.Context(), client, messages...); err != nil {
		b.t.Fatal(err)
	}
}
