// Package receipt makes the receipt that a sender gets for an accepted push, and reads it back. A receipt is
// self-contained: it names the push and the partition and offset of each of its records, so it resolves without any
// index, and a MAC keeps anybody else from making one. It holds no personal data and no order number.
//
// Its text is base64url without padding, at most MaxText characters, over
//
//	version(1) key-id-length(1) key-id push-id(16) source(1) flags(1) unix-ms(uvarint)
//	count(uvarint) { partition(uvarint) offset-delta(zigzag varint) } mac(16)
//
// where an offset is written as the difference from the record before it of the same partition, and the MAC is
// HMAC-SHA-256 over everything before it, cut to 128 bits.
package receipt

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

const (
	version = 1
	macSize = 16

	flagQuarantined = 1

	// MaxRecords is the most records that one push may have: a mall batch of 100 orders.
	MaxRecords = 100

	// MaxText is the longest text of a receipt. 100 records of the largest partition and the largest offset that a
	// revision can hold stay below it.
	MaxText = 2047
)

// ErrInvalid says that a text is no receipt of this house: garbled, forged, or signed with a key we do not know.
var ErrInvalid = errors.New("not a valid receipt")

// Record is where one record of the push stands.
type Record struct {
	Partition int32
	Offset    int64
}

// Receipt is what a sender holds for one accepted push.
type Receipt struct {
	PushID      PushID
	Source      order.Source
	ReceivedAt  time.Time // to the millisecond, UTC
	Quarantined bool      // accepted into quarantine: there is no order
	Records     []Record  // in the order of the push
}

// Topic is where the records stand: the source's received topic, or quarantine.
func (r Receipt) Topic() string {
	if r.Quarantined {
		return event.Quarantine
	}
	return event.Received(r.Source)
}

// Mint makes the receipt's text. It takes what ingest wrote: a source of order.Sources and at most MaxRecords records.
func Mint(keys Keys, r Receipt) string {
	writer := keys.writer()
	b := make([]byte, 0, 2+len(writer.id)+18+4*binary.MaxVarintLen16+len(r.Records)*10+macSize)
	b = append(b, version, byte(len(writer.id)))
	b = append(b, writer.id...)
	b = append(b, r.PushID[:]...)
	b = append(b, sourceByte(r.Source), flags(r))
	b = binary.AppendUvarint(b, uint64(r.ReceivedAt.UnixMilli()))
	b = appendRecords(b, r.Records)
	b = append(b, mac(writer.secret, b)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// Parse checks a receipt's text and reads it. The only error is ErrInvalid.
func Parse(keys Keys, text string) (Receipt, error) {
	if len(text) == 0 || len(text) > MaxText || strings.ContainsAny(text, "\r\n") { // the decoder would skip line ends
		return Receipt{}, ErrInvalid
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 2+macSize || b[0] != version {
		return Receipt{}, ErrInvalid
	}
	body, sum := b[:len(b)-macSize], b[len(b)-macSize:]
	end := 2 + int(body[1])
	if end > len(body) {
		return Receipt{}, ErrInvalid
	}
	key, ok := keys.byID(string(body[2:end]))
	if !ok || !hmac.Equal(sum, mac(key.secret, body)) {
		return Receipt{}, ErrInvalid
	}
	return parseBody(body[end:])
}

// parseBody reads what follows the key id. Its bytes are ours, since the MAC fits; it is strict all the same.
func parseBody(b []byte) (Receipt, error) {
	var r Receipt
	if len(b) < len(r.PushID)+2 {
		return Receipt{}, ErrInvalid
	}
	b = b[copy(r.PushID[:], b):]
	source, ok := sourceOf(b[0])
	if !ok || b[1]&^flagQuarantined != 0 {
		return Receipt{}, ErrInvalid
	}
	r.Source, r.Quarantined = source, b[1]&flagQuarantined != 0
	ms, n := binary.Uvarint(b[2:])
	if n <= 0 || ms > maxUnixMilli {
		return Receipt{}, ErrInvalid
	}
	r.ReceivedAt = time.UnixMilli(int64(ms)).UTC()
	if r.Records, ok = parseRecords(b[2+n:]); !ok {
		return Receipt{}, ErrInvalid
	}
	return r, nil
}

// maxUnixMilli is the year 9999: a later time has no RFC 3339 text.
const maxUnixMilli = 253402300799999

func flags(r Receipt) byte {
	if r.Quarantined {
		return flagQuarantined
	}
	return 0
}

func mac(secret, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(body)
	return h.Sum(nil)[:macSize]
}

// sourceByte numbers the sources for ever: a receipt outlives the list's order.
func sourceByte(s order.Source) byte {
	switch s {
	case order.ICBU:
		return 1
	case order.Procurement:
		return 2
	case order.Mall:
		return 3
	}
	return 0
}

func sourceOf(b byte) (order.Source, bool) {
	for _, s := range order.Sources {
		if sourceByte(s) == b {
			return s, true
		}
	}
	return "", false
}
