// Package icbu is the contract of seed 000: Alibaba ICBU CRM pushes an order of OKKI subscriptions over the Qimen SPI
// call qimen.alibaba.okki.customer.order.create (protocols 1 and 2).
//
// Every field is optional and fields were added over the years, so little is refused: what cannot be read as its type
// (bad_type, bad_amount, bad_time), an `action` other than 1, an `ack` other than 0 and 1 (bad_enum), and a missing or
// overlong ali_order_no, without which the order has no key. The seed's own example breaks every amount rule that one
// could think of (original amount less discount is not the amount), so there is none. `extend_fields` looks like JSON
// and is not; it stays an opaque text.
package icbu

import (
	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/source"
)

// Order is the request of seed 000 (protocols 1.1).
type Order struct {
	Amount         source.AmountText        `json:"amount,omitzero"`
	OriginalAmount source.AmountText        `json:"original_amount,omitzero"`
	Ack            source.Int               `json:"ack,omitzero"`    // 0 not confirmed, 1 confirmed
	Action         source.Int               `json:"action,omitzero"` // 0 price query, never here; 1 create
	AliCompanyName source.Text              `json:"ali_company_name,omitzero"`
	AliCgs         source.Text              `json:"ali_cgs,omitzero"` // Alibaba customer id
	AliOrderNo     source.Text              `json:"ali_order_no,omitzero"`
	AliCreateTime  source.Time              `json:"ali_create_time,omitzero"`
	AliPaidTime    source.Time              `json:"ali_paid_time,omitzero"`
	OkkiClientID   source.Text              `json:"okki_client_id,omitzero"`
	OkkiOrderNo    source.Text              `json:"okki_order_no,omitzero"`
	OkkiCreateTime source.Time              `json:"okki_create_time,omitzero"`
	ProductList    source.List[Product]     `json:"order_product_list,omitzero"`
	AliDiscount    source.List[AliDiscount] `json:"ali_discount,omitzero"`
	Refer          source.Text              `json:"refer,omitzero"`
	TradeNo        source.Text              `json:"trade_no,omitzero"`
	PromotionID    source.Text              `json:"promotion_id,omitzero"`
	QuotationID    source.Text              `json:"quotation_id,omitzero"`
	Unknown        jsontext.Value           `json:",embed"`
}

// Product is an OrderProductList entry (protocols 1.2).
type Product struct {
	ProductID                source.Text              `json:"product_id,omitzero"`
	ProductName              source.Text              `json:"product_name,omitzero"`
	Type                     source.Int               `json:"type,omitzero"` // 1 new, 2 renewal, 3 addition, 4 upgrade
	IsFree                   source.Int               `json:"is_free,omitzero"`
	Duration                 source.Int               `json:"duration,omitzero"` // months
	Amount                   source.AmountText        `json:"amount,omitzero"`
	OriginalAmount           source.AmountText        `json:"original_amount,omitzero"`
	AliOrderProductID        source.Text              `json:"ali_order_product_id,omitzero"`
	OkkiOrderProductID       source.Text              `json:"okki_order_product_id,omitzero"`
	AliAppendOrderProductID  source.Text              `json:"ali_append_order_product_id,omitzero"`
	OkkiAppendOrderProductID source.Text              `json:"okki_append_order_product_id,omitzero"`
	OkkiOrderReferIDs        source.Text              `json:"okki_order_refer_ids,omitzero"` // "xx,xx,xx"
	OkkiExecuteTime          source.Time              `json:"okki_execute_time,omitzero"`
	OkkiValidFrom            source.Time              `json:"okki_valid_from,omitzero"`
	OkkiValidTo              source.Time              `json:"okki_valid_to,omitzero"`
	Standards                source.List[Module]      `json:"standards,omitzero"`
	Extras                   source.List[Module]      `json:"extras,omitzero"`
	AliDiscount              source.List[AliDiscount] `json:"ali_discount,omitzero"`
	PromotionID              source.Text              `json:"promotion_id,omitzero"`
	BusinessID               source.Text              `json:"business_id,omitzero"`
	QuotationItemID          source.Text              `json:"quotation_item_id,omitzero"`
	ExtendFields             jsontext.Value           `json:"extend_fields,omitzero"` // as given, whatever it is (protocols 1.4)
	Unknown                  jsontext.Value           `json:",embed"`
}

// Module is a standard or extra module of a product, such as accounts.
type Module struct {
	Name    source.Text    `json:"name,omitzero"`
	Count   source.Int     `json:"count,omitzero"`
	Unknown jsontext.Value `json:",embed"`
}

// AliDiscount is a discount of the order or of a line.
type AliDiscount struct {
	Amount            source.AmountText `json:"amount,omitzero"`
	Remark            source.Text       `json:"remark,omitzero"`
	AliOrderProductID source.Text       `json:"ali_order_product_id,omitzero"`
	Unknown           jsontext.Value    `json:",embed"`
}
