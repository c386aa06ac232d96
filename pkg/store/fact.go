package store

import (
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// Fact is one thing that is known about one revision of an order: one of the pointers is set, or none, where all that is known
// is that it was received. Facts come from
// different topics in any order and any number of times; see the table in fold.go for what they amount to.
type Fact struct {
	Meta      event.Meta
	Service   string // who found it out
	Validated *Validated
	Delivery  *event.Delivery
	Letter    *Letter
	Discard   *Discard
}

// Validated is the fact that a revision passed validation.
type Validated struct {
	Order    order.Order
	Document []byte // the normalised document; encrypted when it is stored
	At       time.Time
}

// Letter is the fact that a record became a dead letter.
type Letter struct {
	deadletter.Letter
	// Record is the letter as read from the dead-letter topic: it tells where the letter lies.
	Record  event.Message
	Excerpt Excerpt
}

// Excerpt is what could be read of a document that was refused.
type Excerpt struct {
	OrderNo string
	Numbers []string // every number that people may ask for the order by
	Shop    string
	Total   decimal.NullDecimal
}

// Discard is the fact that a named person gave a letter up.
type Discard struct {
	LetterID int64
	By       string
	Reason   string
	At       time.Time
}

// partner tells whether a source's orders go on to a partner. The others end when they are stored.
func partner(source order.Source) bool { return source != order.Procurement }
