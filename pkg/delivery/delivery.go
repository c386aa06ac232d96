// Package delivery is how the partner workers deliver: they claim an order in the ledger, call the partner, settle, and
// publish the outcome on deliveries.v1 (design.md section 5). What differs between partners is how a document is prepared
// and how orders are sent.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/partner"
	"orderflow/pkg/privacy"
	"orderflow/pkg/source"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// Desk delivers the orders of one source to one partner. Handle is a worker.BatchHandler.
type Desk struct {
	Service string
	Ledger  *store.Ledger
	Keys    *privacy.Keys // requests with an unknown outcome rest encrypted in the ledger
	Metrics *Metrics

	// MaxAttempts bounds how often an order is sent whose partner misses what it comes after; see Prepared.After.
	MaxAttempts int

	// Prepare turns a normalised document into what is sent. Its error means that the document is at fault, and quotes no
	// value of it.
	Prepare func(document []byte) (Prepared, error)
	// Send hands orders over and gives one Answer each, in the same order. The context ends when no further request may
	// be written.
	Send func(ctx context.Context, parcels []Parcel) []Answer
}

// Prepared is a document as it goes to a partner.
type Prepared struct {
	Body  []byte
	Total string // exact text of a decimal, or ""

	// After is the order that the partner has to hold before it takes this one, the sale of a return; "" for none.
	After order.Key
}

// Parcel is one order to be sent.
type Parcel struct {
	OrderKey order.Key
	Revision order.Revision
	Body     []byte
	Attempt  int // 1 for the first time ever

	// MaybeTaken says that an earlier call with the same content may have been taken.
	MaybeTaken bool
	// HoldsOther says that the partner took this order with another content before.
	HoldsOther bool

	After order.Key // as it was prepared; "" where an older revision is resolved
}

// Answer is what the partner said about one Parcel; without an error it was taken.
type Answer struct {
	Code string
	Took time.Duration
	Err  *partner.Error
}

// NewAnswer is the answer of a partner's client, whose error is always a *partner.Error.
func NewAnswer(taken partner.Answer, err error, took time.Duration) Answer {
	if err == nil {
		return Answer{Code: taken.Code, Took: took}
	}
	failed, ok := errors.AsType[*partner.Error](err)
	if !ok {
		failed = &partner.Error{Class: partner.Unknown, Code: "unclassified", Err: err}
	}
	return Answer{Took: took, Err: failed}
}

// maxRounds bounds how many older revisions of an order are resolved before it is sent. There is hardly ever one.
const maxRounds = 4

// job is one message on its way through Handle.
type job struct {
	in     event.Message
	meta   event.Meta
	ready  Prepared
	held   error          // why no call may be made yet, or ever; nil: it may
	result *worker.Result // nil as long as it is undecided

	mending bool // sent again from the ledger: no record brings it back

	grant  store.Grant
	parcel Parcel
	answer Answer
}

// Handle delivers a batch of messages, never two of one order, and gives one result each. It may be called again for any
// of them: the ledger knows what happened before.
func (d *Desk) Handle(ctx context.Context, in []event.Message) []worker.Result {
	jobs := make([]*job, len(in))
	for i := range in {
		jobs[i] = d.open(in[i])
	}
	d.holdBack(ctx, jobs)
	for range maxRounds {
		open := undecided(jobs)
		if len(open) == 0 {
			break
		}
		d.round(ctx, open)
	}
	results := make([]worker.Result, len(jobs))
	for i, j := range jobs {
		if j.result == nil {
			j.fail(fmt.Errorf("older revisions still unresolved: %w", worker.ErrBusy))
		}
		results[i] = *j.result
	}
	return results
}

// open reads what the message says about itself.
func (d *Desk) open(in event.Message) *job {
	j := &job{in: in}
	var err error
	j.meta, err = Check(in, func(document []byte) (err error) {
		j.ready, err = d.Prepare(document)
		return err
	})
	if err != nil {
		j.fail(err)
	}
	if j.ready.After == j.meta.OrderKey {
		j.ready.After = "" // it would wait for itself
	}
	return j
}

// Check is all that a desk asks of a message before it claims the order: readable headers, and a document that can be
// prepared. Its only error is a *worker.PermanentError: the record is at fault.
func Check(in event.Message, prepare func(document []byte) error) (event.Meta, error) {
	meta, err := in.Meta()
	if err != nil {
		return meta, worker.Permanent(missingField, err)
	}
	if !printable(string(meta.OrderKey)) || !printable(meta.Digest) {
		return meta, worker.Permanent(worker.DBData, errors.New("order key or digest is not printable text"))
	}
	if err := prepare(in.Value); err != nil {
		return meta, unusable(err)
	}
	return meta, nil
}

// unusable is the verdict on a document that Prepare cannot read.
func unusable(err error) error {
	if fault, ok := errors.AsType[*source.Fault](err); ok {
		return &worker.PermanentError{Code: worker.Code(fault.Code), Path: fault.Path, Err: err}
	}
	return worker.Permanent(badDocument, err)
}

// Codes for records that validate would never have written: they are foreign or damaged.
const (
	missingField = worker.Code(source.MissingField)
	badDocument  = worker.Code(source.BadJSON)
)

// round claims the open jobs, sends those that are granted, and settles. It leaves those open whose older revision it
// resolved.
func (d *Desk) round(ctx context.Context, open []*job) {
	granted, deadline, err := d.claim(ctx, open)
	if err != nil {
		for _, j := range open {
			j.fail(outage(ctx, err))
		}
		return
	}
	if len(granted) == 0 {
		return
	}
	parcels := make([]Parcel, len(granted))
	for i, j := range granted {
		parcels[i] = j.parcel
	}
	calling, stop := context.WithDeadline(ctx, deadline)
	answers := d.Send(calling, parcels)
	stop()
	for i, j := range granted {
		j.answer = answers[i]
		d.Metrics.count(answers[i])
	}
	d.settle(ctx, granted)
}

// claim asks the ledger about the open jobs and gives those that are to be sent.
func (d *Desk) claim(ctx context.Context, open []*job) (granted []*job, deadline time.Time, err error) {
	claiming, stop := context.WithTimeout(ctx, d.Ledger.Lease)
	defer stop()
	content, err := d.Ledger.ContentKey(claiming, d.Keys)
	if err != nil {
		return nil, deadline, err
	}
	intents := make([]store.Intent, len(open))
	for i, j := range open {
		intents[i] = store.Intent{
			OrderKey: j.meta.OrderKey, Revision: j.meta.Revision, Digest: content.Keyed(j.meta.Digest), Plain: j.meta.Digest, Total: j.ready.Total,
			Newer: j.in.Newer, Held: j.held != nil,
		}
		if j.meta.ReplayJob != "" || j.mending {
			// Should we die, the replayed record comes back in no order with newer ones of the main topic.
			intents[i].Request = d.Keys.Encrypt(j.ready.Body, place(j.meta.OrderKey, j.meta.Revision))
		}
	}
	grants, err := d.Ledger.Claim(claiming, intents)
	if err != nil {
		return nil, deadline, err
	}
	for i, j := range open {
		j.grant = grants[i]
		if d.accept(j) {
			granted, deadline = append(granted, j), j.grant.Deadline
		}
	}
	return granted, deadline, nil
}

// accept acts on a grant, and tells whether something is to be sent.
func (d *Desk) accept(j *job) bool {
	grant := j.grant
	switch grant.Verdict {
	case store.Call:
		j.parcel = Parcel{
			j.meta.OrderKey, j.meta.Revision, j.ready.Body, grant.Attempt, grant.MaybeTaken, grant.HoldsOther, j.ready.After,
		}
		return true
	case store.Unsettled:
		body, err := d.Keys.Decrypt(grant.Earlier.Request, place(j.meta.OrderKey, grant.Earlier.Revision))
		if err != nil {
			// The claim of the older one runs out by itself; without its key there is nothing to send.
			j.fail(&worker.ConfigurationError{Err: fmt.Errorf("open the request of revision %d: %w", grant.Earlier.Revision, err)})
			return false
		}
		j.parcel = Parcel{j.meta.OrderKey, grant.Earlier.Revision, body, grant.Earlier.Attempt, true, grant.HoldsOther, ""}
		return true
	case store.Done:
		d.publish(j, grant.Delivery, false)
	case store.Held:
		j.fail(j.held)
	default:
		j.fail(worker.ErrBusy)
	}
	return false
}

// publish makes the outcome's message. The same outcome always gives the same bytes.
func (d *Desk) publish(j *job, delivery event.Delivery, answered bool) {
	value, err := json.Marshal(delivery)
	if err != nil {
		j.fail(fmt.Errorf("encode delivery: %w", err))
		return
	}
	out := event.New(event.Deliveries, d.Service, j.meta, delivery.At, "application/json", value)
	j.result = &worker.Result{Out: []event.Message{out}, Answered: answered, NoCall: !answered}
}

func (j *job) fail(err error) { j.result = &worker.Result{Err: err} }

func undecided(jobs []*job) []*job {
	var open []*job
	for _, j := range jobs {
		if j.result == nil {
			open = append(open, j)
		}
	}
	return open
}

// outage blames the database, or nobody when we are being stopped.
func outage(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &worker.OutageError{Err: errors.New(store.Describe(err))}
}

func place(key order.Key, revision order.Revision) []byte {
	return store.RequestPlace(key, revision)
}

// printable tells whether PostgreSQL takes a text: order keys and digests of our own making are plain ASCII.
func printable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
