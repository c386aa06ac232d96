package worker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
)

// poll reads when the loop wants more, and lets no rebalance begin before the loop has what was read.
func (l *loop) poll(ctx context.Context) {
	for {
		select {
		case <-l.permit:
		case <-ctx.Done():
			return
		}
		fetches := l.client.PollRecords(ctx, l.lanes.limits.poll)
		taken := l.ask(func() { l.intake(fetches) })
		l.client.AllowRebalance()
		if !taken || fetches.IsClientClosed() {
			return
		}
	}
}

// wantsMore tells whether to read on. With enough lanes ready, not polling is better than pausing partitions: what the
// client has fetched stays at hand. While the gate is closed there is no use in reading, except for something to probe with.
func (l *loop) wantsMore() bool {
	return l.lanes.allParked() || l.policy.gate.free() && l.lanes.idle < l.lanes.limits.ready
}

// intake takes over what was polled.
func (l *loop) intake(fetches kgo.Fetches) {
	l.polling = false
	now := time.Now()
	fetches.EachError(func(topic string, partition int32, err error) {
		if l.stopping {
			return
		}
		l.log.Warn("fetch failed", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(err))
		if fatal := fatalFetch(err, l.Settings.Slot); fatal != nil {
			l.stop(fatal)
		}
	})
	fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
		p := l.lanes.partitions[place{fetched.Topic, fetched.Partition}]
		if p == nil || p.revoking || l.stopping {
			return // never ours, or not any more
		}
		for _, kafka := range fetched.Records {
			l.take(p, kafka, now)
		}
	})
}

func (l *loop) take(p *partition, kafka *kgo.Record, now time.Time) {
	r := &record{message: bus.FromRecord(kafka), epoch: kafka.LeaderEpoch, size: len(kafka.Value) + len(kafka.Key)}
	if kafka.Attrs.IsControl() {
		p.add(r)
		p.finish(r)
		return
	}
	for _, h := range kafka.Headers {
		r.size += len(h.Key) + len(h.Value)
	}
	r.key, r.revision, r.source = laneKey(r.message), r.message.Revision(), guardedSource(l.Service, r.message)
	l.lanes.add(p, r, now)
}
