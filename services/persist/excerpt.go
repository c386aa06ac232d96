package main

import (
	"strings"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source"
	"orderflow/pkg/store"
)

// sourceOf is the source of a letter's record, as far as its key or topic tell.
func sourceOf(origin *event.Message, key order.Key) order.Source {
	if key != "" {
		return key.Source()
	}
	name, _, _ := strings.Cut(origin.Topic, ".")
	return order.Source(name)
}

// excerpt reads what can be read of a document that was refused: its numbers, its shop, its total. Anything odd is left
// out; nothing here is an error.
func excerpt(of order.Source, document []byte) store.Excerpt {
	switch of {
	case order.ICBU:
		found := members(document, "amount", "ali_order_no", "okki_order_no", "trade_no")
		return store.Excerpt{OrderNo: number(found[1]), Numbers: numbers(found[1:]), Total: total(found[0])}
	case order.Procurement:
		found := members(document, "order_info", "price_info")
		named := members(found[0], "order_id", "supplier_order_id")
		return store.Excerpt{
			OrderNo: number(named[0]),
			Numbers: numbers(named),
			Total:   total(members(found[1], "total_price")[0]),
		}
	case order.Mall:
		found := members(document, "Code", "ShopCode", "TotalMoney")
		return store.Excerpt{OrderNo: number(found[0]), Numbers: numbers(found[:1]), Shop: number(found[1]), Total: total(found[2])}
	default:
		return store.Excerpt{}
	}
}

// members gives the raw values of an object's members by name, nil where there is none.
func members(object []byte, names ...string) [][]byte {
	found := make([][]byte, len(names))
	_ = source.Members(object, func(name, value []byte) bool { // what was found before an error is good enough
		for i := range names {
			if string(name) == names[i] && found[i] == nil {
				found[i] = value
			}
		}
		return true
	})
	return found
}

func number(raw []byte) string {
	text := source.Literal(raw)
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > order.MaxKeyPart || strings.ContainsRune(text, 0) {
		return ""
	}
	return text
}

// numbers are those of the raw values that people may ask for the order by.
func numbers(raw [][]byte) []string {
	var found []string
	for _, value := range raw {
		if text := number(value); text != "" {
			found = append(found, text)
		}
	}
	return found
}

func total(raw []byte) decimal.NullDecimal {
	amount, err := order.ParseAmount(source.Literal(raw))
	if err != nil {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(amount)
}
