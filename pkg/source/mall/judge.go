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

// Judge applies the contract to one order of a batch (source.Judge). The order's age counts from receivedAt, so a replay
// never changes the verdict.
func Judge(body []byte, receivedAt time.Time) (doc []byte, o order.Order, err error) {
	return source.Judge(body, func(w *Order, r *source.Rules) { w.check(r, receivedAt) }, canonical)
}

// Map reads a normalised document back (source.Map), with those warnings that need no time of receipt.
func Map(doc []byte) (order.Order, error) {
	return source.Map(doc, (*Order).checkContent, canonical)
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
	o.LeaveOutPersonal()
	return o
}
