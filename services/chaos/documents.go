package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"orderflow/pkg/order"
)

// beijing is the zone of all three senders.
var beijing = time.FixedZone("GMT+8", 8*60*60)

// verdict is what has to become of a document, as its author knows it.
type verdict string

const (
	good    verdict = "good"
	bad     verdict = "bad"     // breaks a rule of its contract: validate parks it with the document's code
	refused verdict = "refused" // its partner is told to refuse it: the partner's worker parks it
	hostile verdict = "hostile" // must not get past the door
)

// document is one order as its sender writes it. The amount tells the content: it differs between any two contents of
// one order.
type document struct {
	Key     string  `json:"key"`
	Source  string  `json:"source"`
	Amount  string  `json:"amount"` // exact text
	Digest  string  `json:"digest"` // SHA-256 of the bytes
	Verdict verdict `json:"verdict"`
	Code    string  `json:"code,omitzero"`    // of the letter that has to come
	SaleOf  string  `json:"sale_of,omitzero"` // a return's sale, as order key

	body []byte
}

// author writes the documents of one order. Equal arguments give equal bytes.
type author struct {
	source   order.Source
	number   string
	shop     string // mall
	original string // mall: the sale that this return takes back
	serial   int
	at       time.Time // order time
}

// exact makes the amount of a content. Some are beyond what a float64 can tell apart.
func (a author) exact(content int) string {
	whole := int64(10 + a.serial%900 + 1000*content)
	if a.serial%10 == 0 && a.source != order.Mall {
		whole += 90071992547409920
	}
	return fmt.Sprintf("%d.%02d", whole, a.serial%99+1)
}

func (a author) key() string {
	if a.source == order.Mall {
		return "mall:" + a.shop + ":" + a.number
	}
	return string(a.source) + ":" + a.number
}

// write gives the document with that content.
func (a author) write(content int, v verdict, code string) document {
	var body string
	amount := a.exact(content)
	switch a.source {
	case order.ICBU:
		body = a.icbu(amount, code)
	case order.Procurement:
		body = a.procurement(amount, code)
	default:
		if a.original != "" {
			amount = "-" + amount
		}
		body = a.mall(amount, code)
	}
	sum := sha256.Sum256([]byte(body))
	d := document{Key: a.key(), Source: string(a.source), Amount: amount, Digest: hex.EncodeToString(sum[:]), Verdict: v, Code: code, body: []byte(body)}
	if a.original != "" {
		d.SaleOf = "mall:" + a.shop + ":" + a.original
	}
	return d
}

// faultsOf are the codes of the documents that break a rule.
var faultsOf = map[order.Source][]string{
	order.ICBU:        {"bad_amount", "bad_enum", "bad_time"},
	order.Procurement: {"bad_enum", "bad_amount", "empty_lines"},
	order.Mall:        {"sum_mismatch", "qty_mismatch", "bad_enum", "too_old"},
}

func (a author) icbu(amount, code string) string {
	shown, ack, at := amount, "0", a.stamp()
	switch code {
	case "bad_amount":
		shown = "12,50"
	case "bad_enum":
		ack = "7"
	case "bad_time":
		at = "yesterday"
	}
	return fmt.Sprintf(`{"action":1,"ack":%s,"ali_order_no":%q,"amount":%q,"original_amount":%q,"ali_company_name":"王小明",`+
		`"ali_cgs":"122345","ali_create_time":%q,"order_product_list":[{"ali_order_product_id":"%[2]s_1",`+
		`"product_name":"OKKI Lite管理软件V1.0","amount":%[4]q,"duration":24,"type":2,"is_free":0}]}`,
		ack, a.number, shown, amount, at)
}

func (a author) procurement(amount, code string) string {
	operation, total := "10", amount
	lines := fmt.Sprintf(`{"id":"p1","name":"天瑞优品","amount":1,"price":%s,"total_price":%[1]s}`, amount)
	switch code {
	case "bad_enum":
		operation = "20"
	case "bad_amount":
		total = `"12,50"`
	case "empty_lines":
		lines = ""
	}
	return fmt.Sprintf(`{"order_info":{"order_id":%q,"create_time":%q,"finish_time":%[2]q,"status":4202,"status_name":"已完成",`+
		`"order_category_type":20,"order_category_name":"采购","order_op_type":%s,"order_op_type_name":"正向"},`+
		`"price_info":{"total_price":%s,"company_total_pay":%s,"personal_total_pay":"0"},`+
		`"user_info":{"id":"u1","name":"王小明","phone":"13900001111","unit_id":"d1","unit_name":"礼部"},`+
		`"consignee_info":{"name":"王小明","phone":"13900001111","address":"北京市长安街1号"},"saas_info":{},"third_info":{},`+
		`"product_info":[%s],"order_track_info":[{"content":"已提交","operator":"客户","msg_time":%[2]q}]}`,
		a.number, a.stamp(), operation, total, amount, lines)
}

func (a author) mall(amount, code string) string {
	quantity, total, price, origin, at, more := "1", amount, strings.TrimPrefix(amount, "-"), "10", a.at, ""
	if a.original != "" {
		quantity, more = "-1", fmt.Sprintf(`,"OriginalCode":%q`, a.original)
	}
	lineQuantity, lineAmount := quantity, amount
	switch code {
	case "sum_mismatch":
		lineAmount = "3.33"
	case "qty_mismatch":
		lineQuantity = "2"
	case "bad_enum":
		origin = "77"
	case "too_old":
		at = a.at.AddDate(-2, 0, 0)
	}
	return fmt.Sprintf(`{"ShopCode":%q,"Code":%q,"BuyerCode":"EZ00001201","OrderTime":%q,"TotalQty":%s,"TotalMoney":%s,"PayTime":%[3]q,`+
		`"PayAmount":%[5]s,"DataOrigin":%s,"DiscountMoney":0.00,"RecvConsignee":"王小明","RecvMobile":"13122136787",`+
		`"Dtls":[{"BarCode":"15026609123","PriceOriginal":%s,"PriceSell":%[7]s,"Quantity":%s,"Amount":%s,"DiscountMoney":0.00}]%s}`,
		a.shop, a.number, at.In(beijing).Format(time.DateTime), quantity, total, origin, price, lineQuantity, lineAmount, more)
}

func (a author) stamp() string { return a.at.In(beijing).Format(time.DateTime) }
