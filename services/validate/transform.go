package main

import (
	"fmt"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/judge"
	"orderflow/pkg/published"
	"orderflow/pkg/source"
	"orderflow/pkg/worker"
)

// transform judges a record. One that passes becomes two messages of one transaction: its normalised document for those
// who deliver and store it, and its record for analysts.
type transform struct {
	encoder    *published.Encoder
	pseudonyms published.Pseudonyms
	now        func() time.Time
}

func (t *transform) apply(in event.Message) ([]event.Message, error) {
	passed, err := judge.Judge(in)
	if err != nil {
		return nil, err
	}
	record := published.New(&passed.Order, passed.Meta, t.pseudonyms, t.now())
	m, err := t.encoder.Message(&record, &passed.Document, t.pseudonyms)
	if err != nil {
		return nil, unpublishable(err)
	}
	return []event.Message{passed.Document, m}, nil
}

// unpublishable blames the record: it would fail for ever, and block all behind it. No order that the contracts let through
// is one.
func unpublishable(err error) *worker.PermanentError {
	return &worker.PermanentError{Code: worker.Code(source.BadAmount), Err: fmt.Errorf("make record of %s: %w", published.Topic, err)}
}
