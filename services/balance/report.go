package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/avro"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/registry"
	"orderflow/pkg/store"
	"orderflow/schemas"
)

// subject is where the registry keeps the schema of completeness records.
const subject = event.Completeness + "-value"

var schema = avro.MustParse(schemas.CompletenessSchema)

// completeness is what is told of one hour: a record of orders.completeness.v1. The greatest revision of an hour counts.
type completeness struct {
	Source     order.Source `avro:"source"`
	Hour       time.Time    `avro:"hour"`
	Revision   int          `avro:"revision"`
	Complete   bool         `avro:"complete"`
	Received   int64        `avro:"received"`
	Refused    int64        `avro:"refused"`
	Validated  int64        `avro:"validated"`
	Published  int64        `avro:"published"`
	Delivered  int64        `avro:"delivered"`
	Persisted  int64        `avro:"persisted"`
	Duplicate  int64        `avro:"duplicate"`
	Superseded int64        `avro:"superseded"`
	Parked     int64        `avro:"parked"`
	Discarded  int64        `avro:"discarded"`
	Open       int64        `avro:"open"`
	Missing    int64        `avro:"missing"`
	Faults     int64        `avro:"faults"`
	Accepted   int64        `avro:"accepted"`
	Sums       []sum        `avro:"sums"`
	SaidAt     time.Time    `avro:"said_at"`
}

type sum struct {
	Currency string `avro:"currency"`
	Records  int64  `avro:"records"`
	Total    string `avro:"total"` // exact
}

func completenessOf(h *store.BalanceHour, now time.Time) completeness {
	t := &h.Tally
	c := completeness{
		Source: h.Source, Hour: h.Hour, Revision: h.Revision + 1, Complete: h.State == store.HourClosed && t.Settled(),
		Received: t.Received, Refused: t.Refused, Validated: t.Validated, Published: t.Published,
		Delivered: t.Delivered, Persisted: t.Persisted, Duplicate: t.Duplicate, Superseded: t.Superseded, Parked: t.Parked, Discarded: t.Discarded,
		Open: t.Open, Missing: t.Missing, Faults: t.Faults, Accepted: t.Accepted, Sums: []sum{}, SaidAt: now.UTC().Truncate(time.Microsecond),
	}
	for _, s := range t.Sums {
		c.Sums = append(c.Sums, sum(s))
	}
	return c
}

// digest tells whether two records say the same, whenever and under whichever number.
func (c completeness) digest() []byte {
	c.Revision, c.SaidAt = 0, time.Time{}
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // texts and numbers
	}
	digest := sha256.Sum256(text)
	return digest[:]
}

// key is the record's key: compaction keeps what was said last of each hour.
func (c *completeness) key() string {
	return string(c.Source) + "/" + c.Hour.UTC().Format(time.RFC3339)
}

// correctionPause is how often an hour that stays incomplete is told again at most.
const correctionPause = 10 * time.Minute

// due tells whether there is something new to say of an hour: that it is complete, that it was said to be and is not, that
// its figures are others now, or that it is still not complete long after its end. What may be settled in a moment is not told.
func (s *Settings) due(h *store.BalanceHour, c *completeness, now time.Time) bool {
	switch {
	case h.State == store.HourOpen, bytes.Equal(h.Told, c.digest()):
		return false
	case c.Complete:
		return true
	case h.Complete: // it was
		return h.Tally.Faults > 0
	case h.State == store.HourClosed && h.Tally.Faults == 0:
		return false // the second witness is on its way
	}
	return !now.Before(s.ended(h.Hour).Add(s.Deadline)) && (h.Revision == 0 || now.Sub(h.ToldAt) >= correctionPause)
}

// report tells what there is to tell. A record is kept in PostgreSQL before it is sent: after a crash the same is sent again.
func (b *balance) report(ctx context.Context, hours []store.BalanceHour, now time.Time) error {
	var errs []error
	for i := range hours {
		h := &hours[i]
		c := completenessOf(h, now)
		if h.Pending != nil {
			c = completeness{}
			if err := json.Unmarshal(h.Pending, &c); err != nil {
				errs = append(errs, fmt.Errorf("read planned report: %w", err))
				continue
			}
		} else if !b.cfg.due(h, &c, now) {
			continue
		} else if planned, err := b.plan(ctx, &c); err != nil || !planned {
			errs = append(errs, err)
			continue
		}
		if err := b.send(ctx, h, &c); err != nil {
			errs = append(errs, err)
			break // Kafka or PostgreSQL is away
		}
	}
	return errors.Join(errs...)
}

func (b *balance) plan(ctx context.Context, c *completeness) (bool, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return false, fmt.Errorf("plan report: %w", err)
	}
	return b.db.PlanReport(ctx, c.Source, c.Hour, c.Revision, text)
}

func (b *balance) send(ctx context.Context, h *store.BalanceHour, c *completeness) error {
	value, err := registry.Append(nil, b.schemaID, schema, c)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := bus.Produce(ctx, b.client, c.message(value)); err != nil {
		return fmt.Errorf("send report: %w", err)
	}
	if err := b.db.ReportSent(ctx, c.Source, c.Hour, c.Revision, c.digest(), c.Complete, c.SaidAt); err != nil {
		return err
	}
	h.Revision, h.Told, h.Complete, h.ToldAt, h.Pending = c.Revision, c.digest(), c.Complete, c.SaidAt, nil
	b.metrics.told(c.Complete)
	b.log.Info("told how complete an hour is", zap.String("source", string(c.Source)), zap.Time("hour", c.Hour), zap.Int("revision", c.Revision),
		zap.Bool("complete", c.Complete), zap.Int64("open", c.Open), zap.Int64("faults", c.Faults))
	return nil
}

// message has the CloudEvents headers of the house; an hour is its subject.
func (c *completeness) message(value []byte) event.Message {
	m := event.Message{Topic: event.Completeness, Key: c.key(), Value: value}
	for _, h := range [][2]string{
		{event.HeaderSpecVersion, "1.0"},
		{event.HeaderID, fmt.Sprintf("%s@%d", c.key(), c.Revision)},
		{event.HeaderSource, "/orderflow/" + service},
		{event.HeaderType, event.Type(event.Completeness)},
		{event.HeaderTime, c.SaidAt.Format(time.RFC3339Nano)},
		{event.HeaderSubject, c.key()},
		{event.HeaderContentType, "application/vnd.confluent.avro"},
	} {
		m.Headers = append(m.Headers, event.Header{Key: h[0], Value: []byte(h[1])})
	}
	return m
}
