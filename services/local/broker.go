package main

import (
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kfake"
)

// startBroker runs the embedded broker on a fixed address with its data in dir. Every batch is synced to disk; killing
// this process is still weaker than killing a real broker: the idempotence windows of producers are written on a clean
// stop only, so a retried batch may appear twice.
func startBroker(addr, dir string) (*kfake.Cluster, error) {
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return net.Listen("tcp", addr) }),
		kfake.DataDir(dir),
		kfake.SyncWrites(),
		kfake.BrokerConfigs(map[string]string{"group.consumer.heartbeat.interval.ms": "1000"}),
	)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	return cluster, nil
}
