package privacy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"orderflow/pkg/order"
)

// DefaultRetention is how long payloads stay in PostgreSQL where PAYLOAD_RETENTION says nothing.
const DefaultRetention = 90 * 24 * time.Hour

// minRetention keeps a slip of the pen, such as 90 for 90 days, from removing what is still on its way.
const minRetention = time.Hour

// RetentionSettings say how long PostgreSQL keeps payloads and personal data.
type RetentionSettings struct {
	Text string `env:"PAYLOAD_RETENTION" envDefault:"2160h" doc:"how long payloads and personal data stay in PostgreSQL: one duration, or source=duration,... (the others 2160h)"`
}

// Validate reports every mistake at once.
func (s *RetentionSettings) Validate() error {
	_, err := ParseRetention(s.Text)
	return err
}

// Retention tells how long the payloads and personal data of each source are kept in PostgreSQL after they were received.
type Retention struct {
	others  time.Duration
	sources map[order.Source]time.Duration
}

// Of is the retention of one source. A source that is not known, or that a record does not tell, has the longest of all:
// nobody can say which one is meant.
func (r Retention) Of(source order.Source) time.Duration {
	if d, ok := r.sources[source]; ok {
		return d
	}
	longest := r.others
	if !slices.Contains(order.Sources, source) {
		for _, d := range r.sources {
			longest = max(longest, d)
		}
	}
	return longest
}

// ParseRetention reads `2160h`, `icbu=2160h,mall=720h`, or both: an entry without a source is for all that are not named.
func ParseRetention(text string) (Retention, error) {
	r := Retention{others: DefaultRetention, sources: map[order.Source]time.Duration{}}
	var errs []error
	fault := func(n int, what string) {
		errs = append(errs, fmt.Errorf("PAYLOAD_RETENTION: entry %d: %s", n+1, what))
	}
	general := false
	for n, entry := range strings.Split(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		name, value, named := strings.Cut(entry, "=")
		if !named {
			name, value = "", entry
		}
		source := order.Source(strings.TrimSpace(name))
		kept, err := time.ParseDuration(strings.TrimSpace(value))
		_, twice := r.sources[source]
		switch {
		case named && !slices.Contains(order.Sources, source):
			fault(n, fmt.Sprintf("its source is none of %v", order.Sources))
		case err != nil:
			fault(n, "not a duration such as 2160h (90 days)")
		case kept < minRetention:
			fault(n, "shorter than "+minRetention.String())
		case twice, !named && general:
			fault(n, "it stands twice")
		case named:
			r.sources[source] = kept
		default:
			r.others, general = kept, true
		}
	}
	return r, errors.Join(errs...)
}
