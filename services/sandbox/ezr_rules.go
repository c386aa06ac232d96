package main

import (
	"errors"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/source"
)

// ezrOrder is one order in EZR's form, protocols 4.2. The sandbox states the contract's rules by itself, so that it is a
// witness of what we send.
type ezrOrder struct {
	ShopCode, Code, OriginalCode                    string
	OrderTime, PayTime                              string
	TotalQty                                        *int
	TotalMoney, PayAmount, DiscountMoney            ezrMoney
	BuyerCode, RecvConsignee, RecvMobile, RecvTel   string
	RecvAddress, RecvProvince, RecvCity, RecvCounty string
	DataOrigin                                      int
	Dtls                                            []ezrLine
}

type ezrLine struct {
	BarCode                                         string
	PriceOriginal, PriceSell, Amount, DiscountMoney ezrMoney
	Quantity                                        *int
}

// ezrMoney is a JSON number with at most two decimals, kept as it was written.
type ezrMoney struct {
	literal string
	exact   decimal.Decimal
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (m *ezrMoney) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	value, err := dec.ReadValue()
	if err != nil {
		return err
	}
	exact, err := order.ParseAmount(string(value))
	if err != nil || !exact.Equal(exact.Truncate(2)) {
		return errors.New("not a number with at most two decimals")
	}
	m.literal, m.exact = string(value), exact
	return nil
}

func (m ezrMoney) given() bool { return m.literal != "" }

// checkBatch applies the contract's rules to a call and gives the first code that it earns, or "".
func checkBatch(orders []ezrOrder, now time.Time) string {
	codes := map[string]bool{}
	for _, o := range orders {
		switch {
		case o.ShopCode == "":
			return "1010"
		case o.ShopCode != orders[0].ShopCode:
			return "406"
		case codes[o.Code]:
			return ezr.CodeDuplicate
		}
		codes[o.Code] = true
	}
	for _, o := range orders {
		if !o.wellFormed() {
			return "406"
		}
		if !o.sound(now) {
			return "2001"
		}
	}
	return ""
}

// wellFormed tells whether all that is needed is there, in the right shape and length.
func (o ezrOrder) wellFormed() bool {
	needed := o.Code != "" && o.TotalQty != nil && (o.BuyerCode != "" || o.RecvMobile != "") &&
		o.TotalMoney.given() && o.PayAmount.given() && o.DiscountMoney.given() &&
		(o.DataOrigin == 10 || o.DataOrigin == 11 || o.DataOrigin == 12) && len(o.Dtls) > 0
	if !needed || !isTime(o.OrderTime) || !isTime(o.PayTime) {
		return false
	}
	for _, limited := range []struct {
		text string
		most int
	}{
		{o.ShopCode, 16},
		{o.Code, 26},
		{o.OriginalCode, 26},
		{o.BuyerCode, 32},
		{o.RecvConsignee, 32},
		{o.RecvMobile, 16},
		{o.RecvTel, 16},
		{o.RecvAddress, 128},
		{o.RecvProvince, 32},
		{o.RecvCity, 64},
		{o.RecvCounty, 64},
	} {
		if utf8.RuneCountInString(limited.text) > limited.most {
			return false
		}
	}
	for _, l := range o.Dtls {
		if l.BarCode == "" || utf8.RuneCountInString(l.BarCode) > 30 || l.Quantity == nil || !l.PriceOriginal.given() ||
			!l.PriceSell.given() || !l.Amount.given() || !l.DiscountMoney.given() {
			return false
		}
	}
	return true
}

// sound applies note 1.4 of seed 002: within one year, discounts not negative, lines that sum up, returns negative in both.
func (o ezrOrder) sound(now time.Time) bool {
	sold, err := time.ParseInLocation(time.DateTime, o.OrderTime, source.Zone)
	if err != nil || sold.Before(now.AddDate(-1, 0, 0)) || o.DiscountMoney.exact.IsNegative() {
		return false
	}
	money, quantity := decimal.Zero, 0
	for _, l := range o.Dtls {
		money, quantity = money.Add(l.Amount.exact), quantity+*l.Quantity
		if l.DiscountMoney.exact.IsNegative() {
			return false
		}
	}
	isReturn := o.TotalMoney.exact.IsNegative() || *o.TotalQty < 0
	if isReturn && !o.soundReturn() {
		return false
	}
	return money.Equal(o.TotalMoney.exact) && quantity == *o.TotalQty
}

// soundReturn tells whether a return names its sale and is negative in money and quantity, in total and on each line.
func (o ezrOrder) soundReturn() bool {
	for _, l := range o.Dtls {
		if !l.Amount.exact.IsNegative() || *l.Quantity >= 0 {
			return false
		}
	}
	return o.OriginalCode != "" && o.TotalMoney.exact.IsNegative() && *o.TotalQty < 0
}

// isTime wants the layout to the letter; time.Parse alone would take several blanks and fractions.
func isTime(text string) bool {
	at, err := time.ParseInLocation(time.DateTime, text, source.Zone)
	return err == nil && at.Format(time.DateTime) == text
}
