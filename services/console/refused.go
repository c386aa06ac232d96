package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/quarantine"
)

const (
	refusedAtOnce   = 2 // readers of the quarantine: a list reads more than a single record
	refusedWithin   = 8 * time.Second
	refusedClientID = "orderflow-console-quarantine"
)

// refused reads what was refused at the door, a bounded number of readers at once.
type refused struct {
	settings bus.Settings
	log      *zap.Logger
	slots    chan struct{}
}

func newRefused(settings bus.Settings, log *zap.Logger) *refused {
	return &refused{settings, log, make(chan struct{}, refusedAtOnce)}
}

// refusedAnswer is one request that was refused: nothing of what it says.
type refusedAnswer struct {
	Number string    `json:"number"` // partition/offset
	At     time.Time `json:"at"`
	Source string    `json:"source"`
	Cause  string    `json:"cause"`
	Bytes  *int64    `json:"bytes"` // of the whole body; null when it was not read to its end
	From   string    `json:"from"`  // the sender's network
	PushID string    `json:"push_id"`
	Type   string    `json:"type"`
	Digest string    `json:"digest,omitzero"`
	Shape  string    `json:"shape,omitzero"` // of the bytes, masked; only of a single request
	More   int       `json:"more,omitzero"`  // kept bytes that are not shown

	partition int32
	offset    int64
}

func refusedOf(m event.Message) refusedAnswer {
	a := refusedAnswer{
		Number: fmt.Sprintf("%d/%d", m.Partition, m.Offset), At: m.Timestamp.UTC(), Source: m.Key, Cause: m.Header(quarantine.HeaderCause),
		From: m.Header(quarantine.HeaderRemote), PushID: m.Header(event.HeaderPushID), Type: quarantine.ContentType(m.Header(event.HeaderContentType)),
		partition: m.Partition, offset: m.Offset,
	}
	if length, err := strconv.ParseInt(m.Header(quarantine.HeaderLength), 10, 64); err == nil {
		a.Bytes = &length
	}
	return a
}

// read gives the chosen requests to take. When Kafka does not answer in time the error is errKafka.
func (q *refused) read(ctx context.Context, choose quarantine.Choose, take func(event.Message)) error {
	ctx, cancel := context.WithTimeout(ctx, refusedWithin)
	defer cancel()
	select {
	case q.slots <- struct{}{}:
		defer func() { <-q.slots }()
	case <-ctx.Done():
		return errKafka
	}
	client, err := bus.NewClient(q.settings, q.log, nil, kgo.ClientID(refusedClientID), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxPartitionBytes(fetchPartition), kgo.FetchMaxBytes(fetchAtOnce), kgo.FetchMaxWait(fetchMaxWait))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := quarantine.Read(ctx, client, choose, take); err != nil {
		q.log.Warn("quarantine not read", zap.Error(err))
		return errKafka
	}
	return nil
}

// listRefused gives the newest refused requests. It has no further parts: older ones are read by `orderctl quarantine ls`.
func (c *console) listRefused(r *http.Request, _ user) (any, error) {
	query, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	for name := range query {
		if name != "limit" {
			return nil, badRequest("unknown_parameter", parameterName(name)+": no such parameter")
		}
	}
	limit, err := readLimit(query)
	if err != nil {
		return nil, err
	}
	list := page[refusedAnswer]{Items: []refusedAnswer{}}
	if err := c.refused.read(r.Context(), quarantine.Newest(limit), func(m event.Message) { list.Items = append(list.Items, refusedOf(m)) }); err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b refusedAnswer) int { // those of one batch have one time
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.partition, a.partition), cmp.Compare(b.offset, a.offset))
	})
	list.Items = list.Items[:min(len(list.Items), limit)]
	return list, nil
}

func (c *console) getRefused(r *http.Request, _ user) (any, error) {
	partition, errPartition := strconv.ParseInt(r.PathValue("partition"), 10, 32)
	offset, errOffset := strconv.ParseInt(r.PathValue("offset"), 10, 64)
	if errPartition != nil || errOffset != nil {
		return nil, errNotFound
	}
	var found *refusedAnswer
	err := c.refused.read(r.Context(), quarantine.Only(int32(partition), offset), func(m event.Message) {
		a := refusedOf(m)
		a.Digest = m.Header(event.HeaderDigest)
		a.Shape, a.More = quarantine.Shape(m.Value)
		found = &a
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, errNotFound
	}
	return *found, nil
}
