package source

import (
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Zone is the zone of every time in the three contracts; none of them writes it (protocols 1.1, 2.3, 4.1).
var Zone = time.FixedZone("GMT+8", 8*60*60)

// TimeLayout is how the three contracts write a time, in Go's notation.
const TimeLayout = time.DateTime

var errTime = errors.New("a time as yyyy-MM-dd HH:mm:ss with exactly one blank is needed")

// Time is an instant that remembers the sender's text, and is written as that text. A blank text is absent.
type Time struct {
	Text    string
	Instant time.Time
}

// Given tells that the time was sent.
func (t Time) Given() bool { return t.Text != "" }

// UnmarshalJSONFrom takes a string as ParseTime does.
func (t *Time) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	text, given, err := scalar(dec, "a time")
	if err != nil || !given || text == "" {
		return err
	}
	instant, err := ParseTime(text)
	if err != nil {
		return faultAt(dec, BadTime, err.Error())
	}
	*t = Time{text, instant}
	return nil
}

// MarshalJSONTo writes the sender's text.
func (t *Time) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteToken(jsontext.String(t.Text))
}

// ParseTime reads "yyyy-MM-dd HH:mm:ss" in GMT+8. It is stricter than time.Parse, which takes one-digit hours and
// fractions of a second. The error never quotes the text.
func ParseTime(text string) (time.Time, error) {
	const shape = "0000-00-00 00:00:00"
	if len(text) != len(shape) {
		return time.Time{}, errTime
	}
	for i := range len(shape) {
		if digit := text[i] >= '0' && text[i] <= '9'; digit != (shape[i] == '0') || !digit && text[i] != shape[i] {
			return time.Time{}, errTime
		}
	}
	instant, err := time.ParseInLocation(TimeLayout, text, Zone)
	if err != nil || instant.Year() < 1 {
		return time.Time{}, errTime
	}
	return instant, nil
}

// Fresh tells whether a request's timestamp lies within window of now, before or after it. Signatures that cover a
// timestamp are worth nothing outside of it.
func Fresh(timestamp, now time.Time, window time.Duration) bool {
	return timestamp.Sub(now).Abs() <= window
}
