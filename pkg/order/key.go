package order

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Source names an upstream contract; it is the first part of every order key and topic name.
type Source string

// The three contracts we take orders from.
const (
	ICBU        Source = "icbu"        // seed 000: Alibaba ICBU CRM over the Qimen SPI
	Procurement Source = "procurement" // seed 001: Fenbeitong purchase webhook
	Mall        Source = "mall"        // seed 002: shop connectors in the shape of EZR interface 2030
)

// Sources lists every source in the order in which people read them.
var Sources = []Source{ICBU, Procurement, Mall}

// Key identifies one order for the whole house: `<source>:<natural key>`. It is the Kafka key and the lane key, and it is
// not personal data (design.md section 4).
type Key string

// MaxKeyPart is the longest part of a natural key, in characters; a longer one gives an unnamed key.
const MaxKeyPart = 64

// NewKey builds the key of an order from the parts of its natural key, taken literally. A missing, empty or overlong part
// gives an unnamed key made from the body's digest, so that the push still has one home; validate parks it.
func NewKey(source Source, body []byte, parts ...string) Key {
	encoded := make([]string, len(parts))
	for i, part := range parts {
		if part == "" || utf8.RuneCountInString(part) > MaxKeyPart {
			return unnamedKey(source, body)
		}
		encoded[i] = escape(part)
	}
	if len(parts) == 0 {
		return unnamedKey(source, body)
	}
	return Key(string(source) + ":" + strings.Join(encoded, ":"))
}

// Named tells whether the push carried a usable order number.
func (k Key) Named() bool {
	_, natural, found := strings.Cut(string(k), ":")
	return found && !strings.HasPrefix(natural, "!")
}

// Source is the contract that the key belongs to.
func (k Key) Source() Source {
	source, _, _ := strings.Cut(string(k), ":")
	return Source(source)
}

// Digest is the house's content digest: lower-case hex of SHA-256. Equal content means equal digest.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func unnamedKey(source Source, body []byte) Key {
	return Key(string(source) + ":!" + Digest(body)[:32])
}

// escape percent-encodes what would make a key ambiguous or unprintable. A leading "!" is escaped too: it marks an
// unnamed key, and a sender must not be able to forge one.
func escape(part string) string {
	var b strings.Builder
	for i := range len(part) {
		c := part[i]
		if c == ':' || c == '%' || c == '/' || c < 0x20 || c >= 0x7f || (i == 0 && c == '!') {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
