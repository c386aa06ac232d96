package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// fetchBytes bounds what is read ahead of whoever works on it; a greater record comes alone.
	fetchBytes = 2 << 20
	// silence is how long brokers may give nothing where something is known to be; after each quiet they are asked why.
	silence = 30 * time.Second
	quiet   = 2 * time.Second
)

// span is a piece of one partition: from one offset to before another.
type span struct {
	partition int32
	from, end int64
	cut       bool  // the topic no longer keeps what came before from
	open      int64 // offsets behind end that are not committed, or stand behind what is not
}

// spansSince gives what each partition holds from a time on, up to the end of the last committed transaction.
func spansSince(ctx context.Context, client *kgo.Client, topic string, since time.Time) ([]span, error) {
	admin := kadm.NewClient(client)
	first, errFirst := admin.ListStartOffsets(ctx, topic)
	from, errFrom := admin.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic)
	end, errEnd := admin.ListCommittedOffsets(ctx, topic)
	last, errLast := admin.ListEndOffsets(ctx, topic)
	if err := cmp.Or(errFirst, errFrom, errEnd, errLast, first.Error(), from.Error(), end.Error(), last.Error()); err != nil {
		return nil, fmt.Errorf("ask for the offsets of %s: %w", topic, err)
	}
	var spans []span
	end.Each(func(o kadm.ListedOffset) {
		start, _ := first.Lookup(topic, o.Partition)
		after, _ := from.Lookup(topic, o.Partition)
		s := span{partition: o.Partition, from: max(start.Offset, after.Offset), end: o.Offset}
		if high, ok := last.Lookup(topic, o.Partition); ok {
			s.open = high.Offset - o.Offset
		}
		s.cut = start.Offset > 0 && s.from == start.Offset
		spans = append(spans, s)
	})
	if len(spans) == 0 {
		return nil, fmt.Errorf("ask for the offsets of %s: %w", topic, kerr.UnknownTopicOrPartition)
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.partition, b.partition) })
	return spans, nil
}

// errGone says that the topic let go of records while they were being read.
var errGone = errors.New("the topic's retention removed records that were still to be read: start again with a later --from")

// readSpan gives every committed record of a span in order; the client reads nothing else meanwhile. Progress is told by
// the offsets that were passed.
func readSpan(ctx context.Context, client *kgo.Client, topic string, s span, passed func(offsets int64), each func(*kgo.Record) error) error {
	if s.from >= s.end {
		return nil
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {s.partition: kgo.NewOffset().At(s.from)}})
	defer client.RemoveConsumePartitions(map[string][]int32{topic: {s.partition}})
	heard := time.Now()
	for next := s.from; next < s.end; {
		polling, cancel := context.WithTimeout(ctx, quiet)
		fetches := client.PollFetches(polling)
		cancel()
		before := next
		err := fetches.Err()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && time.Since(heard) < silence {
			err = nil
			if behind, asked := givenUp(ctx, client, topic, s.partition, next); asked == nil { // else the silence goes on
				next = min(behind, s.end)
			}
		}
		if err != nil {
			return fmt.Errorf("read %s/%d at %d: %w", topic, s.partition, next, readError(ctx, err))
		}
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			if r.Partition != s.partition {
				continue
			}
			next = min(r.Offset+1, s.end)
			if r.Attrs.IsControl() || r.Offset >= s.end {
				continue // it tells that nothing more comes before it
			}
			if err := each(r); err != nil {
				return err
			}
		}
		if next > before {
			heard = time.Now()
		}
		passed(next - before)
	}
	return nil
}

// givenUp asks the partition's leader what stands at an offset, and gives the offset behind it if that is nothing but records of
// transactions that were given up. A client never shows those; where a transaction that is still open keeps the marker of
// their end away too, it shows nothing at all.
func givenUp(ctx context.Context, client *kgo.Client, topic string, partition int32, offset int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, silence/3)
	defer cancel()
	known, err := kadm.NewClient(client).Metadata(ctx, topic)
	if err != nil {
		return offset, fmt.Errorf("ask for the leader: %w", err)
	}
	ask := kmsg.NewPtrFetchRequest()
	ask.IsolationLevel, ask.MinBytes, ask.MaxBytes, ask.SessionEpoch = 1, 1, fetchBytes, -1
	of := kmsg.NewFetchRequestTopic()
	of.Topic, of.TopicID = topic, known.Topics[topic].ID
	at := kmsg.NewFetchRequestTopicPartition()
	at.Partition, at.FetchOffset, at.PartitionMaxBytes = partition, offset, fetchBytes
	of.Partitions = append(of.Partitions, at)
	ask.Topics = append(ask.Topics, of)
	answer, err := client.Broker(int(known.Topics[topic].Partitions[partition].Leader)).RetriableRequest(ctx, ask)
	if err != nil {
		return offset, fmt.Errorf("ask the leader: %w", err)
	}
	topics := answer.(*kmsg.FetchResponse).Topics
	if len(topics) != 1 || len(topics[0].Partitions) != 1 {
		return offset, nil
	}
	stands, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: topic, Partition: partition,
	}, &topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if stands.Err != nil || len(stands.Records) > 0 {
		return offset, stands.Err // what stands there comes with the next poll
	}
	return max(next, offset), nil
}

func readError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, kerr.OffsetOutOfRange):
		return errGone
	case errors.Is(err, context.DeadlineExceeded): // of the poll
		return fmt.Errorf("the brokers gave nothing for %v: see that Kafka runs, then start again", silence)
	}
	return err
}
