package store

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/order"
)

// LetterFilter chooses dead letters; every field that is set must hold. Its JSON names are those of interfaces.md section 5.
type LetterFilter struct {
	IDs       []int64             `json:"ids,omitzero"`
	Service   string              `json:"service,omitzero"`
	Source    order.Source        `json:"source,omitzero"`
	Code      string              `json:"code,omitzero"`
	Path      string              `json:"path,omitzero"` // a path's fingerprint, see LetterGroup
	Shop      string              `json:"shop,omitzero"`
	OrderKey  order.Key           `json:"order_key,omitzero"`
	Since     time.Time           `json:"since,omitzero"` // when the letter failed last; inclusive
	Until     time.Time           `json:"until,omitzero"` // exclusive
	MinAmount decimal.NullDecimal `json:"min_amount,omitzero"`
	States    []LetterState       `json:"state,omitzero"` // none: open and failed_again
	Q         string              `json:"q,omitzero"`     // part of an order key
}

// ErrFilter says that a filter or a cursor makes no sense. What wraps it never quotes a value.
var ErrFilter = errors.New("filter cannot be used")

const (
	maxFilterText = 1024
	maxFilterIDs  = 100_000
)

// LetterStates are all states of a letter.
var LetterStates = []LetterState{LetterOpen, LetterReplaying, LetterFixed, LetterFailedAgain, LetterSuperseded, LetterDiscarded}

// liveStates are the states of letters that want attention, as SQL: a partial index is used only where its condition
// stands in the query.
const liveStates = `state in ('open', 'failed_again')`

// fingerprint is a letter's path with every array index replaced, so that one fault in many lines is one group.
const fingerprint = `regexp_replace(path, '/[0-9]+(?=/|\Z)', '/*', 'g')`

// Validate tells what is wrong with a filter, as an ErrFilter.
func (f *LetterFilter) Validate() error {
	for _, text := range []string{f.Service, string(f.Source), f.Code, f.Path, f.Shop, string(f.OrderKey), f.Q} {
		if len(text) > maxFilterText || strings.ContainsRune(text, 0) || !validText(text) {
			return fmt.Errorf("%w: a text is over %d bytes or no text", ErrFilter, maxFilterText)
		}
	}
	if len(f.IDs) > maxFilterIDs {
		return fmt.Errorf("%w: over %d ids", ErrFilter, maxFilterIDs)
	}
	for _, state := range f.States {
		if !slices.Contains(LetterStates, state) {
			return fmt.Errorf("%w: state: not one of %v", ErrFilter, LetterStates)
		}
	}
	if f.MinAmount.Valid && (f.MinAmount.Decimal.Exponent() < -20 || f.MinAmount.Decimal.Exponent() > 30 || f.MinAmount.Decimal.NumDigits() > 60) {
		return fmt.Errorf("%w: min_amount: too many digits", ErrFilter)
	}
	return nil
}

func validText(text string) bool { return strings.ToValidUTF8(text, "") == text }

// conditions collects the parts of a where clause and their arguments.
type conditions struct {
	parts []string
	args  []any
}

// add takes a condition in which @ stands for the argument.
func (c *conditions) add(condition string, arg any) {
	c.args = append(c.args, arg)
	c.parts = append(c.parts, strings.ReplaceAll(condition, "@", "$"+strconv.Itoa(len(c.args))))
}

func (c *conditions) text() string { return strings.Join(c.parts, " and ") }

// conditions makes the filter's where clause over dead_letters.
func (f *LetterFilter) conditions() (*conditions, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	c := &conditions{parts: []string{f.stateCondition()}}
	text := func(condition, value string) {
		if value != "" {
			c.add(condition, value)
		}
	}
	if f.IDs != nil {
		c.add("id = any(@)", f.IDs)
	}
	text("service = @", f.Service)
	text("source = @", string(f.Source))
	text("code = @", f.Code)
	text(fingerprint+" = @", f.Path)
	text("shop = @", f.Shop)
	text("order_key = @", string(f.OrderKey))
	text("strpos(order_key, @) > 0", f.Q) // a scan, bounded by the states and times beside it
	if !f.Since.IsZero() {
		c.add("failed_at >= @", f.Since)
	}
	if !f.Until.IsZero() {
		c.add("failed_at < @", f.Until)
	}
	if f.MinAmount.Valid {
		c.add("total >= @::text::numeric", f.MinAmount.Decimal.String())
	}
	return c, nil
}

// stateCondition writes the states into the query's text: they are ours, checked by Validate. All of them are no condition,
// and PostgreSQL, which does not know that, would read and sort every letter for it.
func (f *LetterFilter) stateCondition() string {
	if len(f.States) == 0 {
		return liveStates
	}
	quoted := make([]string, len(f.States))
	for i, state := range f.States {
		quoted[i] = "'" + string(state) + "'"
	}
	slices.Sort(quoted)
	if quoted = slices.Compact(quoted); len(quoted) == len(LetterStates) {
		return "true"
	}
	return "state in (" + strings.Join(quoted, ", ") + ")"
}

// cursorOf makes the opaque place after a row in a list that is sorted by a time and a number, newest first.
func cursorOf(at time.Time, id int64) string {
	text := strconv.FormatInt(at.UnixMicro(), 36) + "." + strconv.FormatInt(id, 36)
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

func readCursor(cursor string) (at time.Time, id int64, err error) {
	bad := fmt.Errorf("%w: cursor: not one of ours", ErrFilter)
	if len(cursor) > 64 {
		return at, 0, bad
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return at, 0, bad
	}
	first, second, _ := strings.Cut(string(text), ".")
	micros, errA := strconv.ParseInt(first, 36, 64)
	id, errB := strconv.ParseInt(second, 36, 64)
	if errA != nil || errB != nil || micros < minMicros || micros > maxMicros {
		return at, 0, bad
	}
	return time.UnixMicro(micros).UTC(), id, nil
}

// The times that PostgreSQL and JSON take alike.
var (
	minMicros = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	maxMicros = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

// Live tells whether a letter in this state wants attention and may be replayed.
func (s LetterState) Live() bool { return s == LetterOpen || s == LetterFailedAgain }
