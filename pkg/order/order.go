// Package order says what an order is, whatever contract it came by: its key, its revision, its money and its lines. It
// does no I/O; pkg/source maps each contract's document to an Order.
package order

import (
	"time"

	"github.com/shopspring/decimal"
)

// Kind is what an order means to an analyst.
type Kind string

// The kinds of orders.
const (
	Sale            Kind = "sale"
	Return          Kind = "return"
	ServiceContract Kind = "service_contract"
	Purchase        Kind = "procurement"
)

// Order is the canonical order. Amounts are the sender's own figures, nothing recomputed; an absent amount is not zero
// but invalid (decimal.NullDecimal). Times are instants; a zero time is absent.
type Order struct {
	Key        Key
	Source     Source
	OrderNo    string
	OriginalNo string   // the sale that a return takes back
	Numbers    []string // every number that people may ask for this order by, OrderNo first
	Kind       Kind
	Shop       string
	Channel    string
	Status     string
	Currency   string // ISO 4217; a constant per source, since no contract carries one
	Total      decimal.NullDecimal
	Paid       decimal.NullDecimal
	Discount   decimal.NullDecimal
	ListPrice  decimal.NullDecimal
	Lines      []Line
	Personal   Personal
	PlacedAt   time.Time
	PaidAt     time.Time
	Warnings   []string // rules that we merely find sensible and that this order breaks
}

// Line is one line of an order; No counts from 1 in the document's order.
type Line struct {
	No        int
	ID        string // the sender's own line number, where the contract has one
	Product   string // product id or bar code
	Name      string
	Quantity  decimal.NullDecimal
	UnitPrice decimal.NullDecimal
	ListPrice decimal.NullDecimal
	Discount  decimal.NullDecimal
	Amount    decimal.NullDecimal
}

// Personal holds everything that may point at a person (protocols section 5). It is never logged, never published to
// analysts, and stored encrypted.
type Personal struct {
	Account  string `json:"account,omitzero"` // buyer account or user id
	Name     string `json:"name,omitzero"`
	Phone    string `json:"phone,omitzero"`
	Tel      string `json:"tel,omitzero"`
	Company  string `json:"company,omitzero"`
	Province string `json:"province,omitzero"`
	City     string `json:"city,omitzero"`
	County   string `json:"county,omitzero"`
	Address  string `json:"address,omitzero"`
}
