package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf16"
)

// printable makes a text of one line that no terminal takes for a command and no reader for another text: what is not graphic
// (control characters, line ends, marks that turn the reading direction or show nothing) is written as JSON escapes it.
func printable(text string) string {
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text { // bytes that are not UTF-8 come as U+FFFD
		switch {
		case !hidden(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// hidden is true for U+FFFD too: it may stand for a byte that is a control character to a terminal without UTF-8.
func hidden(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsGraphic(r) }

// printableLines is printable for a text whose line ends are our own: an error with what to do next, or indented JSON, which
// means the same afterwards. Drivers indent their errors with tabs.
func printableLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\t", "    "), "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// printf is fmt.Fprintf for values that others wrote: each text among them is made printable, and the format is not.
func printf(out io.Writer, format string, values ...any) {
	for i, value := range values {
		if v := reflect.ValueOf(value); v.Kind() == reflect.String {
			values[i] = printable(v.String())
		}
	}
	_, _ = fmt.Fprintf(out, format, values...)
}
