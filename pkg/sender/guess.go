package sender

import (
	"path/filepath"
	"slices"
	"strings"

	"orderflow/pkg/order"
	"orderflow/pkg/source"
)

// Guess tells whose push a file is: by a folder or file named after the source, else by the document's own fields.
func Guess(path string, body []byte) (order.Source, bool) {
	elements := strings.FieldsFunc(strings.ToLower(filepath.ToSlash(path)), func(r rune) bool { return strings.ContainsRune("/.-_", r) })
	slices.Reverse(elements) // the nearest folder knows best
	for _, element := range elements {
		for _, s := range order.Sources {
			if element == string(s) {
				return s, true
			}
		}
	}
	return guessByContent(body)
}

func guessByContent(body []byte) (order.Source, bool) {
	if source.Elements(body, func([]byte) bool { return false }) == nil {
		return order.Mall, true // only a mall batch is an array
	}
	var found order.Source
	_ = source.Members(body, func(name, _ []byte) bool {
		switch string(name) {
		case "order_info", "price_info":
			found = order.Procurement
		case "ali_order_no", "order_product_list":
			found = order.ICBU
		case "ShopCode", "Dtls":
			found = order.Mall
		}
		return found == ""
	})
	return found, found != ""
}
