package privacy

import (
	"strings"
	"unicode/utf8"
)

// MaskPhone shows the first three and the last two characters; a number too short to hide anything shows its first.
func MaskPhone(phone string) string {
	const first, last, least = 3, 2, 8
	runes := []rune(strings.TrimSpace(phone))
	switch {
	case len(runes) == 0:
		return ""
	case len(runes) < least:
		return string(runes[:1]) + strings.Repeat("*", len(runes)-1)
	default:
		return string(runes[:first]) + strings.Repeat("*", len(runes)-first-last) + string(runes[len(runes)-last:])
	}
}

// MaskName shows the first character, and does not tell the length.
func MaskName(name string) string {
	name = strings.TrimSpace(name)
	if name == "" {
		return ""
	}
	_, size := utf8.DecodeRuneInString(name)
	return name[:size] + "**"
}

// MaskAddress shows an address down to the county.
func MaskAddress(province, city, county string) string {
	var shown []string
	for _, part := range []string{province, city, county} {
		if part = strings.TrimSpace(part); part != "" {
			shown = append(shown, part)
		}
	}
	if len(shown) == 0 {
		return ""
	}
	return strings.Join(shown, " ") + " **"
}
