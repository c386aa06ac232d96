package store

import "github.com/shopspring/decimal"

// LineAmounts are what a row of order_lines is compared by: quantity, unit price, list price, discount and amount.
type LineAmounts struct {
	No      int
	Amounts [5]decimal.NullDecimal
}

var (
	lineWeights  = [5]decimal.Decimal{decimal.NewFromInt(1), decimal.NewFromInt(3), decimal.NewFromInt(5), decimal.NewFromInt(7), decimal.NewFromInt(11)}
	absentAmount = decimal.New(1, -9) // finer than any amount
)

// LineSum is what all lines of an order are compared by, beside their number: an exact sum in which each amount and each line
// weighs differently. line_weight in the migrations is its twin.
func LineSum(lines []LineAmounts) decimal.Decimal {
	var sum decimal.Decimal
	for i := range lines {
		var line decimal.Decimal
		for n, a := range lines[i].Amounts {
			if !a.Valid {
				a.Decimal = absentAmount
			}
			line = line.Add(a.Decimal.Mul(lineWeights[n]))
		}
		sum = sum.Add(line.Mul(decimal.NewFromInt(int64(lines[i].No))))
	}
	return sum
}
