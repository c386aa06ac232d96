// Package partner holds what the clients of OKKI and EZR share: how an answer is classed. Each client classifies its own
// system's answers beside its code (pkg/partner/okki, pkg/partner/ezr); the workers only look at the class.
package partner

import (
	"fmt"
	"strings"
	"time"
)

// Class says what a failed call means for the order and for the partner.
type Class string

// The classes. Refused, Exists, Missing, Split and TooLarge are definite answers; the others say nothing about the record.
// Split and TooLarge concern batches of two orders and more: a single order at fault is Refused.
const (
	Refused       Class = "refused"       // the order is at fault; trying again is useless
	Exists        Class = "exists"        // the partner holds this order number already
	Missing       Class = "missing"       // what the order refers to is not there, or not yet
	Split         Class = "split"         // some order of a batch is at fault; bisect
	TooLarge      Class = "too_large"     // the batch is too large; halve
	NotTaken      Class = "not_taken"     // very likely not executed: connection refused, limited; try again
	Unknown       Class = "unknown"       // the order may or may not have been taken: timeout, cut connection, 5xx
	Configuration Class = "configuration" // credentials or permissions; no waiting mends it
)

// Answer is a call that succeeded: the partner took what was sent. Code is the partner's own code of success.
type Answer struct{ Code string }

// Error is a call that did not succeed. Code holds the partner's own code and nothing else: the partner's texts may quote
// a person and are not kept. Err, where there is one, is our side's view of the exchange (a deadline, a refused
// connection); it holds neither URL nor bytes of the partner.
type Error struct {
	Class      Class
	Code       string
	RetryAfter time.Duration // how long the partner asks everybody to wait; 0: it did not ask
	Err        error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("partner answered %s (%s): %v", e.Class, e.Code, e.Err)
	}
	return fmt.Sprintf("partner answered %s (%s)", e.Class, e.Code)
}

func (e *Error) Unwrap() error { return e.Err }

// maxCode bounds a partner's code, in bytes; documented ones stay far below.
const maxCode = 64

// SafeCode gives back a code in the shape that partners document (letters, digits, ".", "_", "-"). What follows a colon is
// dropped: TOP names the parameter there, as in "isv.invalid-parameter:amount". Anything else may quote what it should not
// and becomes "unprintable-code".
func SafeCode(code string) string {
	given := code
	if code, _, _ = strings.Cut(code, ":"); len(code) > maxCode || code == "" && given != "" {
		return "unprintable-code"
	}
	for i := range len(code) {
		c := code[i]
		if c != '.' && c != '_' && c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return "unprintable-code"
		}
	}
	return code
}

// Definite tells whether the partner answered about the order itself.
func (c Class) Definite() bool {
	return c == Refused || c == Exists || c == Missing || c == Split || c == TooLarge
}
