package published

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPlace is the longest name of a province or a city in characters; the longest of China, of an autonomous prefecture, has 15.
const maxPlace = 20

// finer are the words of an address that are finer than a city.
var finer = regexp.MustCompile(`[路街巷弄号栋幢楼室村]|单元|小区|大厦|公寓|广场|收`)

// place gives the name of a province or a city as it was sent, or nothing: a sender may write a whole address, a name or a
// number there, and none of it may come to analysts.
func place(text string) string {
	name := strings.TrimSpace(text)
	if utf8.RuneCountInString(name) > maxPlace || finer.MatchString(name) {
		return ""
	}
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsMark(r) && !strings.ContainsRune(" -'.·", r) {
			return ""
		}
	}
	return name
}

// mobile is a number of a mobile phone in China, also with blanks or signs in it, that does not stand in a longer number.
var mobile = regexp.MustCompile(`(^|\D)(\+?86[ -]?)?1[3-9]\d([ -]?\d){8}(\D|$)`)

// label gives the name of a product or of a shop, or nothing where somebody wrote a phone number into it. Digits alone are the
// code of a shop.
func label(text string) string {
	if strings.Trim(text, "0123456789") != "" && mobile.MatchString(text) {
		return ""
	}
	return text
}
