package store

import (
	"net/url"
	"slices"
	"strings"

	"orderflow/pkg/order"
)

const (
	maxNumber  = 4 * order.MaxKeyPart // bytes of an order number that can be searched; a longer text is no number
	maxNumbers = 32                   // of one order
)

// know adds numbers that people may ask for an order by. A number stays when a later push brings another one in its place,
// and that of a push that was refused counts too: people ask by what they sent, and find what became of it. Of more numbers
// than an order may have, the first are kept.
func (a *account) know(first, second []string) {
	o := &a.order
	missing := func(number string) bool { return !slices.Contains(o.numbers, number) && searchable(number) }
	if !slices.ContainsFunc(first, missing) && !slices.ContainsFunc(second, missing) {
		return
	}
	known := make([]string, 0, len(first)+len(second))
	for _, number := range slices.Concat(first, second) {
		if searchable(number) && !slices.Contains(known, number) && len(known) < maxNumbers {
			known = append(known, number)
		}
	}
	slices.Sort(known) // the row must not tell in which order the pushes came here
	if !slices.Equal(known, o.numbers) {
		o.numbers, o.renumbered, a.changed = known, true, true
	}
}

// searchable tells whether a text can be a number in the list of an order's.
func searchable(number string) bool {
	return number != "" && len(number) <= maxNumber && !strings.Contains(number, listSeparator)
}

// numberOfKey is the order number inside a key, "" in an unnamed one. PostgreSQL takes no NUL in a text: a letter about such
// a number must find its order all the same.
func numberOfKey(key order.Key) string {
	if !key.Named() {
		return ""
	}
	number, err := url.PathUnescape(string(key[strings.LastIndexByte(string(key), ':')+1:]))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.ToValidUTF8(number, "\uFFFD"), "\x00", "\uFFFD")
}
