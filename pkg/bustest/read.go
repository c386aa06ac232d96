package bustest

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
)

// Wait reads a topic from its start, committed transactions only, until there are at least count messages, and fails the
// test when they do not come. Messages of one partition are in order.
func (b *Broker) Wait(topic string, count int) []event.Message {
	b.t.Helper()
	return b.WaitUntil(topic, func(all []event.Message) bool { return len(all) >= count })
}

// WaitUntil reads a topic like Wait until done says that the messages read so far suffice.
func (b *Broker) WaitUntil(topic string, done func(all []event.Message) bool) []event.Message {
	b.t.Helper()
	client := b.reader(topic)
	defer client.Close()
	ctx := b.Context()
	var all []event.Message
	for !done(all) {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			b.t.Fatalf("%s: still waiting after %s and %d messages", topic, Patience, len(all))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, bus.FromRecord(r))
			}
		})
	}
	return all
}

// Read gives everything that a topic holds now, committed transactions only, partition by partition.
func (b *Broker) Read(topic string) []event.Message {
	b.t.Helper()
	ctx := b.Context()
	client := b.reader(topic)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	if err != nil {
		b.t.Fatalf("%s: list ends: %v", topic, err)
	}
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Err != nil {
			b.t.Fatalf("%s: list ends: %v", topic, end.Err)
		}
		if end.Offset > 0 {
			left[end.Partition] = end.Offset
		}
	})
	var all []event.Message
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			b.t.Fatalf("%s: still reading after %s", topic, Patience)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			end, wanted := left[r.Partition]
			if wanted && !r.Attrs.IsControl() {
				all = append(all, bus.FromRecord(r))
			}
			if r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
	slices.SortStableFunc(all, func(a, b event.Message) int { return int(a.Partition) - int(b.Partition) })
	return all
}

// reader keeps control records, so that the end of a partition is seen even where a transaction's marker stands there.
func (b *Broker) reader(topic string) *kgo.Client {
	return b.Client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
}

// WaitCommitted waits until the group's committed offsets of a topic add up to at least total, and returns them by
// partition. (On a topic that was written in transactions their markers count too.)
func (b *Broker) WaitCommitted(group, topic string, total int64) map[int32]int64 {
	b.t.Helper()
	info, err := b.Cluster.WaitGroupInfo(b.Context(), group, func(info *kfake.GroupInfo) bool {
		var sum int64
		for _, offset := range commits(info, topic) {
			sum += offset
		}
		return sum >= total
	})
	if err != nil {
		b.t.Fatalf("group %s: commits of %s are %v, wanted %d in all: %v", group, topic, b.Committed(group, topic), total, err)
	}
	return commits(info, topic)
}

// Committed gives the group's committed offsets of a topic by partition.
func (b *Broker) Committed(group, topic string) map[int32]int64 {
	return commits(b.Cluster.GroupInfo(group), topic)
}

// WaitMembers waits until the group is stable with that many members.
func (b *Broker) WaitMembers(group string, members int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), Patience)
	defer cancel()
	if _, err := b.Cluster.WaitGroupStable(ctx, group, members); err != nil {
		b.t.Fatalf("group %s: not stable with %d members: %v", group, members, err)
	}
}

func commits(info *kfake.GroupInfo, topic string) map[int32]int64 {
	offsets := map[int32]int64{}
	if info == nil {
		return offsets
	}
	for partition, commit := range info.Commits[topic] {
		offsets[partition] = commit.Offset
	}
	return offsets
}
