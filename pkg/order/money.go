package order

import (
	"errors"

	"github.com/shopspring/decimal"
)

// Bounds of an amount. They are far beyond any real order and small enough that arithmetic on the largest amount stays
// cheap: a hostile `1e1000000000` is refused by its text, before a number is made of it.
const (
	maxAmountText   = 64
	maxIntDigits    = 18
	maxFractionPart = 8
	maxExponent     = 32
)

// ErrAmount says that a text is not an exact decimal within the house's bounds. It never quotes the text.
var ErrAmount = errors.New("not a decimal number within bounds")

// ParseAmount reads an exact decimal in JSON's number grammar, an exponent included, from text of at most 64 bytes, with
// at most 18 digits before the point and 8 behind it. It never goes through a float.
func ParseAmount(text string) (decimal.Decimal, error) {
	if len(text) == 0 || len(text) > maxAmountText || !amountGrammar(text) {
		return decimal.Decimal{}, ErrAmount
	}
	d, err := decimal.NewFromString(text)
	if err != nil {
		return decimal.Decimal{}, ErrAmount
	}
	if d.IsZero() {
		return canonicalZero(d), nil
	}
	digits := d.NumDigits()
	if intDigits := digits + int(d.Exponent()); intDigits > maxIntDigits {
		return decimal.Decimal{}, ErrAmount
	}
	if fraction := -int(d.Exponent()); fraction > maxFractionPart {
		return decimal.Decimal{}, ErrAmount
	}
	return d, nil
}

// canonicalZero bounds the exponent of a zero, since "0e32" and "0.00000000000" are harmless numbers of odd shape.
func canonicalZero(d decimal.Decimal) decimal.Decimal {
	if d.Exponent() > 0 || d.Exponent() < -maxFractionPart {
		return decimal.Zero
	}
	return d
}

// amountGrammar checks JSON's number grammar, -?digits[.digits][(e|E)[+-]digits] without leading zeros, and that the
// exponent's value is small.
func amountGrammar(s string) bool {
	i := 0
	if s[0] == '-' {
		i++
	}
	start := i
	i, ok := digits(s, i)
	if !ok || (s[start] == '0' && i > start+1) {
		return false
	}
	if i < len(s) && s[i] == '.' {
		if i, ok = digits(s, i+1); !ok {
			return false
		}
	}
	if i == len(s) {
		return true
	}
	if s[i] != 'e' && s[i] != 'E' {
		return false
	}
	i++
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	exponent, first := 0, i
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if exponent = exponent*10 + int(s[i]-'0'); exponent > maxExponent {
			return false
		}
	}
	return i == len(s) && i > first
}

// digits skips at least one digit from i on.
func digits(s string, i int) (int, bool) {
	start := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i, i > start
}
