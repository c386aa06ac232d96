package icbu

import (
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// Currency of every amount; the contract carries none.
const Currency = "CNY"

// Judge applies the contract to a push (source.Judge). No rule of this contract looks at the time of receipt.
func Judge(body []byte, _ time.Time) (doc []byte, o order.Order, err error) {
	return source.Judge(body, (*Order).check, canonical)
}

// Map reads a normalised document back (source.Map).
func Map(doc []byte) (order.Order, error) {
	return source.Map(doc, (*Order).check, canonical)
}

func (w *Order) check(r *source.Rules) {
	r.Text(w.AliOrderNo, "ali_order_no")
	r.Length(w.AliOrderNo, order.MaxKeyPart, "ali_order_no")
	r.Need(!w.Action.Given || w.Action.Value == 1, source.BadEnum, "action", "an order is created by action 1")
	r.Need(!w.Ack.Given || w.Ack.Value == 0 || w.Ack.Value == 1, source.BadEnum, "ack", "0 or 1 is needed")
	r.Warn(w.Amount.Given(), source.MissingField, "amount", "an order without a total")
	seen := make(map[string]bool, len(w.ProductList))
	for i := range w.ProductList {
		p := &w.ProductList[i]
		r.At("/order_product_list", i)
		r.Warn(!p.Type.Given || p.Type.Value >= 1 && p.Type.Value <= 4, source.BadEnum, "type", "an unknown type")
		r.Warn(!p.IsFree.Given || p.IsFree.Value == 0 || p.IsFree.Value == 1, source.BadEnum, "is_free", "neither 0 nor 1")
		id := p.AliOrderProductID.Value
		r.Warn(id == "" || !seen[id], source.DuplicateLine, "ali_order_product_id", "a line number stands twice")
		seen[id] = true
	}
	r.Top()
}

func canonical(w *Order, warnings []string) order.Order {
	o := order.Order{
		Key:       order.NewKey(order.ICBU, nil, w.AliOrderNo.Value),
		Source:    order.ICBU,
		OrderNo:   w.AliOrderNo.Value,
		Numbers:   source.Numbers(w.AliOrderNo, w.OkkiOrderNo, w.TradeNo),
		Kind:      order.ServiceContract,
		Channel:   "alibaba",
		Status:    status(w.Ack),
		Currency:  Currency,
		Total:     w.Amount.Null(),
		ListPrice: w.OriginalAmount.Null(),
		Discount:  sum(w.AliDiscount),
		Lines:     make([]order.Line, len(w.ProductList)),
		Personal:  order.Personal{Account: w.AliCgs.Value, Company: w.AliCompanyName.Value},
		PlacedAt:  w.AliCreateTime.Instant,
		PaidAt:    w.AliPaidTime.Instant,
		Warnings:  warnings,
	}
	for i := range w.ProductList {
		p := &w.ProductList[i]
		o.Lines[i] = order.Line{
			No:        i + 1,
			ID:        p.AliOrderProductID.Value,
			Product:   p.ProductID.Value,
			Name:      p.ProductName.Value,
			ListPrice: p.OriginalAmount.Null(),
			Discount:  sum(p.AliDiscount),
			Amount:    p.Amount.Null(),
		}
	}
	o.LeaveOutPersonal()
	return o
}

// status is what `ack` says; the contract knows no other.
func status(ack source.Int) string {
	switch {
	case !ack.Given:
		return ""
	case ack.Value == 1:
		return "confirmed"
	default:
		return "unconfirmed"
	}
}

// sum adds the discounts that the sender lists one by one; without any amount there is no discount figure.
func sum(discounts []AliDiscount) decimal.NullDecimal {
	var total decimal.NullDecimal
	for i := range discounts {
		if amount := discounts[i].Amount; amount.Given() {
			total.Decimal = total.Decimal.Add(amount.Decimal)
			total.Valid = true
		}
	}
	return total
}
