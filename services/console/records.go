package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/store"
)

const (
	readsAtOnce     = 8
	readWithin      = 3 * time.Second
	fetchPartition  = 64 << 10 // a single record is wanted; a larger batch comes whole all the same
	fetchAtOnce     = 8 << 20
	fetchMaxWait    = 100 * time.Millisecond
	recordsClientID = "orderflow-console-records"
)

// records reads single records by their places, a bounded number of readers at once.
type records struct {
	admin    *kadm.Client
	settings bus.Settings
	log      *zap.Logger
	slots    chan struct{}
}

func newRecords(client *kgo.Client, settings bus.Settings, log *zap.Logger) *records {
	return &records{kadm.NewClient(client), settings, log, make(chan struct{}, readsAtOnce)}
}

// read gives the records at those places of a topic; one that is gone, beyond the topic's retention, is left out. When Kafka
// does not answer in time the error is errKafka.
func (r *records) read(ctx context.Context, topic string, places []store.Place) (map[store.Place]event.Message, error) {
	if len(places) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, errKafka
	}
	places, err := r.there(ctx, topic, places)
	if err != nil || len(places) == 0 {
		return nil, err
	}
	return r.fetch(ctx, topic, newSearch(places))
}

// there leaves out the places where nothing lies: before the topic's first record, or beyond its last.
func (r *records) there(ctx context.Context, topic string, places []store.Place) ([]store.Place, error) {
	first, errFirst := r.admin.ListStartOffsets(ctx, topic)
	end, errEnd := r.admin.ListEndOffsets(ctx, topic)
	if err := cmp.Or(errFirst, errEnd, first.Error(), end.Error()); err != nil {
		r.log.Warn("offsets not listed", zap.String("topic", topic), zap.Error(err))
		return nil, errKafka
	}
	return slices.DeleteFunc(slices.Clone(places), func(p store.Place) bool {
		from, okFrom := first.Lookup(topic, p.Partition)
		to, okTo := end.Lookup(topic, p.Partition)
		return !okFrom || !okTo || p.Offset < from.Offset || p.Offset >= to.Offset
	}), nil
}

func (r *records) fetch(ctx context.Context, topic string, search *search) (map[store.Place]event.Message, error) {
	client, err := bus.NewClient(r.settings, r.log, nil, kgo.ClientID(recordsClientID),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: search.from()}), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxPartitionBytes(fetchPartition), kgo.FetchMaxBytes(fetchAtOnce), kgo.FetchMaxWait(fetchMaxWait))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for len(search.open) > 0 {
		fetches := client.PollFetches(ctx)
		for _, failed := range fetches.Errors() {
			if !errors.Is(failed.Err, kerr.OffsetOutOfRange) {
				r.log.Warn("record not read", zap.String("topic", topic), zap.Int32("partition", failed.Partition), zap.Error(failed.Err))
				return nil, errKafka
			}
			delete(search.open, failed.Partition)
		}
		fetches.EachRecord(search.take)
	}
	return search.found, nil
}

// search is what is still looked for: by partition, the first and the last wanted offset.
type search struct {
	open   map[int32]span
	wanted map[store.Place]bool
	found  map[store.Place]event.Message
}

type span struct{ first, last int64 }

func newSearch(places []store.Place) *search {
	s := &search{map[int32]span{}, map[store.Place]bool{}, map[store.Place]event.Message{}}
	for _, p := range places {
		s.wanted[p] = true
		part, ok := s.open[p.Partition]
		if !ok {
			part = span{p.Offset, p.Offset}
		}
		s.open[p.Partition] = span{min(part.first, p.Offset), max(part.last, p.Offset)}
	}
	return s
}

func (s *search) from() map[int32]kgo.Offset {
	offsets := map[int32]kgo.Offset{}
	for partition, part := range s.open {
		offsets[partition] = kgo.NewOffset().At(part.first)
	}
	return offsets
}

func (s *search) take(record *kgo.Record) {
	place := store.Place{Partition: record.Partition, Offset: record.Offset}
	if s.wanted[place] {
		s.found[place] = bus.FromRecord(record)
	}
	if part, ok := s.open[record.Partition]; ok && record.Offset >= part.last {
		delete(s.open, record.Partition)
	}
}
