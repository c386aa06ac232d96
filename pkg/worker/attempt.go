package worker

import (
	"errors"
	"time"
)

// Backoff of a transient failure.
const (
	backoffBase = 500 * time.Millisecond
	backoffCap  = time.Minute
	busyCap     = 5 * time.Second // a held order is free again as soon as its holder is done
)

// history is what became of a record so far.
type history struct {
	tries     int       // calls that ended
	counted   int       // failures held against the record
	seen      uint64    // evidence at its last attempt
	first     time.Time // first failure
	last      time.Time // last failure
	blameless bool      // the last failure was not held against it
	cohort    uint64    // runs with none but its own cohort; 0: with whoever is ready
}

// evidence remembers which orders got definite answers, so far as is needed to tell whether a different order than a
// given one got an answer lately.
type evidence struct {
	count uint64
	key   string // of the newest answer
	last  uint64 // count at the newest answer
	other uint64 // count at the newest answer to any other key
}

func (e *evidence) note(key string) {
	if key != e.key {
		e.key, e.other = key, e.last
	}
	e.count++
	e.last = e.count
}

// since tells whether an order other than key got an answer after the count stood at seen.
func (e *evidence) since(key string, seen uint64) bool {
	if key == e.key {
		return e.other > seen
	}
	return e.last > seen
}

// fault is why a record becomes a dead letter.
type fault struct {
	code    Code
	class   string
	path    string
	detail  string
	message string
}

// Classes of a dead letter.
const (
	classPermanent = "permanent"
	classExhausted = "exhausted"
	classDeadline  = "deadline"
	classPanic     = "panic"
)

// decision is what happens to a record after a call: a dead letter, or another try at due, or neither: it is done.
type decision struct {
	fault *fault
	again bool
	due   time.Time
}

// policy decides over failures. It is the only place that holds one against a record.
type policy struct {
	settings Settings
	gate     gate
	evidence evidence
}

// judge decides over one record after a call. The spread is the same for all of a call. A failure that is shared, by all
// of a batch, gives nobody up: its culprit is found first. It does not touch the gate: a call is one failure, however many
// records it held.
func (p *policy) judge(r *record, err error, shared bool, spread float64, now time.Time) decision {
	r.tries++
	if err == nil {
		return decision{}
	}
	if r.first.IsZero() {
		r.first = now
	}
	r.last = now
	if permanent, ok := errors.AsType[*PermanentError](err); ok {
		return decision{fault: &fault{
			code: permanent.Code, class: classPermanent, path: permanent.Path, detail: permanent.Detail, message: permanent.Error(),
		}}
	}
	if p.counts(r, err) {
		r.counted++
		r.blameless = false
	} else {
		r.blameless = true
	}
	r.seen = p.evidence.count
	if r.counted >= p.settings.MaxAttempts && !shared || letterOnOutage && !errors.Is(err, ErrBusy) {
		return decision{fault: &fault{code: RetriesExhausted, class: classExhausted, message: err.Error()}}
	}
	return decision{again: true, due: p.due(r, err, spread, now)}
}

// counts tells whether a failure is held against the record: only if a different order got a definite answer since the
// record's previous attempt, and never when the error names another culprit (law 3).
func (p *policy) counts(r *record, err error) bool {
	return !worldly(err) && p.evidence.since(r.key, r.seen)
}

// worldly tells whether an error says itself that the record is not at fault.
func worldly(err error) bool {
	_, pause := errors.AsType[*PauseError](err)
	_, configuration := errors.AsType[*ConfigurationError](err)
	_, outage := errors.AsType[*OutageError](err)
	return pause || configuration || outage || errors.Is(err, ErrBusy)
}

func (p *policy) due(r *record, err error, spread float64, now time.Time) time.Time {
	limit := backoffCap
	if errors.Is(err, ErrBusy) {
		limit = busyCap
	}
	wait := min(backoffBase<<min(r.tries-1, 20), limit)
	due := now.Add(time.Duration(float64(wait) * spread))
	if _, ok := errors.AsType[*PauseError](err); ok {
		return now // the gate holds it back
	}
	return due
}

// observe lets a call's results work on the gate: answers first, so that a batch's own answers count as evidence.
func (p *policy) observe(records []*record, results []Result, now time.Time) (news gateNews) {
	var failed []string
	for i, result := range results {
		key, err := records[i].key, result.Err
		if pause, ok := errors.AsType[*PauseError](err); ok {
			after := min(max(pause.After, backoffBase), p.settings.RetryAfterMax)
			news.pausedUntil = p.gate.pause(after, now)
			continue
		}
		if configuration, ok := errors.AsType[*ConfigurationError](err); ok {
			news.misconfigured = configuration
			continue
		}
		if result.Answered {
			p.evidence.note(key)
		}
		_, permanent := errors.AsType[*PermanentError](err)
		switch {
		case result.NoCall:
		case result.Answered || err == nil:
			news.answered = true
		case !permanent && !errors.Is(err, ErrBusy):
			failed = append(failed, key)
		}
	}
	switch {
	case news.misconfigured != nil:
		p.gate.misconfigure(news.misconfigured, now)
	case news.answered:
		news.freed = p.gate.answered()
	case len(failed) > 0:
		news.opened = p.gate.failed(failed, now)
	}
	return news
}

// gateNews is what a call changed about the gate.
type gateNews struct {
	answered      bool
	freed         bool
	opened        bool
	misconfigured error
	pausedUntil   time.Time
}
