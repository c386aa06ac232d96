package store

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/shopspring/decimal"
)

// AmountsText is what is held against the amounts of an orders row: total, paid, discount and list price, in this order. What
// amounts to the same reads the same, however many zeros it was written with; order_amounts in the migrations is its twin.
func AmountsText(currency string, amounts ...decimal.NullDecimal) string {
	return string(appendAmounts([]byte(currency), amounts))
}

// LineAmounts are what is held against a row of order_lines: quantity, unit price, list price, discount and amount.
type LineAmounts struct {
	No      int
	Amounts [5]decimal.NullDecimal
}

// LinesDigest is what is held against all lines of an order, which stand in the order of their numbers; selectLines computes
// the same.
func LinesDigest(lines []LineAmounts) string {
	var text []byte
	for i := range lines {
		if i > 0 {
			text = append(text, '\n')
		}
		text = appendAmounts(strconv.AppendInt(text, int64(lines[i].No), 10), lines[i].Amounts[:])
	}
	digest := sha256.Sum256(text)
	return hex.EncodeToString(digest[:16])
}

// selectLines is the LinesDigest of the lines of the order o.
const selectLines = `(select encode(substring(sha256(convert_to(coalesce(string_agg(
		line_amounts(l.line_no, l.quantity, l.unit_price, l.list_price, l.discount, l.amount), e'\n' order by l.line_no), ''), 'UTF8')) for 16), 'hex')
	from order_lines l where l.order_key = o.order_key)`

func appendAmounts(text []byte, amounts []decimal.NullDecimal) []byte {
	for _, a := range amounts {
		text = append(text, ' ')
		if !a.Valid {
			text = append(text, '-')
			continue
		}
		text = append(text, a.Decimal.String()...)
	}
	return text
}
