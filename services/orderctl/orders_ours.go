package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
)

// metaOf reads a record's headers. Its error says that validate did not write the record.
func metaOf(r *kgo.Record) (event.Meta, error) {
	message := bus.FromRecord(r)
	meta, err := message.Meta()
	switch {
	case err != nil:
		return meta, fmt.Errorf("%w: %w", registry.ErrUnreadable, err)
	case !slices.Contains(order.Sources, meta.OrderKey.Source()):
		return meta, fmt.Errorf("%w: its order key names no source of the house", registry.ErrUnreadable)
	case message.Key != string(meta.OrderKey):
		return meta, fmt.Errorf("%w: its key is not the order key that its headers tell", registry.ErrUnreadable)
	}
	return meta, nil
}

// decodeOurs reads a record whose headers were read. The error is registry.ErrUnreadable where validate did not write it: bytes
// of something else, or of another order, revision or time than the headers tell; else the registry is away.
func decodeOurs(ctx context.Context, decoder *published.Decoder, r *kgo.Record, meta event.Meta) (published.Record, error) {
	if len(r.Value) == 0 {
		return published.Record{}, fmt.Errorf("%w: it has no value", registry.ErrUnreadable)
	}
	decoded, err := decoder.Decode(ctx, r.Value)
	switch {
	case errors.Is(err, registry.ErrUnreadable):
		return decoded, err
	case err != nil:
		return decoded, fmt.Errorf("%s/%d/%d: %w\n  next: %s", r.Topic, r.Partition, r.Offset, err, nextRegistry)
	case decoded.OrderKey != meta.OrderKey || decoded.Revision != meta.Revision || decoded.Source != meta.OrderKey.Source() ||
		decoded.ReceivedAt.UnixMicro() != meta.ReceivedAt.UnixMicro():
		return decoded, fmt.Errorf("%w: its value is not of the order, revision and time that its headers tell", registry.ErrUnreadable)
	}
	return decoded, nil
}

// nextRegistry is what to do where no record can be read for the registry's sake.
const nextRegistry = "see that SCHEMA_REGISTRY_URL is a schema registry's, path included, and that it answers"

// foreign counts the records of a topic that its writer did not write, and names the first of them: anybody with a producer
// can put bytes there, and nothing of it is left out in silence.
type foreign struct {
	count int64
	names []string
}

// maxForeign is how many are named.
const maxForeign = 20

// add counts a record; named tells whether it is among the first.
func (f *foreign) add(r *kgo.Record, why error) (name string, named bool) {
	f.count++
	if f.count > maxForeign {
		return "", false
	}
	name = fmt.Sprintf("%s/%d/%d: %v", r.Topic, r.Partition, r.Offset, why)
	f.names = append(f.names, name)
	return name, true
}

// list is all that is named, a line each.
func (f *foreign) list() string {
	text := "  " + strings.Join(f.names, "\n  ")
	if more := f.count - int64(len(f.names)); more > 0 {
		text += fmt.Sprintf("\n  and %d more", more)
	}
	return printableLines(text)
}

// nextForeign is what to do about them.
const nextForeign = `tell an SRE the places: who may write to the topic? If it is all of its records, SCHEMA_REGISTRY_URL may name
           another registry than the one of those who write`

func (f *foreign) tell(out io.Writer, meaning string) {
	if f.count > 0 {
		fmt.Fprintf(out, "%d records are not what their topic promises (partition/offset: why):\n%s\n  meaning: %s\n  next:    %s\n", f.count, f.list(), meaning, nextForeign)
	}
}
