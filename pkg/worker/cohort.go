package worker

import (
	"errors"
	"slices"
	"time"
)

// sharedFailure tells whether a batch failed as a whole, with no word about any of its records.
func sharedFailure(results []Result) bool {
	for _, result := range results {
		if _, permanent := errors.AsType[*PermanentError](result.Err); result.Err == nil || permanent || worldly(result.Err) {
			return false
		}
	}
	return len(results) > 1
}

// retry is another try of a record, at due.
type retry struct {
	*record
	due time.Time
}

// retryAll lets records be tried again. A batch that failed as a whole is tried again as it was, as a cohort: the partner
// may have taken it, and then knows it again. But if orders outside it got answers meanwhile, one of its own may be the
// culprit, and each half goes on by itself, until it stands alone.
func (l *loop) retryAll(again []retry, shared bool, now time.Time) {
	if shared && len(again) > 1 {
		due := slices.MaxFunc(again, func(a, b retry) int { return a.due.Compare(b.due) }).due
		cohorts := [][]retry{again}
		if slices.ContainsFunc(again, func(r retry) bool { return !r.blameless }) {
			cohorts = [][]retry{again[:len(again)/2], again[len(again)/2:]}
			due = now.Add(jitter(backoffBase)) // all but one wait for nothing
		}
		for _, members := range cohorts {
			l.lanes.cohorts++
			for i := range members {
				members[i].due, members[i].cohort = due, l.lanes.cohorts
			}
		}
	}
	for _, r := range again {
		l.lanes.retry(r.record, r.due, now)
	}
}
