package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/fact"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// unreadableLetter is the code of a record of a dead-letter topic that no worker of ours wrote.
const unreadableLetter = "unreadable_letter"

const (
	maxText   = 512
	maxCount  = 1 << 20
	firstYear = 1970
	lastYear  = 9999
)

// letterFact makes the fact of any record of a dead-letter topic. It cannot fail: what is unreadable is left out, texts
// are made storable, and a letter whose order is not known has no order key and revision.
func letterFact(m event.Message) store.Fact {
	l, err := deadletter.Parse(m)
	if err != nil {
		l = strange(m, l)
	}
	l.Stage, l.Code, l.Path, l.Detail = clean(l.Stage), clean(l.Code), clean(l.Path), clean(l.Detail)
	l.Class, l.Message, l.Version = clean(l.Class), clean(l.Message), clean(l.Version)
	l.Origin.Topic = clean(l.Origin.Topic)
	l.Attempts, l.Replays = bounded(l.Attempts), bounded(l.Replays)
	l.Last = sane(l.Last, sane(m.Timestamp, time.Now()))
	l.First = sane(l.First, l.Last)
	l.Origin.Timestamp = sane(l.Origin.Timestamp, l.First)
	fact := store.Fact{Service: l.Stage, Letter: &store.Letter{Letter: l, Record: m}}
	if err == nil {
		fact.Meta = letterMeta(&l.Origin)
	}
	fact.Letter.Excerpt = excerpt(sourceOf(&l.Origin, fact.Meta.OrderKey), l.Origin.Value)
	return fact
}

// strange is what can be told of a record that is no letter of ours: its own place stands for the origin's.
func strange(m event.Message, l deadletter.Letter) deadletter.Letter {
	l.Origin.Topic, l.Origin.Partition, l.Origin.Offset, l.Origin.Timestamp = m.Topic, m.Partition, m.Offset, m.Timestamp
	l.Stage = strings.TrimSuffix(m.Topic, ".dlq.v1")
	if l.Code == "" {
		l.Code = unreadableLetter
	}
	l.Message = "the letter's headers are unreadable"
	l.Replays = 0
	return l
}

// letterMeta tells which revision a letter is about: its headers do, or for a record of a received topic its origin. The
// zero Meta says that nothing does.
func letterMeta(origin *event.Message) event.Meta {
	meta, err := origin.Meta()
	if err != nil {
		if _, received := strings.CutSuffix(origin.Topic, ".received.v1"); !received {
			return event.Meta{}
		}
		meta = origin.ReceivedMeta(bus.Generation(origin.Topic))
	}
	if meta.OrderKey == "" || len(meta.OrderKey) > fact.MaxKey {
		return event.Meta{}
	}
	meta.OrderKey = order.Key(storable(string(meta.OrderKey)))
	meta.Digest, meta.PushID = clean(meta.Digest), clean(meta.PushID)
	meta.ReplayJob, meta.ReplayLetter = clean(meta.ReplayJob), clean(meta.ReplayLetter)
	meta.ReceivedAt = sane(meta.ReceivedAt, origin.Timestamp)
	return meta
}

// keepLetters has letters written, by themselves without their order where that fails, and gives up on a letter at last:
// it remains in its topic. Only an outage is an error.
func (k *keeper) keepLetters(ctx context.Context, facts []store.Fact) []error {
	errs := make([]error, len(facts))
	var linked []store.Fact
	var of []int
	for i := range facts {
		if facts[i].Meta.OrderKey == "" {
			errs[i] = k.keepAlone(ctx, &facts[i])
			continue
		}
		linked, of = append(linked, facts[i]), append(of, i)
	}
	if len(linked) == 0 {
		return errs
	}
	for n, err := range k.applyLetters(ctx, linked) {
		switch {
		case err == nil:
		case innocent(err):
			errs[of[n]] = verdict(ctx, err)
		default:
			errs[of[n]] = k.keepAlone(ctx, &linked[n])
		}
	}
	return errs
}

// errPanicked says that the writing of letters panicked, which the loop would make a letter of.
var errPanicked = errors.New("panicked")

// innocent tells whether an error says nothing about the letter itself.
func innocent(err error) bool {
	return !errors.Is(err, errPanicked) && store.Classify(err) == store.Outage
}

func (k *keeper) applyLetters(ctx context.Context, facts []store.Fact) (errs []error) {
	defer func() {
		if value := recover(); value != nil {
			k.log.Error("writing letters panicked", zap.String("code", string(worker.PanicCode)), zap.String("panic", fmt.Sprintf("%T", value)))
			errs = make([]error, len(facts))
			for i := range errs {
				errs[i] = errPanicked
			}
		}
	}()
	return k.writer.Apply(ctx, facts)
}

func (k *keeper) keepAlone(ctx context.Context, f *store.Fact) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = k.giveUp(f, errPanicked)
		}
	}()
	err = k.writer.AddLetter(ctx, f.Letter)
	switch {
	case err == nil:
		return nil
	case innocent(err):
		return verdict(ctx, err)
	default:
		return k.giveUp(f, err)
	}
}

func (k *keeper) giveUp(f *store.Fact, err error) error {
	record := &f.Letter.Record
	k.log.Error("letter cannot be indexed", zap.String("topic", record.Topic), zap.Int32("partition", record.Partition),
		zap.Int64("offset", record.Offset), zap.String("cause", store.Describe(err)))
	k.skipped.Inc()
	return nil
}

// storable makes a text that PostgreSQL takes: UTF-8 without NUL.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// clean makes a short storable text.
func clean(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return storable(text)
}

func bounded(n int) int { return min(max(n, 0), maxCount) }

// sane gives t, or the other where t is no time at which anything of ours happened.
func sane(t, other time.Time) time.Time {
	if y := t.Year(); y < firstYear || y > lastYear {
		return other
	}
	return t
}
