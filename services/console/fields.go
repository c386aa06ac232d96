package main

import (
	"strings"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// field says whether operators may see a field's value, and what it must look like then: a value that does not look so, such
// as words in an amount, is masked like any other.
type field int

const (
	fieldHidden field = iota // points at a person or a company, or is free text
	fieldCode                // an order number, a product code, a status
	fieldMoney
	fieldCount
	fieldTime
	fieldFlag
)

// The fields of each contract, by path; "*" stands for the elements of a list. What is not here is unknown: neither its
// value nor its name is shown.
var (
	icbuFields = fieldTreeOf(map[field]string{
		fieldMoney: `amount original_amount ali_discount/*/amount order_product_list/*/amount order_product_list/*/original_amount
			order_product_list/*/ali_discount/*/amount`,
		fieldCount: `ack action order_product_list/*/type order_product_list/*/is_free order_product_list/*/duration
			order_product_list/*/standards/*/count order_product_list/*/extras/*/count`,
		fieldCode: `ali_order_no okki_order_no trade_no promotion_id quotation_id ali_discount/*/ali_order_product_id
			order_product_list/*/product_id order_product_list/*/ali_order_product_id
			order_product_list/*/okki_order_product_id order_product_list/*/ali_append_order_product_id
			order_product_list/*/okki_append_order_product_id order_product_list/*/okki_order_refer_ids
			order_product_list/*/standards/*/name order_product_list/*/extras/*/name
			order_product_list/*/ali_discount/*/ali_order_product_id order_product_list/*/promotion_id
			order_product_list/*/business_id order_product_list/*/quotation_item_id`,
		fieldTime: `ali_create_time ali_paid_time okki_create_time order_product_list/*/okki_execute_time
			order_product_list/*/okki_valid_from order_product_list/*/okki_valid_to`,
		fieldHidden: `ali_company_name ali_cgs okki_client_id refer ali_discount/*/remark order_product_list/*/product_name
			order_product_list/*/ali_discount/*/remark order_product_list/*/extend_fields`,
	})

	procurementFields = fieldTreeOf(map[field]string{
		fieldMoney: `price_info/total_price price_info/company_total_pay price_info/personal_total_pay price_info/red_envelope
			price_info/coupon_amount saas_info/cost_attribution/*/details/*/weight
			saas_info/cost_attribution/*/details/*/amount product_info/*/price product_info/*/total_price`,
		fieldCount: `order_info/status order_info/order_category_type order_info/order_op_type
			saas_info/cost_attribution_list/*/cost_attribution_category
			saas_info/cost_attribution_info/*/cost_attribution_category saas_info/cost_attribution/*/type
			product_info/*/amount`,
		fieldCode: `order_info/order_id order_info/supplier_order_id saas_info/cost_category_code product_info/*/id`,
		fieldTime: `order_info/create_time order_info/finish_time order_track_info/*/msg_time`,
		fieldFlag: `saas_info/is_exceed`,
		fieldHidden: `order_info/status_name order_info/supplier_name order_info/order_category_name order_info/order_op_type_name
			user_info/id user_info/name user_info/phone user_info/unit_id user_info/unit_name user_info/employee_number
			consignee_info/name consignee_info/phone consignee_info/address saas_info/exceed_reason saas_info/exceed_item
			saas_info/remark saas_info/cost_category saas_info/custom_ext_list/*/custom_field_title
			saas_info/custom_ext_list/*/custom_field_content saas_info/cost_attribution_list/*/cost_attribution_id
			saas_info/cost_attribution_list/*/cost_attribution_name saas_info/cost_attribution_info/*/cost_attribution_id
			saas_info/cost_attribution_info/*/cost_attribution_name saas_info/cost_attribution/*/archive_id
			saas_info/cost_attribution/*/third_archive_id saas_info/cost_attribution/*/archive_name
			saas_info/cost_attribution/*/details/*/id saas_info/cost_attribution/*/details/*/third_id
			saas_info/cost_attribution/*/details/*/name product_info/*/name product_info/*/brand_name product_info/*/unit
			product_info/*/spec order_track_info/*/content order_track_info/*/operator third_info/user_id third_info/dept_id
			third_info/cost_dept_id third_info/cost_project_id`,
	})

	mallFields = fieldTreeOf(map[field]string{
		fieldMoney:  `TotalMoney PayAmount DiscountMoney Dtls/*/PriceOriginal Dtls/*/PriceSell Dtls/*/Amount Dtls/*/DiscountMoney`,
		fieldCount:  `DataOrigin TotalQty Dtls/*/Quantity`,
		fieldCode:   `ShopCode Code OriginalCode Dtls/*/BarCode`,
		fieldTime:   `OrderTime PayTime`,
		fieldHidden: `BuyerCode RecvConsignee RecvMobile RecvTel RecvAddress RecvProvince RecvCity RecvCounty`,
	})

	deliveryFields = fieldTreeOf(map[field]string{ // event.Delivery
		fieldMoney: `total`,
		fieldCount: `revision other_revision attempts took_ms`,
		fieldCode:  `partner order_key content_digest outcome code`,
		fieldTime:  `at`,
	})
)

// fieldTree is what is known about one place of a document; nil is a place that nobody knows.
type fieldTree struct {
	field    field
	members  map[string]*fieldTree
	elements *fieldTree
}

func fieldTreeOf(paths map[field]string) *fieldTree {
	root := &fieldTree{}
	for shown, list := range paths {
		for path := range strings.FieldsSeq(list) {
			at := root
			for name := range strings.SplitSeq(path, "/") {
				at = at.grow(name)
			}
			at.field = shown
		}
	}
	return root
}

func (t *fieldTree) grow(name string) *fieldTree {
	if name == "*" {
		if t.elements == nil {
			t.elements = &fieldTree{}
		}
		return t.elements
	}
	if t.members == nil {
		t.members = map[string]*fieldTree{}
	}
	if t.members[name] == nil {
		t.members[name] = &fieldTree{}
	}
	return t.members[name]
}

// member and element are the place of a value below t, nil where nobody knows it.
func (t *fieldTree) member(name string) *fieldTree {
	if t == nil {
		return nil
	}
	return t.members[name]
}

func (t *fieldTree) element() *fieldTree {
	if t == nil {
		return nil
	}
	return t.elements
}

// fieldsOf gives the fields of a record by the topic that it was first read from, or else by its order's source; nil where
// neither tells.
func fieldsOf(topic string, key order.Key) *fieldTree {
	switch topic {
	case event.Deliveries:
		return deliveryFields
	case event.Received(order.ICBU), event.Validated(order.ICBU):
		return icbuFields
	case event.Received(order.Procurement), event.Validated(order.Procurement):
		return procurementFields
	case event.Received(order.Mall), event.Validated(order.Mall):
		return mallFields
	}
	switch key.Source() {
	case order.ICBU:
		return icbuFields
	case order.Procurement:
		return procurementFields
	case order.Mall:
		return mallFields
	default:
		return nil
	}
}
