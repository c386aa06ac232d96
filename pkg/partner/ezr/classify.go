package ezr

import (
	"time"

	"orderflow/pkg/partner"
)

// EZR's status codes that others speak of; protocols 4.3 has the whole table.
const (
	CodeNoData    = "307"
	CodeClock     = "308"
	CodeTooLong   = "1001"
	CodeDuplicate = "1200" // an order twice in one call, or possibly uploaded before
	CodeExists    = "2102"
	CodeMissing   = "2103" // what the order refers to does not exist
)

// CodeBadAnswerSign is our own: an answer that says yes without EZR's signature.
const CodeBadAnswerSign = "bad-answer-sign"

// longPause follows code 2010, too many retries. No figure is published.
const longPause = 10 * time.Minute

// codeClasses are the codes of protocols 4.3. What blames an order's data is Split: which order of a batch it means is
// not said. 1010 blames the shop's set-up, which all orders of a batch share: bisecting would find nothing, and the
// other shops must go on.
var codeClasses = map[string]partner.Class{
	"303": partner.Split, "306": partner.Split, CodeNoData: partner.Split,
	CodeClock: partner.Configuration,
	"400":     partner.Configuration, "405": partner.Configuration, "1000": partner.Configuration,
	"406": partner.Split, "1002": partner.Split, "2000": partner.Split, "2001": partner.Split,
	"407":         partner.NotTaken,
	"500":         partner.Unknown,
	CodeTooLong:   partner.TooLarge,
	"1010":        partner.Refused,
	CodeDuplicate: partner.Exists, CodeExists: partner.Exists,
	"2010": partner.NotTaken,
	"2100": partner.Split, "2101": partner.Split, CodeMissing: partner.Split,
}

// classify classes an answer whose Status is false; a code that nobody documents is Unknown.
func classify(code string) *partner.Error {
	failed := &partner.Error{Class: partner.Unknown, Code: partner.SafeCode(code)}
	if class, ok := codeClasses[code]; ok {
		failed.Class = class
	}
	if code == "2010" {
		failed.RetryAfter = longPause
	}
	return failed
}

// forBatch applies a class to a batch of n orders: one order has nothing to split or halve and is refused itself, or lacks
// what it refers to.
func forBatch(failed *partner.Error, n int) *partner.Error {
	if n == 1 && failed.Code == CodeMissing {
		failed.Class = partner.Missing
		return failed
	}
	if n == 1 && (failed.Class == partner.Split || failed.Class == partner.TooLarge) {
		failed.Class = partner.Refused
	}
	return failed
}
