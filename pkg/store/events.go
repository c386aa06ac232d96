package store

import (
	"strconv"
	"strings"
	"time"

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

// Call tells how an attempt at a partner ended and how long the call took, -1 where nobody knows: its worker died. The
// detail is the ledger's text.
func (e Event) Call() (ending Ending, took time.Duration) {
	outcome, rest, _ := strings.Cut(e.Detail, ", ")
	outcome, _, _ = strings.Cut(strings.Replace(outcome, ":", " ", 1), " ")
	ms, err := strconv.ParseInt(strings.TrimSuffix(rest, " ms"), 10, 64)
	if err != nil {
		return Ending(outcome), -1
	}
	return Ending(outcome), time.Duration(ms) * time.Millisecond
}
