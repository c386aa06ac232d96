package delivery

import (
	"context"
	"fmt"
	"time"

	"orderflow/pkg/partner"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// Patience with a database that went away between call and settle. Whatever is not settled before its lease runs out
// counts as unknown and is sent again.
const (
	settleTimeout = 3 * time.Second // of one try; also when we are being stopped
	settlePause   = 250 * time.Millisecond
	settleShare   = 0.5 // of the lease, beside the share for calls; after it trying on is in vain
)

// settle writes down how the sent jobs ended and decides their results. A job whose older revision was resolved stays
// open.
func (d *Desk) settle(ctx context.Context, sent []*job) {
	settlements := make([]store.Settlement, len(sent))
	for i, j := range sent {
		settlements[i] = store.Settlement{
			OrderKey: j.meta.OrderKey, Revision: j.parcel.Revision, Attempt: j.parcel.Attempt,
			Ending: d.ending(j.parcel, j.answer), Code: j.answer.code(), Took: j.answer.Took,
		}
		if ended := settlements[i].Ending; ended == store.Unknown || ended == store.Delivered && j.grant.Keep {
			settlements[i].Request = d.Keys.Encrypt(j.parcel.Body, place(j.meta.OrderKey, j.parcel.Revision))
		}
	}
	settled, err := d.settleWithin(ctx, settlements)
	for i, j := range sent {
		switch {
		case err != nil:
			j.fail(outage(ctx, err))
		case settled[i].Status != store.Kept:
			j.fail(fmt.Errorf("claim %s: %w", settled[i].Status, worker.ErrBusy))
		default:
			d.decide(j, settlements[i].Ending, settled[i])
		}
	}
}

// settleWithin settles even when we are being stopped: what the partner said must not be lost. It tries on while the
// database is away, as long as the claims live.
func (d *Desk) settleWithin(ctx context.Context, settlements []store.Settlement) ([]store.Settled, error) {
	giveUp := time.Now().Add(time.Duration(settleShare * float64(d.Ledger.Lease)))
	for {
		try, stop := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
		settled, err := d.Ledger.Settle(try, settlements)
		stop()
		if err == nil || store.Classify(err) != store.Outage || time.Now().After(giveUp) {
			return settled, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(settlePause):
		}
	}
}

// decide gives a job its result from the ending of what was sent for it.
func (d *Desk) decide(j *job, ended store.Ending, settled store.Settled) {
	if j.grant.Verdict == store.Unsettled {
		if ended == store.Unknown || ended == store.NotTaken {
			j.fail(fmt.Errorf("resolve revision %d first: %w", j.parcel.Revision, transient(j.answer.Err)))
		}
		return
	}
	if settled.Delivery.Outcome != "" {
		d.publish(j, settled.Delivery, true) // also of what was delivered once and is refused when it is sent again
		return
	}
	switch ended {
	case store.Refused:
		j.fail(&worker.PermanentError{Code: worker.PartnerRejected, Detail: j.answer.code(), Err: j.answer.Err})
		j.result.Answered = true
	case store.Conflict:
		j.fail(&worker.PermanentError{Code: worker.PartnerConflict, Detail: j.answer.code(), Err: j.answer.Err})
		j.result.Answered = true
	default:
		j.fail(transient(j.answer.Err))
		j.result.Answered = j.answer.Err.Class == partner.Missing // what is missing may yet come; the partner did answer
	}
}

// ending tells what an answer means for the ledger. "Exists already" is success only where an earlier call with the same
// content may have been taken, and nothing else was before it: a partner that takes no changes answers so to every one.
// "Does not exist" is final where the order comes after no other, and at the last attempt.
func (d *Desk) ending(p Parcel, a Answer) store.Ending {
	if a.Err == nil {
		return store.Delivered
	}
	switch a.Err.Class {
	case partner.Exists:
		if p.MaybeTaken && !p.HoldsOther {
			return store.Delivered
		}
		return store.Conflict
	case partner.Missing:
		if p.After != "" && p.Attempt < d.MaxAttempts {
			return store.NotTaken
		}
		return store.Refused
	case partner.NotTaken, partner.Configuration:
		return store.NotTaken
	case partner.Unknown:
		return store.Unknown
	default: // of a single order: refused, or nothing left to split or halve
		return store.Refused
	}
}

// transient makes the worker's error of a partner's answer that says nothing about the order.
func transient(err *partner.Error) error {
	switch {
	case err.Class == partner.Configuration:
		return &worker.ConfigurationError{Err: err}
	case err.RetryAfter > 0:
		return &worker.PauseError{After: err.RetryAfter, Err: err}
	default:
		return err
	}
}

func (a Answer) code() string {
	if a.Err != nil {
		return a.Err.Code
	}
	return a.Code
}
