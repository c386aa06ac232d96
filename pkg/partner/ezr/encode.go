package ezr

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/order"
)

// Order is one order as it goes to EZR.
type Order struct {
	ShopCode string
	Code     string
	Original string // OriginalCode: the sale that a return takes back
	Total    string // TotalMoney, exact text with two decimals; empty where the document has none
	Body     []byte // JSON of the documented fields only
}

// kind is how a field is written.
type kind int

const (
	dropped kind = iota
	text         // a JSON string
	moment       // a JSON string, one blank between date and time
	money        // a JSON number with exactly two decimals
	count        // a whole JSON number
	lines        // the order's lines
)

// orderFields and lineFields are the documented fields, protocols 4.2. Fields that are not here are not sent.
var (
	orderFields = map[string]kind{
		"ShopCode": text, "Code": text, "OriginalCode": text,
		"OrderTime": moment, "PayTime": moment,
		"TotalQty": count, "DataOrigin": count,
		"TotalMoney": money, "PayAmount": money, "DiscountMoney": money,
		"BuyerCode": text, "RecvConsignee": text, "RecvMobile": text, "RecvTel": text,
		"RecvAddress": text, "RecvProvince": text, "RecvCity": text, "RecvCounty": text,
		"Dtls": lines,
	}
	lineFields = map[string]kind{
		"BarCode": text, "Quantity": count,
		"PriceOriginal": money, "PriceSell": money, "Amount": money, "DiscountMoney": money,
	}
)

// Encode writes a normalised mall document (seed 002) in EZR's form: documented fields in the document's order, money as
// JSON numbers with exactly two decimals. Fields that are null or empty are left out. It never rounds: an amount with more
// than two decimals is an error, which names the field by its JSON pointer and quotes nothing.
func Encode(document []byte) (Order, error) {
	e := encoder{in: jsontext.NewDecoder(bytes.NewBuffer(document))}
	e.order.Body = make([]byte, 0, len(document))
	if err := e.object(orderFields); err != nil {
		return Order{}, fmt.Errorf("encode order for ezr: %w", err)
	}
	if _, err := e.in.ReadToken(); !errors.Is(err, io.EOF) {
		return Order{}, fmt.Errorf("encode order for ezr: %w", errJSON)
	}
	return e.order, nil
}

var errJSON = errors.New("not one JSON document")

type encoder struct {
	in    *jsontext.Decoder
	order Order
}

// object copies one object, keeping the given fields.
func (e *encoder) object(fields map[string]kind) error {
	if token, err := e.in.ReadToken(); err != nil || token.Kind() != '{' {
		return e.fault("not an object", err)
	}
	e.write("{")
	first := true
	for e.in.PeekKind() != '}' {
		name, err := e.in.ReadToken()
		if err != nil {
			return errJSON
		}
		field := name.String()
		how := fields[field]
		if how == dropped || e.in.PeekKind() == 'n' {
			if err := e.in.SkipValue(); err != nil {
				return errJSON
			}
			continue
		}
		mark := len(e.order.Body)
		if !first {
			e.write(",")
		}
		e.write(`"` + field + `":`)
		written, err := e.value(field, how)
		if err != nil {
			return err
		}
		if !written {
			e.order.Body = e.order.Body[:mark]
			continue
		}
		first = false
	}
	if _, err := e.in.ReadToken(); err != nil {
		return errJSON
	}
	e.write("}")
	return nil
}

// value copies one value and tells whether there was anything to write.
func (e *encoder) value(field string, how kind) (bool, error) {
	if how == lines {
		return true, e.lines()
	}
	token, err := e.in.ReadToken()
	if err != nil {
		return false, errJSON
	}
	if token.Kind() != '"' && token.Kind() != '0' {
		return false, e.fault("neither text nor number", nil)
	}
	value := token.String()
	if value == "" {
		return false, nil
	}
	switch how {
	case money, count:
		if value, err = number(how, value); err != nil {
			return false, e.fault(err.Error(), nil)
		}
		e.write(value)
	case moment:
		value = strings.Join(strings.Fields(value), " ")
		e.quote(value)
	default:
		e.quote(value)
	}
	e.keep(field, value)
	return true, nil
}

func (e *encoder) lines() error {
	if token, err := e.in.ReadToken(); err != nil || token.Kind() != '[' {
		return e.fault("not an array", err)
	}
	e.write("[")
	for first := true; e.in.PeekKind() != ']'; first = false {
		if !first {
			e.write(",")
		}
		if err := e.object(lineFields); err != nil {
			return err
		}
	}
	if _, err := e.in.ReadToken(); err != nil {
		return errJSON
	}
	e.write("]")
	return nil
}

// number writes an exact decimal with two decimals, or a whole one.
func number(how kind, value string) (string, error) {
	exact, err := order.ParseAmount(value)
	if err != nil {
		return "", err
	}
	if how == count {
		if !exact.IsInteger() {
			return "", errors.New("not a whole number")
		}
		return exact.StringFixed(0), nil
	}
	if !exact.Equal(exact.Truncate(2)) {
		return "", errors.New("more than two decimals")
	}
	return exact.StringFixed(2), nil
}

// keep notes what the caller needs beside the body; no line has a field of these names.
func (e *encoder) keep(field, value string) {
	switch field {
	case "ShopCode":
		e.order.ShopCode = value
	case "Code":
		e.order.Code = value
	case "OriginalCode":
		e.order.Original = value
	case "TotalMoney":
		e.order.Total = value
	}
}

func (e *encoder) write(s string) { e.order.Body = append(e.order.Body, s...) }

func (e *encoder) quote(s string) {
	// The decoder let valid UTF-8 pass only, so there is nothing that cannot be quoted.
	e.order.Body, _ = jsontext.AppendQuote(e.order.Body, s)
}

// fault names the field at fault; a syntax error's own text may quote the document and is dropped.
func (e *encoder) fault(text string, err error) error {
	if err != nil {
		return errJSON
	}
	return fmt.Errorf("%s: %s", e.in.StackPointer(), text)
}
