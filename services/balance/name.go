package main

import (
	"context"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// Bounds of looking records up.
const (
	nameRounds = 20 // offsets of one partition
	nameWithin = 5 * time.Second
	nameBytes  = 1 << 10 // a broker gives at least one batch all the same
)

// nameOrders fills in the order keys that PostgreSQL does not know, from the received records themselves: as far as the time
// allows, and Kafka still has them.
func (b *balance) nameOrders(ctx context.Context, h *store.BalanceHour, faults []store.FaultyOffset) {
	ctx, cancel := context.WithTimeout(ctx, nameWithin)
	defer cancel()
	topic := event.Received(h.Source)
	start, err := list(b.admin.ListStartOffsets(ctx, topic))(topic)
	if err != nil {
		return // the next round names them
	}
	wanted := map[int32][]*store.FaultyOffset{}
	for i := range faults {
		if f := &faults[i]; f.OrderKey == "" && f.Offset >= start[f.Partition] && len(wanted[f.Partition]) < nameRounds {
			wanted[f.Partition] = append(wanted[f.Partition], f)
		}
	}
	for n := 0; len(wanted) > 0 && ctx.Err() == nil; n++ {
		from, round := map[int32]kgo.Offset{}, map[int32]*store.FaultyOffset{}
		for partition, all := range wanted {
			if n >= len(all) {
				delete(wanted, partition)
				continue
			}
			from[partition], round[partition] = kgo.NewOffset().At(all[n].Offset), all[n]
		}
		if len(round) > 0 {
			b.readKeys(ctx, topic, from, round)
		}
	}
}

func (b *balance) readKeys(ctx context.Context, topic string, from map[int32]kgo.Offset, wanted map[int32]*store.FaultyOffset) {
	client, err := bus.NewClient(b.settings, b.log, nil, kgo.ClientID("orderflow-balance-names"), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchMaxPartitionBytes(nameBytes))
	if err != nil {
		b.log.Warn("orders not named", zap.String("topic", topic), zap.Error(err))
		return
	}
	defer client.Close()
	for len(wanted) > 0 && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(record *kgo.Record) {
			f := wanted[record.Partition]
			if f == nil || record.Offset < f.Offset {
				return
			}
			if record.Offset == f.Offset {
				f.OrderKey = storable(string(record.Key))
			}
			delete(wanted, record.Partition)
		})
	}
}

// storable makes a key that PostgreSQL takes, as persist does.
func storable(key string) order.Key {
	return order.Key(strings.ReplaceAll(strings.ToValidUTF8(key, "\uFFFD"), "\x00", "\uFFFD"))
}
