// Package mall is the contract of seed 002: connectors of Taobao, JD and Pinduoduo shops push batches of completed orders
// in the shape of EZR interface 2030 (protocols 4).
//
// Here the contract states most rules, and protocols 4.2 says which fields are needed: one of BuyerCode and RecvMobile;
// lengths in characters; money with at most two decimals; DataOrigin 10, 11 or 12; OrderTime within one year before the
// receipt; no negative discount; the lines' Amount and Quantity sum to TotalMoney and TotalQty. A negative TotalMoney or
// TotalQty makes the order a return: both are negative then, on every line too, and OriginalCode names the sale. An
// OrderTime ahead of the receipt, a PayTime before it, a negative line in a sale and two lines that are the same only warn.
package mall

import (
	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/source"
)

// Order is one order of a batch (protocols 4.2).
type Order struct {
	ShopCode      source.Text       `json:"ShopCode,omitzero"`
	Code          source.Text       `json:"Code,omitzero"`
	OriginalCode  source.Text       `json:"OriginalCode,omitzero"` // the sale that a return takes back
	OrderTime     source.Time       `json:"OrderTime,omitzero"`
	TotalQty      source.Int        `json:"TotalQty,omitzero"`
	TotalMoney    source.Amount     `json:"TotalMoney,omitzero"`
	PayTime       source.Time       `json:"PayTime,omitzero"`
	PayAmount     source.Amount     `json:"PayAmount,omitzero"`
	BuyerCode     source.Text       `json:"BuyerCode,omitzero"` // personal, as is all that follows but DataOrigin and Dtls
	DiscountMoney source.Amount     `json:"DiscountMoney,omitzero"`
	RecvConsignee source.Text       `json:"RecvConsignee,omitzero"`
	RecvMobile    source.Text       `json:"RecvMobile,omitzero"`
	RecvTel       source.Text       `json:"RecvTel,omitzero"`
	RecvAddress   source.Text       `json:"RecvAddress,omitzero"`
	RecvProvince  source.Text       `json:"RecvProvince,omitzero"`
	RecvCity      source.Text       `json:"RecvCity,omitzero"`
	RecvCounty    source.Text       `json:"RecvCounty,omitzero"`
	DataOrigin    source.Int        `json:"DataOrigin,omitzero"` // 10 Taobao, 11 JD, 12 Pinduoduo
	Dtls          source.List[Line] `json:"Dtls,omitzero"`
	Unknown       jsontext.Value    `json:",embed"`
}

// Line is one entry of Dtls.
type Line struct {
	BarCode       source.Text    `json:"BarCode,omitzero"`
	PriceOriginal source.Amount  `json:"PriceOriginal,omitzero"`
	PriceSell     source.Amount  `json:"PriceSell,omitzero"`
	Quantity      source.Int     `json:"Quantity,omitzero"`
	Amount        source.Amount  `json:"Amount,omitzero"`
	DiscountMoney source.Amount  `json:"DiscountMoney,omitzero"`
	Unknown       jsontext.Value `json:",embed"`
}

// channels names the values of DataOrigin.
var channels = map[int64]string{10: "taobao", 11: "jd", 12: "pinduoduo"}

// IsReturn tells whether the order takes goods back.
func (w *Order) IsReturn() bool { return w.TotalMoney.Decimal.IsNegative() || w.TotalQty.Value < 0 }
