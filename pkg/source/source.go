// Package source holds what the three contracts share: the codes of a refused order, the check at the door, the tolerant
// wire types and the way to name the field at fault. Each contract has its own package below this one: wire types,
// decoding, signature check, rules and mapping to order.Order.
//
// A rule that a contract states refuses an order with a Fault; a rule that we merely find sensible adds a warning to it.
// Two codes need a word: over_limit is the house's bound on lists (MaxLines), not a contract's; and no contract says that
// lines must differ, so duplicate_line is only ever a warning.
package source

import "fmt"

// Code is an enumerated reason why validate refuses an order (interfaces.md section 7).
type Code string

// The codes. Each comes with the JSON pointer of the field at fault.
const (
	BadJSON          Code = "bad_json"
	MissingField     Code = "missing_field"
	BadType          Code = "bad_type"
	BadAmount        Code = "bad_amount"
	BadTime          Code = "bad_time"
	BadEnum          Code = "bad_enum"
	TooLong          Code = "too_long"
	EmptyLines       Code = "empty_lines"
	OverLimit        Code = "over_limit"
	SumMismatch      Code = "sum_mismatch"
	QtyMismatch      Code = "qty_mismatch"
	NegativeDiscount Code = "negative_discount"
	ReturnSign       Code = "return_sign"
	TooOld           Code = "too_old"
	DuplicateLine    Code = "duplicate_line"
)

// Fault is why an order is refused, and where. Its text names the rule and the field, never a value.
type Fault struct {
	Code Code
	Path string // JSON pointer (RFC 6901) into the pushed document; "" is the document itself
	Rule string // the rule in words
}

func (f *Fault) Error() string {
	if f.Path == "" {
		return fmt.Sprintf("%s: %s", f.Code, f.Rule)
	}
	return fmt.Sprintf("%s at %s: %s", f.Code, f.Path, f.Rule)
}
