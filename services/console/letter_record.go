package main

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"orderflow/pkg/cause"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// letterJudgement is what the record of a letter shows, and what the deployed code says about it today.
type letterJudgement struct {
	Means      *cause.Text   `json:"means,omitzero"`      // of the letter's code
	Record     *MaskedRecord `json:"record,omitzero"`     // personal data masked; absent when it cannot be decrypted
	Difference *Difference   `json:"difference,omitzero"` // from the newest document of the order that passed validation
	Today      *Rehearsal    `json:"today,omitzero"`
}

// judge shows a letter's record and asks the deployed code about it. A record that cannot be read shows as absent, and the
// rest of the letter all the same.
func (c *console) judge(ctx context.Context, v store.LetterView) (j letterJudgement, err error) {
	if text, known := cause.Of(cause.English, v.Code); known {
		j.Means = &text
	}
	payload, headers, err := c.db.LetterRecord(ctx, c.personal, v.ID)
	if err != nil {
		return j, c.unreadable(ctx, v, err)
	}
	masked := maskRecord(v.OriginTopic, v.OrderKey, payload)
	j.Record = &masked
	document, accepted, err := c.db.DocumentOf(ctx, c.personal, v.OrderKey)
	switch {
	case err == nil:
		changes := differenceOf(v, payload, document, accepted)
		j.Difference = &changes
	case !errors.Is(err, store.ErrNotFound):
		return j, c.unreadable(ctx, v, err)
	}
	letter, err := deadletter.Parse(event.Message{
		Topic: v.DLQTopic, Partition: v.DLQPartition, Offset: v.DLQOffset, Key: string(v.OrderKey), Value: payload, Headers: headers,
	})
	if err != nil {
		return j, nil // nobody's letter: it cannot be sent home, and there is nothing to ask
	}
	today, err := c.rehearser.Rehearse(ctx, []deadletter.Letter{letter})
	if err != nil {
		return j, fmt.Errorf("judge letter: %w", err)
	}
	j.Today = &today[0]
	return j, nil
}

// unreadable tells an outage from bytes that no key of ours opens, or that are kept no more.
func (c *console) unreadable(ctx context.Context, v store.LetterView, err error) error {
	if errors.Is(err, store.ErrGone) {
		return nil
	}
	if _, errRead := c.db.Letter(ctx, v.ID); errRead != nil {
		return errRead
	}
	c.log.Warn("letter not decrypted", zap.Int64("letter", v.ID), zap.String("order_key", string(v.OrderKey)), zap.String("cause", store.Describe(err)))
	return nil
}

// codeSuperseded is what a rehearsal says of a letter that a newer revision has overtaken.
const codeSuperseded = "superseded"

// one is the question that the replay engine asks in a dry run.
func (r *rehearser) one(ctx context.Context, letter deadletter.Letter) (wouldPass bool, code, path string, err error) {
	all, err := r.Rehearse(ctx, []deadletter.Letter{letter})
	if err != nil {
		return false, "", "", err
	}
	if all[0].SupersededBy != order.Revision(0) {
		return false, codeSuperseded, "", nil
	}
	return all[0].WouldPass, all[0].Code, all[0].Path, nil
}
