package source

import (
	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
)

// Amount is an exact decimal that remembers the sender's literal text. It is written as a JSON number of exactly that
// text, so no amount ever passes through a float. A blank text is absent.
type Amount struct {
	Text    string // as sent; "" is absent
	Decimal decimal.Decimal
}

// AmountText is an Amount that its contract writes as a JSON string.
type AmountText struct{ Amount }

// Given tells that the amount was sent, be it zero.
func (a Amount) Given() bool { return a.Text != "" }

// Null is the amount for the canonical order, where an absent one is not zero but invalid.
func (a Amount) Null() decimal.NullDecimal {
	return decimal.NullDecimal{Decimal: a.Decimal, Valid: a.Given()}
}

// HasDecimals tells whether the amount is exact with so many decimals: 450.000 is with two, 450.001 is not. An absent
// amount is.
func (a Amount) HasDecimals(places int32) bool {
	return -a.Decimal.Exponent() <= places || a.Decimal.Truncate(places).Equal(a.Decimal)
}

// UnmarshalJSONFrom takes a number or a numeric string within the bounds of order.ParseAmount.
func (a *Amount) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	text, given, err := scalar(dec, "an amount")
	if err != nil || !given || text == "" {
		return err
	}
	value, err := order.ParseAmount(text)
	if err != nil {
		return faultAt(dec, BadAmount, err.Error())
	}
	*a = Amount{text, value}
	return nil
}

// MarshalJSONTo writes the literal text as a number: order.ParseAmount takes nothing but JSON's grammar.
func (a *Amount) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteValue(append(enc.AvailableBuffer(), a.Text...))
}

// MarshalJSONTo writes the literal text as a string.
func (a *AmountText) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteToken(jsontext.String(a.Text))
}
