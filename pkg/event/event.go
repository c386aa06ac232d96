// Package event says what travels between the services: the message, its headers (CloudEvents binary mode plus the
// house's own) and the topics' names. It does no I/O.
package event

import (
	"fmt"
	"strconv"
	"time"

	"orderflow/pkg/order"
)

// Header names. Every message of a payload topic carries them; dead letters add those of pkg/deadletter.
const (
	HeaderID          = "ce_id"      // event id: order key and revision
	HeaderSource      = "ce_source"  // the writing service, "/orderflow/ingest"
	HeaderType        = "ce_type"    // the topic's name without its version
	HeaderTime        = "ce_time"    // RFC 3339, UTC
	HeaderSubject     = "ce_subject" // order key
	HeaderSpecVersion = "ce_specversion"
	HeaderContentType = "content-type"
	HeaderTraceParent = "traceparent"

	HeaderOrderKey          = "order-key"
	HeaderRevision          = "order-revision" // absent on received topics, where the offset is the revision
	HeaderDigest            = "content-digest"
	HeaderPushID            = "push-id"
	HeaderReceivedPartition = "received-partition"
	HeaderReceivedOffset    = "received-offset"
	HeaderReceivedAt        = "received-at" // RFC 3339 with nanoseconds: the broker's time of the received record
	HeaderReplayJob         = "replay-job"  // present when the record came by a replay
	HeaderReplayLetter      = "replay-letter"
)

// Header is one record header.
type Header struct {
	Key   string
	Value []byte
}

// Message is one record, read or to be written. Partition, Offset and Timestamp are set on messages that were read.
type Message struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time
	Key       string
	Value     []byte
	Headers   []Header

	// Newer is the greatest revision of the same order that waits behind this message in a worker's lane, if it is greater
	// than this one's; else 0. A worker tells it to its handler; it never travels.
	Newer order.Revision
}

// Header returns the value of the last header of that name, or "".
func (m *Message) Header(name string) string {
	for i := len(m.Headers) - 1; i >= 0; i-- {
		if m.Headers[i].Key == name {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}

// SetHeader replaces every header of that name by one value; an empty value removes the header. The slice is copied
// first, so that a message made from another one never writes into it.
func (m *Message) SetHeader(name, value string) {
	kept := make([]Header, 0, len(m.Headers)+1)
	for _, h := range m.Headers {
		if h.Key != name {
			kept = append(kept, h)
		}
	}
	if value != "" {
		kept = append(kept, Header{Key: name, Value: []byte(value)})
	}
	m.Headers = kept
}

// Meta is what the house knows about the order inside a message, beside its bytes.
type Meta struct {
	OrderKey          order.Key
	Revision          order.Revision
	Digest            string
	PushID            string
	ReceivedPartition int32
	ReceivedOffset    int64
	ReceivedAt        time.Time
	TraceParent       string
	ReplayJob         string
	ReplayLetter      string
}

// ID is the event id: one order at one revision.
func (m Meta) ID() string { return string(m.OrderKey) + "@" + strconv.FormatInt(int64(m.Revision), 10) }

// Revision reads the header of that name; 0 if it is missing or unreadable.
func (m *Message) Revision() order.Revision {
	revision, err := strconv.ParseInt(m.Header(HeaderRevision), 10, 64)
	if err != nil {
		return 0
	}
	return order.Revision(revision)
}

// Meta reads the house's headers. An error names the header that is missing or unreadable, never its value.
func (m *Message) Meta() (Meta, error) {
	meta := Meta{
		OrderKey:     order.Key(m.Header(HeaderOrderKey)),
		Digest:       m.Header(HeaderDigest),
		PushID:       m.Header(HeaderPushID),
		TraceParent:  m.Header(HeaderTraceParent),
		ReplayJob:    m.Header(HeaderReplayJob),
		ReplayLetter: m.Header(HeaderReplayLetter),
	}
	if meta.OrderKey == "" {
		return Meta{}, headerError(HeaderOrderKey)
	}
	revision, err := strconv.ParseInt(m.Header(HeaderRevision), 10, 64)
	if err != nil {
		return Meta{}, headerError(HeaderRevision)
	}
	meta.Revision = order.Revision(revision)
	partition, err := strconv.ParseInt(m.Header(HeaderReceivedPartition), 10, 32)
	if err != nil {
		return Meta{}, headerError(HeaderReceivedPartition)
	}
	meta.ReceivedPartition = int32(partition)
	if meta.ReceivedOffset, err = strconv.ParseInt(m.Header(HeaderReceivedOffset), 10, 64); err != nil {
		return Meta{}, headerError(HeaderReceivedOffset)
	}
	if meta.ReceivedAt, err = time.Parse(time.RFC3339Nano, m.Header(HeaderReceivedAt)); err != nil {
		return Meta{}, headerError(HeaderReceivedAt)
	}
	return meta, nil
}

// ReceivedMeta gives the meta of a record read from a received topic, whose own coordinates are the revision. The topic's
// generation comes from topics.yaml.
func (m *Message) ReceivedMeta(generation int) Meta {
	key := order.Key(m.Header(HeaderOrderKey))
	if key == "" {
		key = order.Key(m.Key)
	}
	return Meta{
		OrderKey:          key,
		Revision:          order.NewRevision(generation, m.Offset),
		Digest:            m.Header(HeaderDigest),
		PushID:            m.Header(HeaderPushID),
		ReceivedPartition: m.Partition,
		ReceivedOffset:    m.Offset,
		ReceivedAt:        m.Timestamp,
		TraceParent:       m.Header(HeaderTraceParent),
	}
}

// New makes a message with the house's headers, ready to be produced. Service is the writer's name.
func New(topic, service string, meta Meta, at time.Time, contentType string, value []byte) Message {
	m := Message{Topic: topic, Key: string(meta.OrderKey), Value: value}
	add := func(name, text string) {
		if text != "" {
			m.Headers = append(m.Headers, Header{Key: name, Value: []byte(text)})
		}
	}
	add(HeaderSpecVersion, "1.0")
	add(HeaderID, meta.ID())
	add(HeaderSource, "/orderflow/"+service)
	add(HeaderType, Type(topic))
	add(HeaderTime, at.UTC().Format(time.RFC3339Nano))
	add(HeaderSubject, string(meta.OrderKey))
	add(HeaderContentType, contentType)
	add(HeaderTraceParent, meta.TraceParent)
	m.Headers = append(m.Headers, meta.Headers()...)
	return m
}

// Headers are the house's own headers of a meta; a received record, whose revision is not known before it is written,
// leaves its coordinates out.
func (m Meta) Headers() []Header {
	headers := []Header{{HeaderOrderKey, []byte(m.OrderKey)}}
	add := func(name, text string) {
		if text != "" {
			headers = append(headers, Header{name, []byte(text)})
		}
	}
	add(HeaderDigest, m.Digest)
	add(HeaderPushID, m.PushID)
	if m.Revision != 0 {
		add(HeaderRevision, strconv.FormatInt(int64(m.Revision), 10))
		add(HeaderReceivedPartition, strconv.Itoa(int(m.ReceivedPartition)))
		add(HeaderReceivedOffset, strconv.FormatInt(m.ReceivedOffset, 10))
		add(HeaderReceivedAt, m.ReceivedAt.UTC().Format(time.RFC3339Nano))
	}
	add(HeaderReplayJob, m.ReplayJob)
	add(HeaderReplayLetter, m.ReplayLetter)
	return headers
}

func headerError(name string) error { return fmt.Errorf("header %s: missing or unreadable", name) }
