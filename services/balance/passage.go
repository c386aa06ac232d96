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
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// passage finds out up to which received offset every service is done with a source's records, so that one without a row is
// lost and not merely under way. It trusts only what the services committed, and follows one moment through the house:
//
//  1. validate had committed up to here, so all that it made of these records is written: the ends of its topics are noted
//  2. the partner's worker has committed up to those ends, so all outcomes and letters are written: their ends are noted
//  3. persist has committed up to all these ends, so every row is written, or a letter of its own is: its end is noted
//  4. persist has committed up to that end too
//
// A moment that is not through yet is followed on in the next round. While a service is away nothing new passes, and nothing
// is called missing.
type passage struct {
	source   order.Source
	admin    *kadm.Client
	settings bus.Settings
	log      *zap.Logger

	known  store.Known // SeenAt is the reader's
	moment *moment
}

type moment struct {
	at     time.Time
	passed offsets // by validate
	leg    int
	goal   map[string]offsets // by topic: what has to be committed next
}

// partner is the worker that carries a source's orders on; "" where they are only stored.
func partner(source order.Source) string {
	for _, t := range bus.Topics() {
		if i := slices.IndexFunc(t.Consumers, func(name string) bool { return name != persist }); t.Name == event.Validated(source) && i >= 0 {
			return t.Consumers[i]
		}
	}
	return ""
}

const persist, validate = "persist", "validate"

// look follows the moment as far as it has come; now is the server's time of this moment.
func (p *passage) look(ctx context.Context, now time.Time) error {
	for range 2 { // the moment of the last round, and if that is through, this one
		if p.moment == nil {
			if err := p.begin(ctx, now); err != nil {
				return err
			}
		}
		through, err := p.follow(ctx)
		if err != nil || !through {
			return err
		}
		p.known.Passed, p.known.StoredAt = p.moment.passed, p.moment.at
		last := p.moment.at.Equal(now)
		p.moment = nil
		if last {
			return nil
		}
	}
	return nil
}

func (p *passage) begin(ctx context.Context, now time.Time) error {
	commits, err := p.commits(ctx, validate)
	if err != nil {
		return err
	}
	passed := offsets{}
	for partition, commit := range commits[event.Received(p.source)] {
		passed[partition] = commit.At
	}
	goal, err := p.ends(ctx, event.Validated(p.source), event.DeadLetters(validate))
	if err != nil {
		return err
	}
	p.moment = &moment{at: now, passed: passed, goal: goal}
	return nil
}

// follow tells whether the moment is through.
func (p *passage) follow(ctx context.Context) (bool, error) {
	m, worker := p.moment, partner(p.source)
	if m.leg == 0 {
		if worker != "" {
			validated := map[string]offsets{event.Validated(p.source): m.goal[event.Validated(p.source)]}
			if there, err := p.reached(ctx, worker, validated); err != nil || !there {
				return false, err
			}
			written, err := p.ends(ctx, event.Deliveries, event.DeadLetters(worker))
			if err != nil {
				return false, err
			}
			for topic, ends := range written {
				m.goal[topic] = ends
			}
		}
		m.leg = 1
	}
	if m.leg == 1 {
		if there, err := p.reached(ctx, persist, m.goal); err != nil || !there {
			return false, err
		}
		own, err := p.ends(ctx, event.DeadLetters(persist))
		if err != nil {
			return false, err
		}
		m.goal, m.leg = own, 2
	}
	return p.reached(ctx, persist, m.goal)
}

func (p *passage) ends(ctx context.Context, topics ...string) (map[string]offsets, error) {
	listed, err := p.admin.ListEndOffsets(ctx, topics...)
	all := map[string]offsets{}
	for _, topic := range topics {
		ends, err := list(listed, err)(topic)
		if err != nil {
			return nil, err
		}
		all[topic] = ends
	}
	return all, nil
}

func (p *passage) commits(ctx context.Context, group string) (kadm.OffsetResponses, error) {
	commits, err := p.admin.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) { // it has never run
		return nil, nil
	}
	if err := cmp.Or(err, commits.Error()); err != nil {
		return nil, fmt.Errorf("read commits of %s: %w", group, err)
	}
	return commits, nil
}

// reached tells whether a group has committed up to the ends. The markers that transactions leave at an end are never
// committed: a rest that holds nothing else counts as done.
func (p *passage) reached(ctx context.Context, group string, ends map[string]offsets) (bool, error) {
	commits, err := p.commits(ctx, group)
	if err != nil {
		return false, err
	}
	rest := map[string]map[int32]stretch{}
	for topic, partitions := range ends {
		for partition, end := range partitions {
			var from int64
			if commit, ok := commits.Lookup(topic, partition); ok {
				from = max(0, commit.At)
			}
			if from < end {
				if rest[topic] == nil {
					rest[topic] = map[int32]stretch{}
				}
				rest[topic][partition] = stretch{from, end}
			}
		}
	}
	if len(rest) == 0 {
		return true, nil
	}
	return p.onlyMarkers(ctx, rest)
}

// stretch is a part of a partition: from an offset up to, but not, another.
type stretch struct{ from, end int64 }

// Bounds of a look at the end of a topic.
const (
	lookWithin = 3 * time.Second
	lookBytes  = 64 << 10
	lookWait   = 200 * time.Millisecond
)

// onlyMarkers tells whether the stretches hold no record of a committed transaction.
func (p *passage) onlyMarkers(ctx context.Context, rest map[string]map[int32]stretch) (bool, error) {
	from, left := map[string]map[int32]kgo.Offset{}, 0
	for topic, partitions := range rest {
		from[topic] = map[int32]kgo.Offset{}
		for partition, part := range partitions {
			from[topic][partition] = kgo.NewOffset().At(part.from)
			left++
		}
	}
	client, err := bus.NewClient(p.settings, p.log, nil, kgo.ClientID("orderflow-balance-passage"), kgo.ConsumePartitions(from), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxPartitionBytes(lookBytes), kgo.FetchMaxWait(lookWait))
	if err != nil {
		return false, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	found := false
	for left > 0 && !found && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(record *kgo.Record) {
			part, waits := rest[record.Topic][record.Partition]
			switch {
			case !waits:
			case record.Offset < part.end && !record.Attrs.IsControl():
				found = true
			case record.Offset+1 >= part.end:
				delete(rest[record.Topic], record.Partition)
				left--
			}
		})
	}
	return left == 0 && !found, nil
}
