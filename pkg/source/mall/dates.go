package mall

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"orderflow/pkg/source"
)

// ShiftDates moves every OrderTime and PayTime of a batch, or of one order, by the same span, so that the newest is a day
// before now; an example of past years stays a valid push that way. All other bytes stay as they are, and so does a time
// that cannot be read, or would come to lie before the year 0.
func ShiftDates(args []byte, now time.Time) ([]byte, error) {
	places, err := findTimes(args)
	if err != nil {
		return nil, err
	}
	shifted := bytes.Clone(args)
	var newest time.Time
	for _, p := range places {
		if p.at.After(newest) {
			newest = p.at
		}
	}
	span := now.Add(-24*time.Hour).Unix() - newest.Unix() // a Duration ends at 292 years
	for _, p := range places {
		text := time.Unix(p.at.Unix()+span, 0).In(source.Zone).Format(source.TimeLayout)
		if len(text) == len(source.TimeLayout) {
			copy(shifted[p.offset:], text)
		}
	}
	return shifted, nil
}

// Month is the beginning of a time's month. Examples whose dates are moved to it are the same bytes all month long: pushed
// again they are duplicates, not changes.
func Month(now time.Time) time.Time {
	now = now.In(source.Zone)
	return time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, source.Zone)
}

// place is a readable time and where its text begins.
type place struct {
	offset int
	at     time.Time
}

func findTimes(args []byte) ([]place, error) {
	var places []place
	dec := jsontext.NewDecoder(bytes.NewBuffer(args))
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return places, nil
		}
		if err != nil {
			return nil, fmt.Errorf("find the dates of a batch: byte %d: not JSON", dec.InputOffset())
		}
		if token.Kind() != '"' || !isTimeField(dec.StackPointer()) {
			continue
		}
		// The name itself is found, too; its text is no time.
		if at, err := source.ParseTime(token.String()); err == nil {
			end := int(dec.InputOffset()) - 1
			start := end - len(source.TimeLayout)
			if args[start-1] == '"' { // else the text was escaped, and not as long as what would replace it
				places = append(places, place{start, at})
			}
		}
	}
}

func isTimeField(at jsontext.Pointer) bool {
	switch at.LastToken() {
	case "OrderTime", "PayTime":
		return true
	}
	return false
}
