package published

import (
	"encoding/binary"
	"errors"
	"math/big"

	"github.com/shopspring/decimal"
)

// An amount travels as its unscaled value at the schema's scale: two's complement, big-endian, as short as it goes.
const (
	scale     = 8
	precision = 38
	maxBytes  = 16 // 38 digits and a sign
)

// ErrAmount says that an amount is not an exact decimal of 30 digits before the point and 8 behind it. Every amount that
// the contracts' decoders take is one, and so is the sum of as many as an order may have.
var ErrAmount = errors.New("an amount that orders.v1 has no room for")

var limit = new(big.Int).Exp(big.NewInt(10), big.NewInt(precision), nil)

// appendAmount gives the bytes of an amount, cut from buffer so that a record's amounts share one piece of memory; nil for
// an absent one.
func appendAmount(buffer []byte, amount decimal.NullDecimal) (rest, encoded []byte, err error) {
	if !amount.Valid {
		return buffer, nil, nil
	}
	start := len(buffer)
	if short, ok := unscaledInt64(amount.Decimal); ok {
		buffer = appendInt64(buffer, short)
	} else if buffer, err = appendBig(buffer, amount.Decimal); err != nil {
		return buffer, nil, err
	}
	return buffer, buffer[start:len(buffer):len(buffer)], nil
}

var pow10 = [...]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// unscaledInt64 is the fast way: nearly every amount fits.
func unscaledInt64(d decimal.Decimal) (int64, bool) {
	shift := scale + int(d.Exponent())
	if shift < 0 || shift >= len(pow10) {
		return 0, false
	}
	const most = 1<<63 - 1
	if digits := d.NumDigits(); digits > 18 { // else the coefficient is an int64
		return 0, false
	}
	c := d.CoefficientInt64()
	if bound := most / pow10[shift]; c > bound || c < -bound {
		return 0, false
	}
	return c * pow10[shift], true
}

func appendInt64(buffer []byte, v int64) []byte {
	var all [8]byte
	binary.BigEndian.PutUint64(all[:], uint64(v))
	first := 0
	for first < 7 && (all[first] == 0 && all[first+1] < 0x80 || all[first] == 0xff && all[first+1] >= 0x80) {
		first++
	}
	return append(buffer, all[first:]...)
}

func appendBig(buffer []byte, d decimal.Decimal) ([]byte, error) {
	shift := scale + int(d.Exponent())
	if shift < -scale*precision || shift > precision {
		return buffer, ErrAmount // before a hostile exponent makes a number of a million digits
	}
	v := d.Coefficient()
	factor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(shift, -shift))), nil)
	if shift >= 0 {
		v.Mul(v, factor)
	} else if _, rest := v.QuoRem(v, factor, new(big.Int)); rest.Sign() != 0 {
		return buffer, ErrAmount
	}
	if v.CmpAbs(limit) >= 0 {
		return buffer, ErrAmount
	}
	var all [maxBytes + 1]byte
	if v.Sign() < 0 {
		v.Add(v, new(big.Int).Lsh(big.NewInt(1), 8*uint(len(all))))
	}
	v.FillBytes(all[:])
	first := 0
	for first < maxBytes && (all[first] == 0 && all[first+1] < 0x80 || all[first] == 0xff && all[first+1] >= 0x80) {
		first++
	}
	return append(buffer, all[first:]...), nil
}

// readAmount is the amount of encoded bytes; an empty slice is absent.
func readAmount(encoded []byte) (decimal.NullDecimal, error) {
	switch {
	case len(encoded) == 0:
		return decimal.NullDecimal{}, nil
	case len(encoded) > maxBytes:
		return decimal.NullDecimal{}, ErrAmount
	case len(encoded) <= 8:
		v := int64(int8(encoded[0])) // the first byte has the sign
		for _, b := range encoded[1:] {
			v = v<<8 | int64(b)
		}
		return decimal.NullDecimal{Decimal: decimal.New(v, -scale), Valid: true}, nil
	}
	v := new(big.Int).SetBytes(encoded)
	if encoded[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), 8*uint(len(encoded))))
	}
	if v.CmpAbs(limit) >= 0 {
		return decimal.NullDecimal{}, ErrAmount
	}
	return decimal.NullDecimal{Decimal: decimal.NewFromBigInt(v, -scale), Valid: true}, nil
}
