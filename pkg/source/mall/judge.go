package mall

import (
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// Currency of every amount; the contract carries none.
const Currency = "CNY"

// statusCompleted: only orders whose receipt was confirmed are pushed (seed 002, note 1.1).
const statusCompleted = "completed"

// Judge decodes one order of a batch, applies the contract's rules and gives the normalised document and the canonical
// order. The error is a *source.Fault. The order's age counts from receivedAt, so a replay never changes the verdict.
func Judge(body []byte, receivedAt time.Time) (doc []byte, o order.Order, err error) {
	wire, err := Decode(body)
	if err != nil {
		return nil, order.Order{}, err
	}
	rules := new(source.Rules)
	wire.check(rules, receivedAt)
	if fault := rules.Fault(); fault != nil {
		return nil, order.Order{}, fault
	}
	if doc, err = source.Encode(wire); err != nil {
		return nil, order.Order{}, err
	}
	return doc, canonical(wire, rules.Warnings()), nil
}

// Map reads a normalised document back into the canonical order, with those warnings that need no time of receipt. It
// applies no rule: what an earlier version of validate let through stays readable. The error is a *source.Fault at a field
// that cannot be read.
func Map(doc []byte) (order.Order, error) {
	wire, err := Decode(doc)
	if err != nil {
		return order.Order{}, err
	}
	rules := new(source.Rules)
	wire.checkContent(rules)
	return canonical(wire, rules.Warnings()), nil
}

// Decode reads one order into the wire type and applies no rule but the fields' types. The error is a *source.Fault.
func Decode(body []byte) (*Order, error) {
	wire := new(Order)
	if err := source.Decode(body, wire); err != nil {
		return nil, err
	}
	return wire, nil
}

func canonical(w *Order, warnings []string) order.Order {
	o := order.Order{
		Key:      order.NewKey(order.Mall, nil, w.ShopCode.Value, w.Code.Value),
		Source:   order.Mall,
		OrderNo:  w.Code.Value,
		Numbers:  source.Numbers(w.Code),
		Kind:     order.Sale,
		Shop:     w.ShopCode.Value,
		Channel:  channels[w.DataOrigin.Value],
		Status:   statusCompleted,
		Currency: Currency,
		Total:    w.TotalMoney.Null(),
		Paid:     w.PayAmount.Null(),
		Discount: w.DiscountMoney.Null(),
		Lines:    make([]order.Line, len(w.Dtls)),
		Personal: order.Personal{
			Account:  w.BuyerCode.Value,
			Name:     w.RecvConsignee.Value,
			Phone:    w.RecvMobile.Value,
			Tel:      w.RecvTel.Value,
			Province: w.RecvProvince.Value,
			City:     w.RecvCity.Value,
			County:   w.RecvCounty.Value,
			Address:  w.RecvAddress.Value,
		},
		PlacedAt: w.OrderTime.Instant,
		PaidAt:   w.PayTime.Instant,
		Warnings: warnings,
	}
	if w.IsReturn() {
		o.Kind = order.Return
		o.OriginalNo = w.OriginalCode.Value
	}
	for i := range w.Dtls {
		d := &w.Dtls[i]
		o.Lines[i] = order.Line{
			No:        i + 1,
			Product:   d.BarCode.Value,
			Quantity:  decimal.NullDecimal{Decimal: decimal.NewFromInt(d.Quantity.Value), Valid: true},
			UnitPrice: d.PriceSell.Null(),
			ListPrice: d.PriceOriginal.Null(),
			Discount:  d.DiscountMoney.Null(),
			Amount:    d.Amount.Null(),
		}
	}
	return o
}
