package order

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// mobile is a number of a mobile phone in China, also with blanks or signs in it, that does not stand in a longer number.
var mobile = regexp.MustCompile(`(^|\D)(\+?86[ -]?)?1[3-9]\d([ -]?\d){8}(\D|$)`)

// LeaveOutPersonal empties the labels of an order (shop, and product, name and own number of a line) in which somebody wrote
// what belongs to a person: one of the order's own personal values or of the others given, a part of its address, or a
// number of a mobile phone. Labels are read by analysts and stand in clear in PostgreSQL. Products and lines have codes, too,
// which may look like such a number: they are left out only where it is the order's own. The document keeps them all.
func (o *Order) LeaveOutPersonal(others ...string) {
	p := &o.Personal
	w := watch{address: Folded(p.Address)}
	for _, value := range append(others, p.Account, p.Name, p.Phone, p.Tel, p.Company, p.Address) {
		w.add(value)
	}
	o.Shop = w.name(o.Shop)
	for i := range o.Lines {
		l := &o.Lines[i]
		l.Name, l.Product, l.ID = w.name(l.Name), w.code(l.Product), w.code(l.ID)
	}
}

// watch holds what a label must not hold.
type watch struct {
	values, numbers []string
	address         string
}

// Shorter ones stand in many a label by chance.
const (
	leastValue  = 4 // characters; of Chinese ones 2
	leastNumber = 7 // digits
)

func (w *watch) add(value string) {
	value = Folded(value)
	chinese := strings.IndexFunc(value, func(r rune) bool { return unicode.Is(unicode.Han, r) }) >= 0
	if n := utf8.RuneCountInString(value); n >= leastValue || chinese && n >= leastValue/2 {
		w.values = append(w.values, value)
	}
	if number := OnlyDigits(value); len(number) >= leastNumber {
		w.numbers = append(w.numbers, number)
	}
}

// name gives a text back, or nothing where it tells of a person; of a code, digits alone may look like a phone number.
func (w *watch) name(text string) string {
	if label := Folded(text); mobile.MatchString(label) || w.holds(label) {
		return ""
	}
	return text
}

func (w *watch) code(text string) string {
	if w.holds(Folded(text)) {
		return ""
	}
	return text
}

// holds tells whether a folded label tells of the person.
func (w *watch) holds(label string) bool {
	for _, value := range w.values {
		if strings.Contains(label, value) {
			return true
		}
	}
	if len(w.numbers) > 0 {
		number := OnlyDigits(label)
		for _, own := range w.numbers {
			if strings.Contains(number, own) {
				return true
			}
		}
	}
	return utf8.RuneCountInString(label) >= leastValue && strings.Contains(w.address, label)
}

// Folded makes the ways to write one personal value equal: width and case of letters, blanks around it.
func Folded(text string) string { return strings.ToLower(strings.TrimSpace(norm.NFKC.String(text))) }

// OnlyDigits leaves out of a text all but its ASCII digits.
func OnlyDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, text)
}
