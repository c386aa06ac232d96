package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"orderflow/pkg/event"
)

// Handler takes one message and says what became of it. It is called again for the same message after a transient error,
// and after a redelivery, so its effects are idempotent.
type Handler func(ctx context.Context, in event.Message) Result

// BatchHandler takes several messages, never two of one order key, and returns one Result each, in the same order.
type BatchHandler func(ctx context.Context, in []event.Message) []Result

// Result is what became of one message.
type Result struct {
	Out []event.Message // written and acknowledged before the input is committed
	Err error           // nil, a *PermanentError, or transient: see the constructors below

	// Answered says that the outside system gave a definite answer about this message, whatever it said. Only such
	// answers about other orders make a failed attempt count against a message (law 3).
	Answered bool
	// NoCall says that nothing was asked for this message, as when its outcome was known already: the result says nothing
	// about the outside system's health.
	NoCall bool
}

// Code is an enumerated reason for a dead letter, interfaces.md section 7.
type Code string

// Codes that the loops and the partner workers give; validate has its own in pkg/source.
const (
	PartnerRejected  Code = "partner_rejected"
	PartnerConflict  Code = "partner_conflict"
	SaleParked       Code = "sale_parked"
	RetriesExhausted Code = "retries_exhausted"
	DeadlineCode     Code = "deadline"
	PanicCode        Code = "panic"
	DBData           Code = "db_data"
)

// PermanentError says that the record itself is at fault: it becomes a dead letter and is not tried again. Its texts go
// to operators in clear, so none of them may quote a value from the record.
type PermanentError struct {
	Code   Code
	Path   string // JSON pointer to the field at fault, or ""
	Detail string // the partner's own code, or ""
	Err    error
}

// Permanent claims that the record is at fault. It is claimed, never guessed: every other error is transient.
func Permanent(code Code, err error) error { return &PermanentError{Code: code, Err: err} }

func (e *PermanentError) Error() string {
	text := string(e.Code)
	if e.Path != "" {
		text += " at " + e.Path
	}
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *PermanentError) Unwrap() error { return e.Err }

// PauseError is a transient error that concerns the whole partner: no call is made by this process for After (clamped to
// RETRY_AFTER_MAX), whatever lane it would serve.
type PauseError struct {
	After time.Duration
	Err   error
}

func (e *PauseError) Error() string {
	return fmt.Sprintf("partner asks to wait %s: %v", e.After, e.Err)
}
func (e *PauseError) Unwrap() error { return e.Err }

// ConfigurationError is a transient error that no waiting mends: wrong credentials, an address that is not allowed.
// Readiness turns red, and nothing is counted against a record.
type ConfigurationError struct{ Err error }

func (e *ConfigurationError) Error() string { return "configuration: " + e.Err.Error() }
func (e *ConfigurationError) Unwrap() error { return e.Err }

// OutageError is a transient error whose cause is shared by all records: a database or partner that is away. It never
// counts against a record.
type OutageError struct{ Err error }

func (e *OutageError) Error() string { return "outage: " + e.Err.Error() }
func (e *OutageError) Unwrap() error { return e.Err }

// ErrBusy says that another worker holds the order; trying again later costs no attempt.
var ErrBusy = errors.New("order is held by another worker")
