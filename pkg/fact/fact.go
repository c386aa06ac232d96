// Package fact reads what persist stores from the messages that it gets. It lives here because the console rehearses a
// replay with the same code. It does no I/O.
package fact

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
	"orderflow/pkg/source/procurement"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// documents maps the normalised documents of each source.
var documents = map[string]func(doc []byte) (order.Order, error){
	string(order.ICBU):        icbu.Map,
	string(order.Procurement): procurement.Map,
	string(order.Mall):        mall.Map,
}

// MaxKey is longer than any key that order.NewKey makes, and short enough for an index.
const MaxKey = 1024

// replays are the letters that come home to persist.
var replays = event.Replay("persist")

// Read makes the fact of a message from a validated topic or from deliveries, also where it comes by a replay. Its error is
// a *worker.PermanentError: the message is at fault, since nothing else is asked.
func Read(m event.Message) (store.Fact, error) {
	topic := m.Topic
	if topic == replays {
		topic, _, _, _, _ = deadletter.Origin(m)
	}
	if topic == event.Deliveries {
		return deliveryFact(m)
	}
	source, of := strings.CutSuffix(topic, ".validated.v1")
	if decode := documents[source]; of && decode != nil {
		return validatedFact(m, decode)
	}
	return store.Fact{}, unreadable("", errors.New("the replayed record comes from a topic that persist does not read"))
}

func validatedFact(m event.Message, decode func([]byte) (order.Order, error)) (store.Fact, error) {
	meta, err := meta(m)
	if err != nil {
		return store.Fact{}, err
	}
	o, err := decode(m.Value)
	if err != nil {
		if fault, ok := errors.AsType[*source.Fault](err); ok {
			return store.Fact{}, unreadable(fault.Path, fault)
		}
		return store.Fact{}, unreadable("", errors.New("the document cannot be mapped"))
	}
	return store.Fact{Meta: meta, Service: writerOf(m), Validated: &store.Validated{Order: o, Document: m.Value, At: writtenAt(m)}}, nil
}

func deliveryFact(m event.Message) (store.Fact, error) {
	meta, err := meta(m)
	if err != nil {
		return store.Fact{}, err
	}
	d := &event.Delivery{}
	if err := json.Unmarshal(m.Value, d); err != nil {
		return store.Fact{}, unreadable("", errors.New("not a delivery in JSON"))
	}
	if d.OrderKey != meta.OrderKey || d.Revision != meta.Revision {
		return store.Fact{}, unreadable("/order_key", errors.New("the delivery is not of the order in its headers"))
	}
	switch d.Outcome {
	case event.Delivered, event.Duplicate, event.Superseded:
	default:
		return store.Fact{}, unreadable("/outcome", errors.New("unknown outcome"))
	}
	return store.Fact{Meta: meta, Service: writerOf(m), Delivery: d}, nil
}

func meta(m event.Message) (event.Meta, error) {
	meta, err := m.Meta()
	if err != nil {
		return meta, unreadable("", err)
	}
	if len(meta.OrderKey) > MaxKey {
		return meta, unreadable("", fmt.Errorf("header %s: over %d bytes", event.HeaderOrderKey, MaxKey))
	}
	return meta, nil
}

// unreadable blames a record of ours that cannot be read: another version of the writer, or somebody else's.
func unreadable(path string, err error) error {
	return &worker.PermanentError{Code: worker.Code(source.BadJSON), Path: path, Err: err}
}

// writerOf is the service that wrote a message.
func writerOf(m event.Message) string {
	return strings.TrimPrefix(m.Header(event.HeaderSource), "/orderflow/")
}

// writtenAt is when a record was first written; a replay keeps it.
func writtenAt(m event.Message) time.Time {
	_, _, _, at, _ := deadletter.Origin(m)
	return at
}
