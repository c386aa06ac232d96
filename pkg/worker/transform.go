package worker

import (
	"errors"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
)

// transformed is what became of one record of a batch.
type transformed struct {
	in    event.Message
	fault *fault
	out   []event.Message // outputs, or the letter
}

// transformAll transforms a batch: partitions beside each other on the available cores, the records of one partition in
// order. Its error is the first that says the world is not ready.
func (t *transactions) transformAll(fetches kgo.Fetches) ([]transformed, error) {
	var partitions [][]*kgo.Record
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) > 0 {
			partitions = append(partitions, p.Records)
		}
	})
	done := make([][]transformed, len(partitions))
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for i, records := range partitions {
		work.Go(func() error {
			done[i] = make([]transformed, len(records))
			for j, r := range records {
				var err error
				if done[i][j], err = t.transform(bus.FromRecord(r)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	var all []transformed
	for _, part := range done {
		all = append(all, part...)
	}
	return all, nil
}

// transform handles one record.
func (t *transactions) transform(in event.Message) (result transformed, err error) {
	result.in = in
	defer func() {
		if value := recover(); value != nil {
			if t.held[guardedSource(t.Service, in)] == nil { // what is judged every minute was logged when it was first read
				t.log.Error("transform panicked", zap.String("code", string(PanicCode)), zap.ByteString("stack", debug.Stack()))
			}
			result, err = t.park(result.in, panicked(value)), nil
		}
	}()
	if t.Stamp != nil && in.Topic != event.Replay(t.Service) {
		result.in = t.Stamp(in)
	}
	result.out, err = t.Transform(result.in)
	if permanent, ok := errors.AsType[*PermanentError](err); ok {
		return t.park(result.in, &fault{
			code: permanent.Code, class: classPermanent, path: permanent.Path, detail: permanent.Detail, message: permanent.Error(),
		}), nil
	}
	return result, err
}

// park gives a record up: its letter carries what Stamp added, so that a replay keeps its revision.
func (t *transactions) park(in event.Message, f *fault) transformed {
	now := time.Now()
	return transformed{in: in, fault: f, out: []event.Message{letter(t.Service, t.Process.Version, in, f, 1, now, now)}}
}

// count tells metrics and log about a committed batch.
func (t *transactions) count(results []transformed) {
	for _, result := range results {
		if result.fault == nil {
			t.metrics.record(result.in.Topic, outcomeDone)
			continue
		}
		t.metrics.record(result.in.Topic, outcomeDeadLetter)
		t.metrics.letter(result.fault.code)
		t.log.Warn("dead letter", zap.String("order_key", result.in.Key), zap.String("topic", result.in.Topic),
			zap.Int32("partition", result.in.Partition), zap.Int64("offset", result.in.Offset),
			zap.String("code", string(result.fault.code)))
	}
}
