package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/receipt"
)

// How long Kafka may take. Tests that are not about that give a busy machine more time.
var (
	ackTimeout        = 3500 * time.Millisecond // of a push: the sender hears "again" within 5 s
	quarantineTimeout = time.Second             // of an unproven sender's refusal for its place in quarantine
)

// errNoAck says that Kafka did not acknowledge in time. The record may still be written: the sender was told to try
// again, so it becomes a second push of the same content.
var errNoAck = errors.New("not acknowledged in time")

var errNoOffset = errors.New("acknowledged without an offset")

// clientOptions are what ingest adds to the house's options: a record that cannot be written leaves the buffer, and a full
// buffer is an error at once, never a wait.
func clientOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.ClientID("orderflow-ingest"),
		kgo.RecordDeliveryTimeout(ackTimeout),
		kgo.MaxBufferedRecords(200_000), // 1,024 mall batches of 100 fit twice
		kgo.MaxBufferedBytes(256 << 20),
	}
}

// pending is a write on its way.
type pending struct {
	records []*kgo.Record
	left    atomic.Int32
	failed  atomic.Pointer[error]
	done    chan struct{}
}

// write hands the messages to the client and returns at once. All records of a push must be acknowledged for its
// acceptance. The context is not the request's: a sender that hangs up must not fail the batch that others wait for.
func write(client *kgo.Client, messages ...event.Message) *pending {
	p := &pending{records: make([]*kgo.Record, len(messages)), done: make(chan struct{})}
	p.left.Store(int32(len(messages)))
	for i := range messages {
		p.records[i] = bus.ToRecord(messages[i])
	}
	for _, r := range p.records {
		client.TryProduce(context.Background(), r, p.finish)
	}
	return p
}

func (p *pending) finish(_ *kgo.Record, err error) {
	if err != nil {
		p.failed.CompareAndSwap(nil, &err)
	}
	if p.left.Add(-1) == 0 {
		close(p.done)
	}
}

// wait returns where the records stand, or why they are not known to stand anywhere.
func (p *pending) wait(timeout time.Duration) ([]receipt.Record, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		return nil, errNoAck
	}
	if err := p.failed.Load(); err != nil {
		return nil, *err
	}
	placed := make([]receipt.Record, len(p.records))
	for i, r := range p.records {
		if r.Offset < 0 { // a broker that lost count of a retried batch: a receipt without a place resolves to nothing
			return nil, errNoOffset
		}
		placed[i] = receipt.Record{Partition: r.Partition, Offset: r.Offset}
	}
	return placed, nil
}
