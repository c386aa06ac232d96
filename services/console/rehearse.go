package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/delivery"
	"orderflow/pkg/event"
	"orderflow/pkg/fact"
	"orderflow/pkg/judge"
	"orderflow/pkg/order"
	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/partner/okki"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// Rehearsal is what would become of one letter if it were replayed now. Without WouldPass and WouldFail it would end
// superseded.
type Rehearsal struct {
	WouldPass    bool           `json:"would_pass"`
	WouldFail    bool           `json:"would_fail"`
	Code         string         `json:"code,omitzero"` // of the letter that it would come back as
	Path         string         `json:"path,omitzero"`
	Detail       string         `json:"detail,omitzero"`
	SupersededBy order.Revision `json:"superseded_by,omitzero"`
	Decides      string         `json:"decides,omitzero"` // whose word is still out, since asking has effects: partner, database
}

// codeUnreadableLetter is the code of a letter that no worker of ours wrote; nothing can be sent home from it.
const codeUnreadableLetter = "unreadable_letter"

const (
	// rehearsalLimit bounds one letter; honest ones take microseconds.
	rehearsalLimit = 2 * time.Second
	// rehearsalSlots bounds how many letters may hang in all; each keeps a processor.
	rehearsalSlots = 2
)

// rehearser runs letters through the workers' own code as far as that has no effects.
type rehearser struct {
	store  *store.Store
	stages map[string]stage
	slots  chan struct{}
}

func newRehearser(s *store.Store) *rehearser {
	return &rehearser{store: s, stages: stages, slots: make(chan struct{}, rehearsalSlots)}
}

// stage is one service's part that has no effects.
type stage struct {
	// try says what the service says about a record that came home. Its error is a *worker.PermanentError.
	try func(home event.Message) (supersededBy order.Revision, err error)
	// partner is whom the service delivers to; "" for those whose order of revisions is that of validation.
	partner string
	decides string
}

var stages = map[string]stage{
	"validate":   {try: tryJudge},
	"okkisync":   {try: tryPrepare(func(document []byte) error { _, err := okki.Total(document); return err }), partner: "okki", decides: "partner"},
	"mallupload": {try: tryPrepare(func(document []byte) error { _, err := ezr.Encode(document); return err }), partner: "ezr", decides: "partner"},
	"persist":    {try: tryRead, decides: "database"},
}

func tryJudge(home event.Message) (order.Revision, error) {
	_, err := judge.Judge(home)
	return 0, err
}

func tryPrepare(prepare func([]byte) error) func(event.Message) (order.Revision, error) {
	return func(home event.Message) (order.Revision, error) {
		_, err := delivery.Check(home, prepare)
		return 0, err
	}
}

func tryRead(home event.Message) (order.Revision, error) {
	f, err := fact.Read(home)
	if err == nil && f.Delivery != nil && f.Delivery.Outcome == event.Superseded {
		return f.Delivery.Other, nil
	}
	return 0, err
}

// Rehearse says for each letter what would become of it, in the same order. A newer revision that has got past the
// letter's service wins over everything else: the letter has nothing to mend any more. Its error is the database's, or
// that of ctx; no letter is ever the cause.
func (r *rehearser) Rehearse(ctx context.Context, letters []deadletter.Letter) ([]Rehearsal, error) {
	newest, err := r.newest(ctx, letters)
	if err != nil {
		return nil, fmt.Errorf("rehearse: %w", err)
	}
	all := make([]Rehearsal, len(letters))
	for i := range letters {
		l := &letters[i]
		if by := newest[i]; by > l.Origin.Revision() {
			all[i] = Rehearsal{SupersededBy: by}
			continue
		}
		if all[i], err = r.try(ctx, l); err != nil {
			return nil, fmt.Errorf("rehearse: %w", err)
		}
	}
	return all, nil
}

// newest gives, for each letter, the newest revision of its order that has got past its service; 0 where there is none.
func (r *rehearser) newest(ctx context.Context, letters []deadletter.Letter) ([]order.Revision, error) {
	byPartner := map[string][]order.Key{}
	for i := range letters {
		if key, partner, ok := r.ranked(&letters[i]); ok {
			byPartner[partner] = append(byPartner[partner], key)
		}
	}
	found := map[string]map[order.Key]order.Revision{}
	for partner, keys := range byPartner {
		var err error
		if partner == "" {
			found[partner], err = r.store.NewestValidated(ctx, keys)
		} else {
			found[partner], err = r.store.NewestAtPartner(ctx, partner, keys)
		}
		if err != nil {
			return nil, err
		}
	}
	newest := make([]order.Revision, len(letters))
	for i := range letters {
		if key, partner, ok := r.ranked(&letters[i]); ok {
			newest[i] = found[partner][key]
		}
	}
	return newest, nil
}

// ranked tells beside which revisions a letter stands: of which order, and past validation or at which partner. The outcome
// of a delivery is history, and stands beside none.
func (r *rehearser) ranked(l *deadletter.Letter) (key order.Key, partner string, ok bool) {
	at, known := r.stages[l.Stage]
	if !known || l.Origin.Topic == event.Deliveries {
		return "", "", false
	}
	meta, err := l.Origin.Meta()
	return meta.OrderKey, at.partner, err == nil
}

// try runs one letter, within its limit.
func (r *rehearser) try(ctx context.Context, l *deadletter.Letter) (Rehearsal, error) {
	at, known := r.stages[l.Stage]
	if !known || l.Origin.Topic == "" {
		return Rehearsal{WouldFail: true, Code: codeUnreadableLetter}, nil
	}
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return Rehearsal{}, context.Cause(ctx)
	}
	done := make(chan Rehearsal, 1)
	home := deadletter.Home(*l, "rehearsal", "")
	go func() {
		done <- at.rehearse(home)
		<-r.slots
	}()
	limit := time.NewTimer(rehearsalLimit)
	defer limit.Stop()
	select {
	case result := <-done:
		return result, nil
	case <-limit.C:
		return Rehearsal{WouldFail: true, Code: string(worker.DeadlineCode)}, nil
	case <-ctx.Done():
		return Rehearsal{}, context.Cause(ctx)
	}
}

func (at stage) rehearse(home event.Message) (result Rehearsal) {
	defer func() {
		if recover() != nil { // its value may quote the record
			result = Rehearsal{WouldFail: true, Code: string(worker.PanicCode)}
		}
	}()
	by, err := at.try(home)
	permanent, fault := errors.AsType[*worker.PermanentError](err)
	switch {
	case fault:
		return Rehearsal{WouldFail: true, Code: string(permanent.Code), Path: permanent.Path, Detail: permanent.Detail}
	case err != nil: // no stage has another error
		return Rehearsal{WouldFail: true, Code: string(worker.RetriesExhausted)}
	case by != 0:
		return Rehearsal{SupersededBy: by}
	default:
		return Rehearsal{WouldPass: true, Decides: at.decides}
	}
}
