// Package published is the record of orders.v1, the analysts' topic: one order at one revision as it passed validation,
// typed, with exact amounts and without personal data. Its schema is schemas/events/order.avsc.
package published

import (
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// Topic and the subject of its schema.
const (
	Topic   = event.Orders
	Subject = Topic + "-value"
)

// Record is the value of one record. An empty text, a zero time and an invalid amount are absent (null). The greatest
// revision of an order wins; a replayed older one may arrive later.
type Record struct {
	OrderKey         order.Key
	Source           order.Source
	Revision         order.Revision
	EventID          string
	Kind             order.Kind
	OrderNo          string
	OriginalOrderNo  string // the sale that a return takes back
	Shop             string
	Channel          string
	Status           string
	Currency         string // ISO 4217
	Total            decimal.NullDecimal
	Paid             decimal.NullDecimal
	Discount         decimal.NullDecimal
	ListPrice        decimal.NullDecimal
	Lines            []Line
	BuyerPseudonym   string
	PhonePseudonym   string
	CompanyPseudonym string
	Province         string
	City             string
	PlacedAt         time.Time
	PaidAt           time.Time
	ReceivedAt       time.Time
	PublishedAt      time.Time
	ReplayJob        string
	Warnings         []string
}

// Line is one line of an order; LineNo counts from 1.
type Line struct {
	LineNo    int
	LineID    string
	Product   string
	Name      string
	Quantity  decimal.NullDecimal
	UnitPrice decimal.NullDecimal
	ListPrice decimal.NullDecimal
	Discount  decimal.NullDecimal
	Amount    decimal.NullDecimal
}

// Pseudonyms stand for people; *privacy.Pseudonyms makes them.
type Pseudonyms interface {
	Pseudonym(kind privacy.Kind, value string) string
}

// New makes the record of an order that passed validation. What may point at a person (order.Personal) enters as a keyed
// pseudonym or, of an address, as province and city, if they are those of China; everything else of it stays out. Labels
// came without it (order.Order.LeaveOutPersonal).
func New(o *order.Order, meta event.Meta, pseudonyms Pseudonyms, at time.Time) Record {
	r := Record{
		OrderKey:         meta.OrderKey,
		Source:           o.Source,
		Revision:         meta.Revision,
		EventID:          meta.ID(),
		Kind:             o.Kind,
		OrderNo:          o.OrderNo,
		OriginalOrderNo:  o.OriginalNo,
		Shop:             o.Shop,
		Channel:          o.Channel,
		Status:           o.Status,
		Currency:         o.Currency,
		Total:            o.Total,
		Paid:             o.Paid,
		Discount:         o.Discount,
		ListPrice:        o.ListPrice,
		Lines:            make([]Line, len(o.Lines)),
		BuyerPseudonym:   pseudonyms.Pseudonym(privacy.BuyerAt(o.Channel), o.Personal.Account),
		PhonePseudonym:   pseudonyms.Pseudonym(privacy.Phone, o.Personal.Phone),
		CompanyPseudonym: pseudonyms.Pseudonym(privacy.Company, o.Personal.Company),
		Province:         place(provinces, o.Personal.Province),
		City:             place(cities, o.Personal.City),
		PlacedAt:         o.PlacedAt,
		PaidAt:           o.PaidAt,
		ReceivedAt:       meta.ReceivedAt,
		PublishedAt:      at,
		ReplayJob:        meta.ReplayJob,
		Warnings:         o.Warnings,
	}
	for i := range o.Lines {
		l := &o.Lines[i]
		r.Lines[i] = Line{
			LineNo: l.No, LineID: l.ID, Product: l.Product, Name: l.Name, Quantity: l.Quantity,
			UnitPrice: l.UnitPrice, ListPrice: l.ListPrice, Discount: l.Discount, Amount: l.Amount,
		}
	}
	return r
}
