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
)

const (
	// fetchBytes bounds what is read ahead of whoever works on it; a greater record comes alone.
	fetchBytes = 2 << 20
	// silence is how long brokers may give nothing where something is known to be.
	silence = 30 * time.Second
)

// span is a piece of one partition: from one offset to before another.
type span struct {
	partition int32
	from, end int64
	cut       bool // the topic no longer keeps what came before from
}

// spansSince gives what each partition holds from a time on, up to the end of the last committed transaction.
func spansSince(ctx context.Context, client *kgo.Client, topic string, since time.Time) ([]span, error) {
	admin := kadm.NewClient(client)
	first, errFirst := admin.ListStartOffsets(ctx, topic)
	from, errFrom := admin.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic)
	end, errEnd := admin.ListCommittedOffsets(ctx, topic)
	if err := cmp.Or(errFirst, errFrom, errEnd, first.Error(), from.Error(), end.Error()); err != nil {
		return nil, fmt.Errorf("ask for the offsets of %s: %w", topic, err)
	}
	var spans []span
	end.Each(func(o kadm.ListedOffset) {
		start, _ := first.Lookup(topic, o.Partition)
		after, _ := from.Lookup(topic, o.Partition)
		s := span{partition: o.Partition, from: max(start.Offset, after.Offset), end: o.Offset}
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
	for next := s.from; next < s.end; {
		polling, cancel := context.WithTimeout(ctx, silence)
		fetches := client.PollFetches(polling)
		cancel()
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s/%d at %d: %w", topic, s.partition, next, readError(ctx, err))
		}
		before := next
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			if r.Partition != s.partition || r.Offset >= s.end {
				continue
			}
			next = r.Offset + 1
			if r.Attrs.IsControl() {
				continue // the end of a transaction; it also tells that nothing more comes before it
			}
			if err := each(r); err != nil {
				return err
			}
		}
		passed(next - before)
	}
	return nil
}

func readError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, kerr.OffsetOutOfRange):
		return errGone
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the brokers gave nothing for %v: see that Kafka runs, then start again", silence)
	}
	return err
}
