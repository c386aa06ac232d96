//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"time"
)

// personal are the values of the orders below and of the seed examples that no log may hold.
var personal = []string{"13122136787", "13900001111", "13049904881", "EZ00001201", "分贝小五", "润诚中心", "王小明", "长安街"}

// pushed is one order as its sender knows it.
type pushed struct {
	source string
	number string // the sender's own number
	key    string // order key
	total  string // exact text
	body   string // the order's document
}

// amount makes exact amounts that no float holds: 10.01, 11.02, ...
func amount(i int) string { return fmt.Sprintf("%d.%02d", 10+i, i%99+1) }

func icbuOrder(number, total string, extra ...string) pushed {
	more := strings.Join(extra, "")
	return pushed{"icbu", number, "icbu:" + number, total, fmt.Sprintf(
		`{"action":1,"ack":0,"ali_order_no":%q,"amount":%q,"original_amount":%[2]q,"ali_company_name":"王小明","ali_cgs":"122345",`+
			`"ali_create_time":"2026-08-01 12:44:50","order_product_list":[{"ali_order_product_id":"%[1]s_1","product_name":"OKKI Lite管理软件V1.0",`+
			`"amount":%[2]q,"duration":24,"type":2,"is_free":0}]%s}`, number, total, more)}
}

func procurementOrder(number, total string, extra ...string) pushed {
	more := strings.Join(extra, "")
	return pushed{"procurement", number, "procurement:" + number, total, fmt.Sprintf(
		`{"order_info":{"order_id":%q,"create_time":"2026-08-01 13:58:01","finish_time":"2026-08-01 14:13:19","status":4202,"status_name":"已完成",`+
			`"order_category_type":20,"order_category_name":"采购","order_op_type":10,"order_op_type_name":"正向"},`+
			`"price_info":{"total_price":%s,"company_total_pay":%[2]s,"personal_total_pay":"0"},`+
			`"user_info":{"id":"u1","name":"王小明","phone":"13900001111","unit_id":"d1","unit_name":"礼部"},`+
			`"consignee_info":{"name":"王小明","phone":"13900001111","address":"北京市长安街1号"},`+
			`"saas_info":{},"third_info":{},`+
			`"product_info":[{"id":"p1","name":"天瑞优品","amount":1,"price":%[2]s,"total_price":%[2]s}],`+
			`"order_track_info":[{"content":"已提交","operator":"客户","msg_time":"2026-08-01 13:58:01"}]%s}`, number, total, more)}
}

func mallOrder(shop, code, total string, extra ...string) pushed {
	more := strings.Join(extra, "")
	at := time.Now().In(beijing).AddDate(0, 0, -7).Format(time.DateTime)
	return pushed{"mall", code, "mall:" + shop + ":" + code, total, fmt.Sprintf(
		`{"ShopCode":%q,"Code":%q,"BuyerCode":"EZ00001201","OrderTime":%q,"TotalQty":1,"TotalMoney":%s,"PayTime":%[3]q,"PayAmount":%[4]s,`+
			`"DataOrigin":10,"DiscountMoney":0.00,"RecvConsignee":"王小明","RecvMobile":"13122136787",`+
			`"Dtls":[{"BarCode":"15026609123","PriceOriginal":%[4]s,"PriceSell":%[4]s,"Quantity":1,"Amount":%[4]s,"DiscountMoney":0.00}]%s}`,
		shop, code, at, total, more)}
}

// batch is the Args of one mall push.
func batch(orders []pushed) []byte {
	bodies := make([]string, len(orders))
	for i, o := range orders {
		bodies[i] = o.body
	}
	return []byte("[" + strings.Join(bodies, ",") + "]")
}

// push sends orders, one after the other, as their senders would and wants each accepted.
func (s *stack) push(orders ...pushed) {
	s.t.Helper()
	for _, o := range orders {
		s.accepted(o.source, s.sentUntilTaken(1, func() answer { return s.send(o) }))
	}
}

// send pushes one order to the address of its source.
func (s *stack) send(o pushed) answer {
	switch o.source {
	case "icbu":
		return s.pushICBU([]byte(o.body))
	case "procurement":
		return s.pushProcurement([]byte(o.body))
	default:
		return s.pushMall(batch([]pushed{o}))
	}
}
