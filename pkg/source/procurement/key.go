package procurement

import (
	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// Head is what ingest must know of a push: its order number.
type Head struct {
	OrderID string // order_info.order_id by its literal text; "" when missing or no scalar
}

// Peek finds the head of a body that passed source.Check, without decoding the rest. The error is a *source.Fault:
// bad_type when the body is no JSON object.
func Peek(body []byte) (Head, error) {
	var head Head
	err := source.Members(body, func(name, value []byte) bool {
		if string(name) != "order_info" {
			return true
		}
		// An order_info that is no object leaves the order without a number; validate says what is wrong with it.
		_ = source.Members(value, func(name, value []byte) bool {
			if string(name) != "order_id" {
				return true
			}
			head.OrderID = source.Literal(value)
			return false
		})
		return false
	})
	return head, err
}

// Key is the order key of a push: procurement:<order_id>.
func Key(body []byte, head Head) order.Key {
	return order.NewKey(order.Procurement, body, head.OrderID)
}
