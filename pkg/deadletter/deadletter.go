// Package deadletter wraps a failed record as a letter, reads it back and sends it home. The record's bytes are never
// touched; the cause travels in bounded headers (design.md section 4).
package deadletter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"orderflow/pkg/event"
)

// Header names of a letter, beside the record's own.
const (
	headerTopic     = "dlq-origin-topic"
	headerPartition = "dlq-origin-partition"
	headerOffset    = "dlq-origin-offset"
	headerTimestamp = "dlq-origin-timestamp"
	headerStage     = "dlq-stage"
	headerCode      = "dlq-code"
	headerPath      = "dlq-path"
	headerDetail    = "dlq-detail"
	headerClass     = "dlq-class"
	headerMessage   = "dlq-message"
	headerAttempts  = "dlq-attempts"
	headerFirst     = "dlq-first-failure"
	headerLast      = "dlq-last-failure"
	headerReplays   = "dlq-replays"
	headerVersion   = "dlq-worker-version"
	prefix          = "dlq-"
	maxText         = 512
)

var errYear = errors.New("the year has not four digits")

// Letter is a failed record with its cause.
type Letter struct {
	Origin   event.Message // the record as the worker read it: topic, partition, offset, timestamp, key, bytes, headers
	Stage    string        // the service that failed it
	Code     string        // an enumerated reason, interfaces.md section 7
	Path     string        // JSON pointer to the field at fault, or ""
	Detail   string        // the partner's own code, or ""
	Class    string        // permanent, exhausted, deadline, panic
	Message  string        // for the operator; never a value from the record
	Attempts int
	First    time.Time // first and last failure
	Last     time.Time
	Replays  int // how often this record had come by a replay
	Version  string
}

// Wrap makes the dead-letter record of a letter: the origin's key, bytes and headers, plus the cause. A letter that came
// by a replay keeps the coordinates of its first origin, so that it stays the same letter.
func Wrap(l Letter) event.Message {
	m := event.Message{
		Topic:   event.DeadLetters(l.Stage),
		Key:     l.Origin.Key,
		Value:   l.Origin.Value,
		Headers: make([]event.Header, 0, len(l.Origin.Headers)+16),
	}
	for _, h := range l.Origin.Headers {
		if !strings.HasPrefix(h.Key, prefix) {
			m.Headers = append(m.Headers, h)
		}
	}
	add := func(name, text string) {
		m.Headers = append(m.Headers, event.Header{Key: name, Value: []byte(bound(text))})
	}
	add(headerTopic, l.Origin.Topic)
	add(headerPartition, strconv.Itoa(int(l.Origin.Partition)))
	add(headerOffset, strconv.FormatInt(l.Origin.Offset, 10))
	add(headerTimestamp, stamp(l.Origin.Timestamp))
	add(headerStage, l.Stage)
	add(headerCode, l.Code)
	add(headerPath, l.Path)
	add(headerDetail, l.Detail)
	add(headerClass, l.Class)
	add(headerMessage, l.Message)
	add(headerAttempts, strconv.Itoa(l.Attempts))
	add(headerFirst, stamp(l.First))
	add(headerLast, stamp(l.Last))
	add(headerReplays, strconv.Itoa(l.Replays))
	add(headerVersion, l.Version)
	return m
}

// Parse reads a dead-letter record back. It fails only on a record that Wrap never wrote.
func Parse(m event.Message) (Letter, error) {
	l := Letter{
		Origin: event.Message{Topic: m.Header(headerTopic), Key: m.Key, Value: m.Value},
		Stage:  m.Header(headerStage), Code: m.Header(headerCode), Path: m.Header(headerPath),
		Detail: m.Header(headerDetail), Class: m.Header(headerClass), Message: m.Header(headerMessage),
		Version: m.Header(headerVersion),
	}
	for _, h := range m.Headers {
		if !strings.HasPrefix(h.Key, prefix) {
			l.Origin.Headers = append(l.Origin.Headers, h)
		}
	}
	if l.Origin.Topic == "" || l.Stage == "" || l.Code == "" {
		return l, fmt.Errorf("dead letter %s/%d/%d: not written by a worker of this house", m.Topic, m.Partition, m.Offset)
	}
	var errs [7]error
	var partition int64
	partition, errs[0] = strconv.ParseInt(m.Header(headerPartition), 10, 32)
	l.Origin.Partition = int32(partition)
	l.Origin.Offset, errs[1] = strconv.ParseInt(m.Header(headerOffset), 10, 64)
	l.Origin.Timestamp, errs[2] = parseStamp(m.Header(headerTimestamp))
	l.Attempts, errs[3] = strconv.Atoi(m.Header(headerAttempts))
	l.First, errs[4] = parseStamp(m.Header(headerFirst))
	l.Last, errs[5] = parseStamp(m.Header(headerLast))
	l.Replays, errs[6] = strconv.Atoi(m.Header(headerReplays))
	for _, err := range errs {
		if err != nil {
			return l, fmt.Errorf("dead letter %s/%d/%d: a header is unreadable", m.Topic, m.Partition, m.Offset)
		}
	}
	return l, nil
}

// Home makes the record that sends a letter back to the service that failed it. The receiver gets the origin's bytes and
// headers, so that a replay keeps its revision and its time of receipt, and it knows the job.
func Home(l Letter, job, letterID string) event.Message {
	m := event.Message{Topic: event.Replay(l.Stage), Key: l.Origin.Key, Value: l.Origin.Value, Headers: l.Origin.Headers}
	m.SetHeader(event.HeaderReplayJob, job)
	m.SetHeader(event.HeaderReplayLetter, letterID)
	m.SetHeader(headerTopic, l.Origin.Topic)
	m.SetHeader(headerPartition, strconv.Itoa(int(l.Origin.Partition)))
	m.SetHeader(headerOffset, strconv.FormatInt(l.Origin.Offset, 10))
	m.SetHeader(headerTimestamp, stamp(l.Origin.Timestamp))
	m.SetHeader(headerReplays, strconv.Itoa(l.Replays+1))
	return m
}

// Origin gives the coordinates under which a record was first read, and how often it was replayed since: those in the
// headers of a replayed record, else the record's own.
func Origin(m event.Message) (topic string, partition int32, offset int64, at time.Time, replays int) {
	topic = m.Header(headerTopic)
	p, errP := strconv.ParseInt(m.Header(headerPartition), 10, 32)
	offset, errO := strconv.ParseInt(m.Header(headerOffset), 10, 64)
	at, errT := parseStamp(m.Header(headerTimestamp))
	replays, errR := strconv.Atoi(m.Header(headerReplays))
	if topic == "" || errP != nil || errO != nil || errT != nil || errR != nil {
		return m.Topic, m.Partition, m.Offset, m.Timestamp, 0
	}
	return topic, int32(p), offset, at, replays
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// parseStamp reads what stamp writes. At the ends of the four-digit years a zone may make a time readable that could not be
// written again: in UTC its year is -1 or 10000.
func parseStamp(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if year := at.UTC().Year(); err == nil && (year < 0 || year > 9999) {
		return time.Time{}, errYear
	}
	return at, err
}

// bound keeps a header short and printable: PostgreSQL takes no NUL, and a terminal no control characters.
func bound(text string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	for len(clean) > maxText {
		_, size := utf8.DecodeLastRuneInString(clean)
		clean = clean[:len(clean)-size]
	}
	return clean
}
