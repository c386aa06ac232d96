package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

const (
	flowEvery    = 2 * time.Second // people who look at once share an answer
	flowWithin   = 4 * time.Second
	oldestWithin = time.Second
	pushedSince  = time.Hour
	flowClientID = "orderflow-console-flow"
)

// flow tells how much work waits before each worker, from Kafka alone: it is true while PostgreSQL and the workers are down.
type flow struct {
	admin    *kadm.Client
	settings bus.Settings
	log      *zap.Logger

	mu      sync.Mutex
	at      time.Time
	last    *flowView
	err     error
	samples samples
}

// flowView is the flow of orders at one moment.
type flowView struct {
	Pushed   []pushedOrders
	Stations map[string]station
}

// pushedOrders is how many orders a source pushed in the last hour.
type pushedOrders struct {
	Source order.Source
	Count  int64
	Rate   speed
}

// station is what waits before one service.
type station struct {
	Service string
	Workers int       // members of its consumer group
	Lag     int64     // offsets between what it has finished and what there is; some may be no records
	Rate    speed     // of what it finished; a transaction's mark counts as a record, where the service does not tell itself
	Oldest  time.Time // when the oldest unfinished record was written; zero: none, or not known
}

func newFlow(client *kgo.Client, settings bus.Settings, log *zap.Logger) *flow {
	return &flow{admin: kadm.NewClient(client), settings: settings, log: log}
}

// look gives the flow of this moment, or of a moment ago. When Kafka does not answer in time the error is errKafka.
func (f *flow) look(ctx context.Context) (*flowView, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.at) < flowEvery {
		return f.last, f.err
	}
	ctx, cancel := context.WithTimeout(ctx, flowWithin)
	defer cancel()
	seen, err := f.read(ctx)
	if err != nil {
		f.log.Warn("flow not read", zap.Error(err))
		seen, err = nil, errKafka
	}
	f.last, f.err, f.at = seen, err, time.Now()
	return seen, err
}

// read asks Kafka. Ends are read first and commits last, so that a lag is never more than it was.
func (f *flow) read(ctx context.Context) (*flowView, error) {
	services := workers()
	var topics, received []string
	for _, t := range bus.Topics() {
		if slices.ContainsFunc(t.Consumers, func(name string) bool { return slices.Contains(services, name) }) {
			topics = append(topics, t.Name)
		}
	}
	for _, source := range order.Sources {
		received = append(received, event.Received(source))
	}
	ends, errEnds := f.admin.ListCommittedOffsets(ctx, topics...)
	starts, errStarts := f.admin.ListStartOffsets(ctx, topics...)
	hour, errHour := f.admin.ListOffsetsAfterMilli(ctx, time.Now().Add(-pushedSince).UnixMilli(), received...)
	groups, errGroups := f.admin.DescribeGroups(ctx, services...)
	commits := f.admin.FetchManyOffsets(ctx, services...)
	err := cmp.Or(errEnds, errStarts, errHour, errGroups, ends.Error(), starts.Error(), hour.Error())
	for _, service := range services {
		for _, each := range []error{groups[service].Err, commits[service].Err} {
			if !errors.Is(each, kerr.GroupIDNotFound) { // no worker of this service has ever run
				err = cmp.Or(err, each)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	v := &flowView{Stations: map[string]station{}}
	now := sample{at: time.Now(), offsets: map[string]int64{}}
	for i, topic := range received {
		p := pushedOrders{Source: order.Sources[i]}
		ends.Each(func(end kadm.ListedOffset) {
			if end.Topic == topic {
				now.offsets[topic] += end.Offset
			}
		})
		hour.Each(func(first kadm.ListedOffset) {
			if end, ok := ends.Lookup(topic, first.Partition); ok && first.Topic == topic {
				p.Count += max(0, end.Offset-first.Offset)
			}
		})
		v.Pushed = append(v.Pushed, p)
	}
	for _, service := range services {
		now.offsets[service] = 0
		commits[service].Fetched.Each(func(commit kadm.OffsetResponse) { now.offsets[service] += max(0, commit.At) })
	}
	f.samples.add(now)
	for i, topic := range received {
		v.Pushed[i].Rate = f.samples.rate(topic)
	}
	var reading sync.WaitGroup
	var mu sync.Mutex
	for _, service := range services {
		s := station{Service: service, Workers: len(groups[service].Members), Rate: f.samples.rate(service)}
		ahead := waitingOf(service, starts, ends, commits[service].Fetched)
		reading.Go(func() {
			f.oldest(ctx, &s, ahead)
			mu.Lock()
			defer mu.Unlock()
			v.Stations[service] = s
		})
	}
	reading.Wait()
	return v, nil
}

// stretch is what waits in one partition: from the first unfinished offset to the end.
type stretch struct{ from, end int64 }

type partitionOf struct {
	topic     string
	partition int32
}

func waitingOf(service string, starts, ends kadm.ListedOffsets, commits kadm.OffsetResponses) map[partitionOf]stretch {
	waiting := map[partitionOf]stretch{}
	for _, t := range bus.Topics() {
		if !slices.Contains(t.Consumers, service) {
			continue
		}
		for partition, end := range ends[t.Name] {
			start, _ := starts.Lookup(t.Name, partition)
			from := start.Offset
			if commit, ok := commits.Lookup(t.Name, partition); ok {
				from = max(from, commit.At)
			}
			if from < end.Offset {
				waiting[partitionOf{t.Name, partition}] = stretch{from, end.Offset}
			}
		}
	}
	return waiting
}

// oldest reads the first record of each stretch, which tells since when it waits, and adds the lag up. A stretch may hold
// nothing but the marks that transactions leave behind: then nothing waits in it.
func (f *flow) oldest(ctx context.Context, s *station, ahead map[partitionOf]stretch) {
	defer func() {
		for _, part := range ahead {
			s.Lag += part.end - part.from
		}
	}()
	if len(ahead) == 0 {
		return
	}
	from := map[string]map[int32]kgo.Offset{}
	for at, part := range ahead {
		if from[at.topic] == nil {
			from[at.topic] = map[int32]kgo.Offset{}
		}
		from[at.topic][at.partition] = kgo.NewOffset().At(part.from)
	}
	client, err := bus.NewClient(f.settings, f.log, nil, kgo.ClientID(flowClientID), kgo.ConsumePartitions(from), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxPartitionBytes(fetchPartition), kgo.FetchMaxBytes(fetchAtOnce), kgo.FetchMaxWait(fetchMaxWait))
	if err != nil {
		f.log.Warn("oldest record not read", zap.String("service", s.Service), zap.Error(err))
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, oldestWithin)
	defer cancel()
	told := map[partitionOf]bool{}
	for len(told) < len(ahead) && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(record *kgo.Record) {
			at := partitionOf{record.Topic, record.Partition}
			part, waits := ahead[at]
			switch {
			case !waits || told[at]:
			case !record.Attrs.IsControl():
				told[at] = true
				if s.Oldest.IsZero() || record.Timestamp.Before(s.Oldest) {
					s.Oldest = record.Timestamp
				}
			case record.Offset+1 < part.end:
				ahead[at] = stretch{record.Offset + 1, part.end}
			default:
				delete(ahead, at)
			}
		})
	}
}
