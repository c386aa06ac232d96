package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

const (
	sendTimeout        = 30 * time.Second
	transactionTimeout = 20 * time.Second
	// clockSkew is how far the clocks of a console, Kafka and PostgreSQL may differ.
	clockSkew = 10 * time.Minute
)

// sender sends one job's letters home, each once, whatever dies in between. A letter is marked in PostgreSQL first, then
// produced in a Kafka transaction, then confirmed. A transaction whose end nobody has confirmed is looked up: the job's
// transactional id fences whoever held the job before, so that what is not in the topic then will never be.
type sender struct {
	run    *store.ReplayRun
	keys   *privacy.Keys
	open   openFunc
	batch  int         // letters of one transaction, at most
	client *kgo.Client // nil: not known what the topics hold
}

func (s *sender) close() {
	if s.client != nil {
		s.client.Close()
		s.client = nil
	}
}

// send produces all letters that are marked. After an error it is not known what was produced; the next call finds out.
func (s *sender) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if s.client == nil {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	for {
		letters, err := s.run.Unproduced(ctx, s.keys, s.batch, maxBatchBytes)
		if err != nil || len(letters) == 0 {
			return err
		}
		produced, err := s.produce(ctx, letters)
		if err != nil {
			s.close()
			return err
		}
		if err := s.run.Confirm(ctx, produced); err != nil {
			s.close()
			return err
		}
	}
}

// recover settles what a crash left in doubt, before anything is concluded from what is marked.
func (s *sender) recover(ctx context.Context) error {
	doubtful, err := s.run.Unconfirmed(ctx)
	if err != nil || len(doubtful) == 0 {
		return err
	}
	return s.send(ctx)
}

// begin takes the job's transactional id over and confirms what its former holder has produced.
func (s *sender) begin(ctx context.Context) error {
	client, err := s.open(kgo.TransactionalID(fmt.Sprintf("console-replay-%d", s.run.JobID)), kgo.TransactionTimeout(transactionTimeout))
	if err != nil {
		return err
	}
	s.client = client
	if err := s.lookUp(ctx); err != nil {
		s.close()
		return err
	}
	return nil
}

func (s *sender) lookUp(ctx context.Context) error {
	if _, _, err := s.client.ProducerID(ctx); err != nil {
		return fmt.Errorf("get producer id: %w", err)
	}
	doubtful, err := s.run.Unconfirmed(ctx)
	if err != nil || len(doubtful) == 0 {
		return err
	}
	produced, err := s.find(ctx, doubtful)
	if err != nil {
		return err
	}
	return s.run.Confirm(ctx, produced)
}

// produce writes the letters in one transaction. Those that cannot be read are taken back: they were never produced.
func (s *sender) produce(ctx context.Context, letters []store.ReplayLetter) ([]store.Produced, error) {
	job := strconv.FormatInt(s.run.JobID, 10)
	var records []*kgo.Record
	var ids []int64
	for _, l := range letters {
		if l.Err != nil {
			if err := s.run.Unmark(ctx, l.ID, codeUnreadable); err != nil {
				return nil, err
			}
			continue
		}
		ids = append(ids, l.ID)
		records = append(records, bus.ToRecord(deadletter.Home(l.Letter, job, strconv.FormatInt(l.ID, 10))))
	}
	if len(records) == 0 {
		return nil, nil
	}
	// A record that may have reached a broker cannot be cancelled, so a call could outlast ctx.
	stop := context.AfterFunc(ctx, s.client.Close)
	defer stop()
	if err := s.client.BeginTransaction(); err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	if err := s.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return nil, fmt.Errorf("produce letters: %w", err)
	}
	if err := s.learned(ctx); err != nil {
		return nil, err
	}
	if err := s.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return nil, fmt.Errorf("commit letters: %w", err)
	}
	produced := make([]store.Produced, len(records))
	for i, record := range records {
		produced[i] = store.Produced{LetterID: ids[i], Partition: record.Partition, Offset: record.Offset}
	}
	return produced, nil
}

// learned waits until the client has stored what it learned about topics that are new to it. Before that, which may be after
// their records are acknowledged, franz-go takes the transaction for an empty one: it aborts it, and reports a commit. The
// call is the one that waits for the lock under which topics are stored; no record is buffered any more that it could abort.
func (s *sender) learned(ctx context.Context) error {
	if err := s.client.AbortBufferedRecords(ctx); err != nil {
		return fmt.Errorf("wait for topics: %w", err)
	}
	return nil
}

// find reads the replay topics from where the job's confirmed letters end, and gives its letters that are there.
func (s *sender) find(ctx context.Context, doubtful map[string]map[int32]int64) ([]store.Produced, error) {
	from, left, err := s.bounds(ctx, doubtful)
	if err != nil || len(left) == 0 {
		return nil, err
	}
	reader, err := s.open(kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	job := strconv.FormatInt(s.run.JobID, 10)
	var found []store.Produced
	for len(left) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read replay topics: %w", err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			at := place{record.Topic, record.Partition}
			if record.Offset+1 >= left[at] {
				delete(left, at)
			}
			m := bus.FromRecord(record)
			if record.Attrs.IsControl() || m.Header(event.HeaderReplayJob) != job {
				return
			}
			if id, err := strconv.ParseInt(m.Header(event.HeaderReplayLetter), 10, 64); err == nil {
				found = append(found, store.Produced{LetterID: id, Partition: record.Partition, Offset: record.Offset})
			}
		})
	}
	return found, nil
}

// place is one partition of one topic.
type place struct {
	topic     string
	partition int32
}

// bounds tells where to read from, and up to where, in each partition that holds anything to read.
func (s *sender) bounds(ctx context.Context, doubtful map[string]map[int32]int64) (from map[string]map[int32]kgo.Offset, left map[place]int64, err error) {
	admin := kadm.NewClient(s.client)
	from, left = map[string]map[int32]kgo.Offset{}, map[place]int64{}
	for topic, confirmed := range doubtful {
		starts, err := admin.ListStartOffsets(ctx, topic)
		if err != nil {
			return nil, nil, fmt.Errorf("list offsets: %w", err)
		}
		began, err := admin.ListOffsetsAfterMilli(ctx, s.run.CreatedAt.Add(-clockSkew).UnixMilli(), topic)
		if err != nil {
			return nil, nil, fmt.Errorf("list offsets: %w", err)
		}
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return nil, nil, fmt.Errorf("list offsets: %w", err)
		}
		if err := errors.Join(starts.Error(), began.Error(), ends.Error()); err != nil {
			return nil, nil, fmt.Errorf("list offsets: %w", err)
		}
		from[topic] = map[int32]kgo.Offset{}
		for partition, end := range ends[topic] {
			start, known := confirmed[partition]
			if !known {
				start = began[topic][partition].Offset
			}
			start = max(start, starts[topic][partition].Offset)
			if start < end.Offset {
				from[topic][partition] = kgo.NewOffset().At(start)
				left[place{topic, partition}] = end.Offset
			}
		}
	}
	return from, left, nil
}
