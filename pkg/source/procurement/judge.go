package procurement

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// Currency of every amount; the contract carries none.
const Currency = "CNY"

const (
	categoryPurchase = 20
	opForward        = 10
)

// knownStatus are the purchase states of protocols 3.1; only 4202, completed, is pushed today.
var knownStatus = []int64{-256, 4100, 4101, 4102, 4200, 4201, 4202, 4203, 4204, 4205, 4700, 4701, 4702}

// Judge applies the contract to a push (source.Judge). No rule of this contract looks at the time of receipt.
func Judge(body []byte, _ time.Time) (doc []byte, o order.Order, err error) {
	return source.Judge(body, (*Order).check, canonical)
}

// Map reads a normalised document back (source.Map).
func Map(doc []byte) (order.Order, error) {
	return source.Map(doc, (*Order).check, canonical)
}

func (w *Order) check(r *source.Rules) {
	w.checkHead(r)
	w.checkPeople(r)
	w.checkLists(r)
}

func (w *Order) checkHead(r *source.Rules) {
	info, price := &w.OrderInfo, &w.PriceInfo
	r.Text(info.OrderID, "order_info/order_id")
	r.Length(info.OrderID, order.MaxKeyPart, "order_info/order_id")
	r.Given(info.CreateTime.Given(), "order_info/create_time")
	r.Given(info.Status.Given, "order_info/status")
	r.Text(info.StatusName, "order_info/status_name")
	r.Given(info.OrderCategoryType.Given, "order_info/order_category_type")
	r.Text(info.OrderCategoryName, "order_info/order_category_name")
	r.Given(info.OrderOpType.Given, "order_info/order_op_type")
	r.Text(info.OrderOpTypeName, "order_info/order_op_type_name")
	r.Need(info.OrderOpType.Value == opForward, source.BadEnum, "order_info/order_op_type", "only 10, a forward order, is taken")
	r.Need(info.OrderCategoryType.Value == categoryPurchase, source.BadEnum, "order_info/order_category_type", "only 20, a purchase, is taken")
	r.Warn(slices.Contains(knownStatus, info.Status.Value), source.BadEnum, "order_info/status", "an unknown state")
	r.Given(price.TotalPrice.Given(), "price_info/total_price")
	r.Given(price.CompanyTotalPay.Given(), "price_info/company_total_pay")
	r.Given(price.PersonalTotalPay.Given(), "price_info/personal_total_pay")
	payments := price.CompanyTotalPay.Decimal.Add(price.PersonalTotalPay.Decimal)
	r.Warn(payments.Equal(price.TotalPrice.Decimal), source.SumMismatch, "price_info/total_price",
		"company and personal payment do not sum to the total")
}

func (w *Order) checkPeople(r *source.Rules) {
	r.Text(w.UserInfo.ID, "user_info/id")
	r.Text(w.UserInfo.Name, "user_info/name")
	r.Text(w.UserInfo.Phone, "user_info/phone")
	r.Text(w.UserInfo.UnitID, "user_info/unit_id")
	r.Text(w.UserInfo.UnitName, "user_info/unit_name")
	r.Text(w.ConsigneeInfo.Name, "consignee_info/name")
	r.Text(w.ConsigneeInfo.Phone, "consignee_info/phone")
	r.Text(w.ConsigneeInfo.Address, "consignee_info/address")
}

func (w *Order) checkLists(r *source.Rules) {
	r.Given(w.ProductInfo != nil, "product_info")
	r.Need(len(w.ProductInfo) > 0, source.EmptyLines, "product_info", "an order without products")
	for i := range w.ProductInfo {
		p := &w.ProductInfo[i]
		r.At("/product_info", i)
		r.Text(p.ID, "id")
		r.Text(p.Name, "name")
		r.Given(p.Amount.Given, "amount")
		r.Given(p.Price.Given(), "price")
		r.Given(p.TotalPrice.Given(), "total_price")
	}
	for i := range w.OrderTrackInfo {
		t := &w.OrderTrackInfo[i]
		r.At("/order_track_info", i)
		r.Text(t.Content, "content")
		r.Text(t.Operator, "operator")
		r.Given(t.MsgTime.Given(), "msg_time")
	}
	r.Top()
}

func canonical(w *Order, warnings []string) order.Order {
	info, price := &w.OrderInfo, &w.PriceInfo
	o := order.Order{
		Key:      order.NewKey(order.Procurement, nil, info.OrderID.Value),
		Source:   order.Procurement,
		OrderNo:  info.OrderID.Value,
		Numbers:  source.Numbers(info.OrderID, info.SupplierOrderID),
		Kind:     order.Purchase,
		Shop:     info.SupplierName.Value,
		Channel:  "fenbeitong",
		Status:   info.Status.String(),
		Currency: Currency,
		Total:    price.TotalPrice.Null(),
		Discount: price.CouponAmount.Null(),
		Lines:    make([]order.Line, len(w.ProductInfo)),
		Personal: order.Personal{
			Account: w.UserInfo.ID.Value,
			Name:    w.ConsigneeInfo.Name.Value,
			Phone:   w.ConsigneeInfo.Phone.Value,
			Address: w.ConsigneeInfo.Address.Value,
		},
		PlacedAt: info.CreateTime.Instant,
		Warnings: warnings,
	}
	for i := range w.ProductInfo {
		p := &w.ProductInfo[i]
		o.Lines[i] = order.Line{
			No:        i + 1,
			Product:   p.ID.Value,
			Name:      p.Name.Value,
			Quantity:  decimal.NullDecimal{Decimal: decimal.NewFromInt(p.Amount.Value), Valid: true},
			UnitPrice: p.Price.Null(),
			Amount:    p.TotalPrice.Null(),
		}
	}
	o.LeaveOutPersonal(w.UserInfo.Name.Value, w.UserInfo.Phone.Value)
	return o
}
