package mall

import (
	"strconv"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// MaxBatch is how many orders one push may hold (seed 002, note 1.3).
const MaxBatch = 100

// Item is one order of a batch: its natural key, and its bytes as they were sent.
type Item struct {
	ShopCode string // by its literal text; "" when missing or no scalar
	Code     string
	Raw      []byte // part of the pushed bytes, untouched
}

// Split takes a batch apart without decoding it: Args, or a raw JSON array, that passed source.Check. The error is a
// *source.Fault: bad_type when it is no array of objects, over_limit beyond MaxBatch orders. An empty batch is no error
// here.
func Split(args []byte) ([]Item, error) {
	var items []Item
	var fault error
	err := source.Elements(args, func(raw []byte) bool {
		if len(items) == MaxBatch {
			fault = &source.Fault{Code: source.OverLimit, Rule: "more than 100 orders in one batch"}
			return false
		}
		item := Item{Raw: raw}
		if source.Members(raw, item.visit) != nil {
			fault = &source.Fault{Code: source.BadType, Path: "/" + strconv.Itoa(len(items)), Rule: "not a JSON object"}
			return false
		}
		items = append(items, item)
		return true
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return nil, err
	}
	return items, nil
}

func (i *Item) visit(name, value []byte) bool {
	switch string(name) {
	case "ShopCode":
		i.ShopCode = source.Literal(value)
	case "Code":
		i.Code = source.Literal(value)
	}
	return true
}

// Key is the order key of one order: mall:<ShopCode>:<Code>.
func Key(item Item) order.Key { return order.NewKey(order.Mall, item.Raw, item.ShopCode, item.Code) }
