package mall

import (
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/source"
)

// check applies every stated rule, and those about the time of receipt.
func (w *Order) check(r *source.Rules, receivedAt time.Time) {
	w.checkContent(r)
	oldest := receivedAt.In(source.Zone).AddDate(-1, 0, 0)
	r.Need(!w.OrderTime.Instant.Before(oldest), source.TooOld, "OrderTime", "more than one year before the receipt")
	r.Warn(!w.OrderTime.Instant.After(receivedAt), source.BadTime, "OrderTime", "ahead of the receipt")
}

// checkContent applies the rules that look at the document alone. The signs come before the sums: a return with one sign
// wrong breaks both, and the sign is the cause.
func (w *Order) checkContent(r *source.Rules) {
	w.checkHead(r)
	w.checkLengths(r)
	w.checkLines(r)
	w.checkSigns(r)
	w.checkSums(r)
	r.Warn(!w.PayTime.Instant.Before(w.OrderTime.Instant), source.BadTime, "PayTime", "before the order's time")
}

func (w *Order) checkHead(r *source.Rules) {
	r.Text(w.ShopCode, "ShopCode")
	r.Text(w.Code, "Code")
	r.Given(w.OrderTime.Given(), "OrderTime")
	r.Given(w.TotalQty.Given, "TotalQty")
	r.Given(w.TotalMoney.Given(), "TotalMoney")
	r.Given(w.PayTime.Given(), "PayTime")
	r.Given(w.PayAmount.Given(), "PayAmount")
	r.Given(w.DiscountMoney.Given(), "DiscountMoney")
	r.Given(w.DataOrigin.Given, "DataOrigin")
	r.Need(w.BuyerCode.Value != "" || w.RecvMobile.Value != "", source.MissingField, "BuyerCode",
		"one of BuyerCode and RecvMobile is needed")
	r.Decimals(w.TotalMoney, moneyDecimals, "TotalMoney")
	r.Decimals(w.PayAmount, moneyDecimals, "PayAmount")
	r.Decimals(w.DiscountMoney, moneyDecimals, "DiscountMoney")
	r.Need(channels[w.DataOrigin.Value] != "", source.BadEnum, "DataOrigin", "10, 11 or 12 is needed")
	r.Need(!w.DiscountMoney.Decimal.IsNegative(), source.NegativeDiscount, "DiscountMoney", "a discount below zero")
	r.Given(w.Dtls != nil, "Dtls")
	r.Need(len(w.Dtls) > 0, source.EmptyLines, "Dtls", "an order without lines")
}

func (w *Order) checkLengths(r *source.Rules) {
	r.Length(w.ShopCode, 16, "ShopCode")
	r.Length(w.Code, 26, "Code")
	r.Length(w.OriginalCode, 26, "OriginalCode")
	r.Length(w.BuyerCode, 32, "BuyerCode")
	r.Length(w.RecvConsignee, 32, "RecvConsignee")
	r.Length(w.RecvMobile, 16, "RecvMobile")
	r.Length(w.RecvTel, 16, "RecvTel")
	r.Length(w.RecvAddress, 128, "RecvAddress")
	r.Length(w.RecvProvince, 32, "RecvProvince")
	r.Length(w.RecvCity, 64, "RecvCity")
	r.Length(w.RecvCounty, 64, "RecvCounty")
}

func (w *Order) checkLines(r *source.Rules) {
	for i := range w.Dtls {
		d := &w.Dtls[i]
		r.At("/Dtls", i)
		r.Text(d.BarCode, "BarCode")
		r.Given(d.PriceOriginal.Given(), "PriceOriginal")
		r.Given(d.PriceSell.Given(), "PriceSell")
		r.Given(d.Quantity.Given, "Quantity")
		r.Given(d.Amount.Given(), "Amount")
		r.Given(d.DiscountMoney.Given(), "DiscountMoney")
		r.Length(d.BarCode, 30, "BarCode")
		r.Decimals(d.PriceOriginal, moneyDecimals, "PriceOriginal")
		r.Decimals(d.PriceSell, moneyDecimals, "PriceSell")
		r.Decimals(d.Amount, moneyDecimals, "Amount")
		r.Decimals(d.DiscountMoney, moneyDecimals, "DiscountMoney")
		r.Need(!d.DiscountMoney.Decimal.IsNegative(), source.NegativeDiscount, "DiscountMoney", "a discount below zero")
	}
	w.warnSameLines(r)
	r.Top()
}

// warnSameLines notes lines that are the same in all that matters; two pieces may honestly be listed one by one.
func (w *Order) warnSameLines(r *source.Rules) {
	if len(w.Dtls) < 2 {
		return
	}
	type line struct {
		barCode, price, amount string
		quantity               int64
	}
	seen := make(map[line]bool, len(w.Dtls))
	for i := range w.Dtls {
		d := &w.Dtls[i]
		same := line{d.BarCode.Value, d.PriceSell.Text, d.Amount.Text, d.Quantity.Value}
		r.At("/Dtls", i)
		r.Warn(!seen[same], source.DuplicateLine, "BarCode", "the same as an earlier line")
		seen[same] = true
	}
}

func (w *Order) checkSigns(r *source.Rules) {
	isReturn := w.IsReturn()
	if isReturn {
		r.Need(w.TotalMoney.Decimal.IsNegative(), source.ReturnSign, "TotalMoney", "a return's amount is negative")
		r.Need(w.TotalQty.Value < 0, source.ReturnSign, "TotalQty", "a return's quantity is negative")
	}
	for i := range w.Dtls {
		d := &w.Dtls[i]
		r.At("/Dtls", i)
		if isReturn {
			r.Need(d.Amount.Decimal.IsNegative(), source.ReturnSign, "Amount", "a return's amount is negative")
			r.Need(d.Quantity.Value < 0, source.ReturnSign, "Quantity", "a return's quantity is negative")
			continue
		}
		r.Warn(!d.Amount.Decimal.IsNegative() && d.Quantity.Value >= 0, source.ReturnSign, "Amount", "a negative line in a sale")
	}
	r.Top()
	if isReturn {
		r.Text(w.OriginalCode, "OriginalCode")
	}
}

func (w *Order) checkSums(r *source.Rules) {
	var money decimal.Decimal
	var quantity int64
	for i := range w.Dtls {
		money = money.Add(w.Dtls[i].Amount.Decimal)
		quantity += w.Dtls[i].Quantity.Value
	}
	r.Need(money.Equal(w.TotalMoney.Decimal), source.SumMismatch, "TotalMoney", "the lines' Amount does not sum to it")
	r.Need(quantity == w.TotalQty.Value, source.QtyMismatch, "TotalQty", "the lines' Quantity does not sum to it")
}
