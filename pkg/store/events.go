package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// Step names a point in the life of one revision of an order (interfaces.md section 5).
type Step string

// The steps of the timeline. Claimed and Attempt are the ledger's, the others persist's and the console's.
const (
	StepReceived     Step = "received"
	StepValidated    Step = "validated"
	StepRefused      Step = "refused"
	StepClaimed      Step = "claimed"
	StepAttempt      Step = "attempt"
	StepDelivered    Step = "delivered"
	StepPersisted    Step = "persisted"
	StepSuperseded   Step = "superseded"
	StepDuplicate    Step = "duplicate"
	StepDeadLettered Step = "dead_lettered"
	StepReplayed     Step = "replayed"
	StepDiscarded    Step = "discarded"
)

// Event is one row of the timeline, order_events. OrderKey, Revision, Step and Dedupe are its key: writing it again adds
// nothing. Dedupe tells repeated steps of one revision apart, such as the number of an attempt; Code and Detail are
// enumerated or a partner's own code, never text from a payload.
type Event struct {
	OrderKey order.Key
	Revision order.Revision
	Step     Step
	Dedupe   string
	At       time.Time
	Service  string
	Code     string
	Detail   string
}

const insertEvent = `insert into order_events (order_key, revision, step, dedupe, at, service, code, detail)
	values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing`

// QueueEvent adds the writing of an event to a batch.
func QueueEvent(batch *pgx.Batch, e Event) {
	batch.Queue(insertEvent, e.OrderKey, e.Revision, e.Step, e.Dedupe, e.At, e.Service, e.Code, e.Detail)
}

// AddEvent writes one event within a transaction.
func AddEvent(ctx context.Context, db pgx.Tx, e Event) error {
	_, err := db.Exec(ctx, insertEvent, e.OrderKey, e.Revision, e.Step, e.Dedupe, e.At, e.Service, e.Code, e.Detail)
	return err
}
