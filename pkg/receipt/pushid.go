package receipt

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// PushID names one push for ever: a UUID version 7, so 74 random bits behind the time of receipt, and sortable.
type PushID [16]byte

// NewPushID makes the id of a push received at the given time.
func NewPushID(at time.Time) PushID {
	var id PushID
	_, _ = rand.Read(id[6:]) // never fails: the runtime ends the process instead
	binary.BigEndian.PutUint32(id[:4], uint32(at.UnixMilli()>>16))
	binary.BigEndian.PutUint16(id[4:6], uint16(at.UnixMilli()))
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80 // version 7, variant 10
	return id
}

// String is the usual text of a UUID.
func (id PushID) String() string {
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
