package icbu

import (
	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// Head is what ingest must know of a push: its order number and what it asks for.
type Head struct {
	OrderNo string // ali_order_no by its literal text; "" when missing or no scalar
	Action  string // "0" price query, "1" create, "" absent (counts as 1)
}

// Peek finds the head of a body that passed source.Check, without decoding the rest. The error is a *source.Fault:
// bad_type when the body is no JSON object.
func Peek(body []byte) (Head, error) {
	var head Head
	err := source.Members(body, func(name, value []byte) bool {
		switch string(name) {
		case "ali_order_no":
			head.OrderNo = source.Literal(value)
		case "action":
			head.Action = source.Literal(value)
		}
		return true
	})
	return head, err
}

// Key is the order key of a push: icbu:<ali_order_no>.
func Key(body []byte, head Head) order.Key { return order.NewKey(order.ICBU, body, head.OrderNo) }
