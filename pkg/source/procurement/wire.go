// Package procurement is the contract of seed 001: Fenbeitong pushes a completed purchase order to a webhook (protocols 3).
//
// The seed's table and its example differ in types, so text, numbers and booleans are taken in either form, and fields of
// no fixed shape are kept raw. What the table marks as required must be there; order_category_type is 20 and
// order_op_type is 10: a reverse order under the same number must not overwrite the purchase. Other states than
// "completed" are taken, so that a change on the sender's side is no outage. The goods of the seed's own order sum to 299
// where the order says 296, so there is no rule about sums of lines; the two payments only warn. An order without any
// product is refused, one without tracking entries is not.
package procurement

import (
	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/source"
)

// Order is the push of seed 001 (protocols 3.2).
type Order struct {
	OrderInfo      OrderInfo            `json:"order_info"`
	PriceInfo      PriceInfo            `json:"price_info"`
	UserInfo       UserInfo             `json:"user_info"`
	ConsigneeInfo  ConsigneeInfo        `json:"consignee_info"`
	SaasInfo       *SaasInfo            `json:"saas_info,omitzero"`
	ProductInfo    source.List[Product] `json:"product_info,omitzero"`
	OrderTrackInfo source.List[Track]   `json:"order_track_info,omitzero"`
	ThirdInfo      *ThirdInfo           `json:"third_info,omitzero"`
	Unknown        jsontext.Value       `json:",embed"`
}

// OrderInfo identifies the order.
type OrderInfo struct {
	OrderID           source.Text    `json:"order_id,omitzero"`
	SupplierOrderID   source.Text    `json:"supplier_order_id,omitzero"`
	CreateTime        source.Time    `json:"create_time,omitzero"`
	FinishTime        source.Time    `json:"finish_time,omitzero"`
	Status            source.Int     `json:"status,omitzero"` // 4202 completed; the others in protocols 3.1
	StatusName        source.Text    `json:"status_name,omitzero"`
	SupplierName      source.Text    `json:"supplier_name,omitzero"`
	OrderCategoryType source.Int     `json:"order_category_type,omitzero"` // 20 purchase
	OrderCategoryName source.Text    `json:"order_category_name,omitzero"`
	OrderOpType       source.Int     `json:"order_op_type,omitzero"` // 10 forward, 20 reverse
	OrderOpTypeName   source.Text    `json:"order_op_type_name,omitzero"`
	Unknown           jsontext.Value `json:",embed"`
}

// PriceInfo is the order's money.
type PriceInfo struct {
	TotalPrice       source.Amount  `json:"total_price,omitzero"`
	CompanyTotalPay  source.Amount  `json:"company_total_pay,omitzero"`
	PersonalTotalPay source.Amount  `json:"personal_total_pay,omitzero"`
	RedEnvelope      source.Amount  `json:"red_envelope,omitzero"`
	CouponAmount     source.Amount  `json:"coupon_amount,omitzero"`
	Unknown          jsontext.Value `json:",embed"`
}

// UserInfo is who ordered. Personal data.
type UserInfo struct {
	ID             source.Text    `json:"id,omitzero"`
	Name           source.Text    `json:"name,omitzero"`
	Phone          source.Text    `json:"phone,omitzero"`
	UnitID         source.Text    `json:"unit_id,omitzero"`
	UnitName       source.Text    `json:"unit_name,omitzero"`
	EmployeeNumber source.Text    `json:"employee_number,omitzero"`
	Unknown        jsontext.Value `json:",embed"`
}

// ConsigneeInfo is who receives. Personal data.
type ConsigneeInfo struct {
	Name    source.Text    `json:"name,omitzero"`
	Phone   source.Text    `json:"phone,omitzero"`
	Address source.Text    `json:"address,omitzero"`
	Unknown jsontext.Value `json:",embed"`
}

// SaasInfo is the buyer's cost control. The table calls a list cost_attribution_list, the example cost_attribution_info.
type SaasInfo struct {
	IsExceed            source.Bool                    `json:"is_exceed,omitzero"`
	ExceedReason        jsontext.Value                 `json:"exceed_reason,omitzero"` // an object by the table, text by the example
	ExceedItem          source.Text                    `json:"exceed_item,omitzero"`
	Remark              jsontext.Value                 `json:"remark,omitzero"` // an object of unknown shape
	CostCategory        source.Text                    `json:"cost_category,omitzero"`
	CostCategoryCode    source.Text                    `json:"cost_category_code,omitzero"`
	CustomExtList       source.List[CustomField]       `json:"custom_ext_list,omitzero"`
	CostAttributionList source.List[SimpleAttribution] `json:"cost_attribution_list,omitzero"`
	CostAttributionInfo source.List[SimpleAttribution] `json:"cost_attribution_info,omitzero"`
	CostAttribution     source.List[Attribution]       `json:"cost_attribution,omitzero"`
	Unknown             jsontext.Value                 `json:",embed"`
}

// CustomField is a field that the buyer defined.
type CustomField struct {
	Title   source.Text    `json:"custom_field_title,omitzero"`
	Content source.Text    `json:"custom_field_content,omitzero"`
	Unknown jsontext.Value `json:",embed"`
}

// SimpleAttribution says which department or project bears the cost.
type SimpleAttribution struct {
	Category source.Int     `json:"cost_attribution_category,omitzero"` // 1 department, 2 project
	ID       source.Text    `json:"cost_attribution_id,omitzero"`
	Name     source.Text    `json:"cost_attribution_name,omitzero"`
	Unknown  jsontext.Value `json:",embed"`
}

// Attribution splits the cost over departments, projects or an archive of the buyer.
type Attribution struct {
	Type           source.Int          `json:"type,omitzero"` // 1 department, 2 project, 3 custom archive
	ArchiveID      source.Text         `json:"archive_id,omitzero"`
	ThirdArchiveID source.Text         `json:"third_archive_id,omitzero"`
	ArchiveName    source.Text         `json:"archive_name,omitzero"`
	Details        source.List[Detail] `json:"details,omitzero"`
	Unknown        jsontext.Value      `json:",embed"`
}

// Detail is one share of an Attribution; the shares need not sum to the order's total.
type Detail struct {
	ID      source.Text    `json:"id,omitzero"`
	ThirdID source.Text    `json:"third_id,omitzero"`
	Name    source.Text    `json:"name,omitzero"`
	Weight  source.Amount  `json:"weight,omitzero"` // percent
	Amount  source.Amount  `json:"amount,omitzero"`
	Unknown jsontext.Value `json:",embed"`
}

// Product is one line.
type Product struct {
	ID         source.Text    `json:"id,omitzero"`
	Name       source.Text    `json:"name,omitzero"`
	Amount     source.Int     `json:"amount,omitzero"` // the quantity, not money
	Price      source.Amount  `json:"price,omitzero"`
	TotalPrice source.Amount  `json:"total_price,omitzero"`
	BrandName  source.Text    `json:"brand_name,omitzero"`
	Unit       source.Text    `json:"unit,omitzero"`
	Spec       source.Text    `json:"spec,omitzero"`
	Unknown    jsontext.Value `json:",embed"`
}

// Track is one entry of the order's way; its free text may hold personal data.
type Track struct {
	Content  source.Text    `json:"content,omitzero"`
	Operator source.Text    `json:"operator,omitzero"`
	MsgTime  source.Time    `json:"msg_time,omitzero"`
	Unknown  jsontext.Value `json:",embed"`
}

// ThirdInfo holds the buyer's own ids.
type ThirdInfo struct {
	UserID        source.Text    `json:"user_id,omitzero"`
	DeptID        source.Text    `json:"dept_id,omitzero"`
	CostDeptID    source.Text    `json:"cost_dept_id,omitzero"`
	CostProjectID source.Text    `json:"cost_project_id,omitzero"`
	Unknown       jsontext.Value `json:",embed"`
}
