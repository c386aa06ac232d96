package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
	"orderflow/pkg/store"
)

// reader reads orders.v1 as an analyst would, committed transactions only, and keeps in PostgreSQL which received records
// it saw there. Its place is stored with what it saw, so a record counts once however often this process dies.
type reader struct {
	db       *store.Store
	admin    *kadm.Client
	settings bus.Settings
	log      *zap.Logger
	decode   func(ctx context.Context, value []byte) (published.Record, error)

	client *kgo.Client // nil: to be opened where PostgreSQL says
	saved  offsets     // as in PostgreSQL
	next   offsets     // what was read, markers included, and what is gone by retention
	goal   offsets     // the ends at goalAt; nil: take new ones
	goalAt time.Time
	seenAt time.Time // all that PostgreSQL had then has been looked for

	movedAt time.Time // when the goal was set, or something was read on the way there
	foreign int       // records of this round that tell too little to be counted
}

// Bounds of reading.
const (
	readAtOnce = 5000
	readWithin = 20 * time.Second // of one round
	readIdle   = 5 * time.Second  // without a record
	readWait   = 100 * time.Millisecond
	stuckAfter = 3 * time.Minute // far beyond validate's transactions, which Kafka aborts after one
)

// catchUp reads up to where the topic ends now, or as far as a round's time allows, and gives the received records that it saw.
// Now is the server's time of this moment.
func (r *reader) catchUp(ctx context.Context, now time.Time) (seen []store.Published, err error) {
	r.foreign = 0
	defer func() {
		if err != nil {
			r.close() // what was read and not stored is read again
		}
	}()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	end, err := list(r.admin.ListEndOffsets(ctx, event.Orders))(event.Orders)
	if err != nil {
		return nil, err
	}
	if r.goal == nil {
		r.goal, r.goalAt, r.movedAt = end, now, time.Now()
	}
	reading, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	for !r.reached(r.goal) && reading.Err() == nil {
		polling, stop := context.WithTimeout(reading, readIdle)
		fetches := r.client.PollRecords(polling, readAtOnce)
		stop()
		if err := ctx.Err(); err != nil {
			return seen, err
		}
		records, err := r.take(ctx, fetches)
		if err != nil {
			return seen, err
		}
		seen = append(seen, records...)
		if fetches.NumRecords() == 0 {
			break // what is still missing, such as the end of a transaction, is looked for in the next round
		}
	}
	if r.reached(r.goal) {
		r.seenAt, r.goal = r.goalAt, nil
	}
	return seen, nil
}

func (r *reader) reached(goal offsets) bool {
	for partition, end := range goal {
		if r.next[partition] < end {
			return false
		}
	}
	return true
}

// stuck says where the topic does not end although nothing more can be read there.
func (r *reader) stuck(now time.Time) error {
	if r.goal == nil || now.Sub(r.movedAt) < stuckAfter {
		return nil
	}
	for partition, end := range r.goal {
		if next := r.next[partition]; next < end {
			return fmt.Errorf("%s, partition %d: nothing to read from offset %d on, its end is %d: a transaction that nobody ends holds every reader "+
				"back (kafka-transactions.sh find-hanging, abort); no hour is closed before", event.Orders, partition, next, end)
		}
	}
	return nil
}

func (r *reader) open(ctx context.Context) error {
	if r.client != nil {
		return nil
	}
	saved, err := r.db.PublishedProgress(ctx)
	if err != nil {
		return err
	}
	start, err := list(r.admin.ListStartOffsets(ctx, event.Orders))(event.Orders)
	if err != nil {
		return err
	}
	from, next := map[int32]kgo.Offset{}, offsets{}
	for partition, first := range start {
		next[partition] = max(first, saved[partition])
		from[partition] = kgo.NewOffset().At(next[partition])
	}
	// Markers of transactions are kept: where they end a partition, so does the reading.
	client, err := bus.NewClient(r.settings, r.log, nil, kgo.ClientID("orderflow-balance-reader"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{event.Orders: from}), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(readWait))
	if err != nil {
		return err
	}
	r.client, r.saved, r.next, r.goal = client, saved, next, nil
	return nil
}

func (r *reader) close() {
	if r.client != nil {
		r.client.Close()
	}
	r.client = nil
}

// take stores what was fetched and how far that reaches.
func (r *reader) take(ctx context.Context, fetches kgo.Fetches) ([]store.Published, error) {
	for _, failed := range fetches.Errors() {
		if !errors.Is(failed.Err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("read %s: %w", event.Orders, failed.Err)
		}
	}
	var records []store.Published
	read := map[int32]store.Stretch{}
	for _, record := range fetches.Records() {
		read[record.Partition] = store.Stretch{From: r.saved[record.Partition], To: record.Offset + 1}
		if record.Attrs.IsControl() {
			continue
		}
		seen, ok, err := r.tell(ctx, record)
		if err != nil {
			return nil, err
		}
		if ok {
			records = append(records, seen)
		}
	}
	if len(read) == 0 {
		return nil, nil
	}
	if err := r.db.AddPublished(ctx, records, read); err != nil {
		return nil, err
	}
	for partition, part := range read {
		r.saved[partition], r.next[partition] = part.To, part.To
	}
	r.movedAt = time.Now()
	return records, nil
}

// tell says which received record a record came from, by its headers, and what it is worth, by its value. One that says
// neither is passed over: nothing can be counted by it.
func (r *reader) tell(ctx context.Context, record *kgo.Record) (store.Published, bool, error) {
	m := bus.FromRecord(record)
	meta, err := m.Meta()
	if err == nil && !slices.Contains(order.Sources, meta.OrderKey.Source()) {
		err = errors.New("its order key names no source of the house")
	}
	if err != nil {
		r.strange("record cannot be counted", record, err)
		return store.Published{}, false, nil
	}
	seen := store.Published{Source: meta.OrderKey.Source(), Partition: meta.ReceivedPartition, Offset: meta.ReceivedOffset, OrderKey: storable(string(meta.OrderKey))}
	value, err := r.decode(ctx, record.Value)
	switch {
	case errors.Is(err, registry.ErrUnreadable):
		r.strange("value cannot be read", record, err)
		return seen, true, nil
	case err != nil:
		return seen, false, err
	}
	seen.Currency = value.Currency
	if value.Total.Valid {
		seen.Total = value.Total.Decimal.String()
	}
	seen.Known, seen.Paid, seen.Discount, seen.ListPrice = true, value.Paid, value.Discount, value.ListPrice
	lines := make([]store.LineAmounts, len(value.Lines))
	for i := range value.Lines {
		l := &value.Lines[i]
		lines[i] = store.LineAmounts{No: l.LineNo, Amounts: [...]decimal.NullDecimal{l.Quantity, l.UnitPrice, l.ListPrice, l.Discount, l.Amount}}
	}
	seen.Lines, seen.LineSum = len(lines), store.LineSum(lines)
	return seen, true, nil
}

// strange counts a record that validate did not write, and tells of the first few of a round.
func (r *reader) strange(message string, record *kgo.Record, err error) {
	if r.foreign++; r.foreign <= maxLogged {
		r.log.Error(message, zap.String("topic", record.Topic), zap.Int32("partition", record.Partition), zap.Int64("offset", record.Offset), zap.Error(err))
	}
}
