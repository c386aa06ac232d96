package store

import (
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// State is where an order or one revision of it stands (interfaces.md section 6). Duplicate is a revision's only.
type State string

// The states.
const (
	StateValidated  State = "validated" // stored, not yet delivered
	StateDelivered  State = "delivered"
	StatePersisted  State = "persisted"
	StateDuplicate  State = "duplicate"
	StateSuperseded State = "superseded"
	StateParked     State = "parked"
	StateDiscarded  State = "discarded"
)

// LetterState is where a dead letter stands.
type LetterState string

// The states of a letter.
const (
	LetterOpen        LetterState = "open"
	LetterReplaying   LetterState = "replaying"
	LetterFixed       LetterState = "fixed"
	LetterFailedAgain LetterState = "failed_again"
	LetterSuperseded  LetterState = "superseded"
	LetterDiscarded   LetterState = "discarded"
)

// What wins. The facts about one order come from different topics in any order; these tables, and nothing about arrival,
// decide what they amount to.
//
// A letter, the first line that holds:
//
//	its stage did succeed with this revision, as older than another   superseded
//	its stage did succeed with this revision, whenever                fixed
//	a person gave it up                                               discarded
//	more replays were sent than have failed                           replaying
//	no replay has failed                                              open
//	else                                                              failed_again
//
// One revision (received.end_state), the first line that holds:
//
//	its delivery ended: delivered, duplicate or superseded            that
//	it passed validation, and its source has no partner               persisted, duplicate or superseded: beside what had
//	                                                                  passed validation before it
//	one of its letters is open, replaying or failed_again             parked
//	one of its letters is discarded                                   discarded
//	else                                                              none: it is under way
//
// Of two outcomes of one revision, delivered wins over duplicate, and that over superseded.
//
// An order (orders.state); its revision is the newest that passed validation:
//
//	nothing passed validation                                         its newest revision's end state; parked when it has none
//	its source has no partner                                         persisted
//	the newest delivered revision has the same content                delivered
//	its revision has an end state (duplicate counts as delivered)     that
//	the revision that first brought the same content has one          that: an equal push leaves the state alone
//	else                                                              validated
//
// Only one thing depends on an order of arrival: which of two revisions passed validation first, for sources without a
// partner. Both lie in one partition of one topic, so there is only one such order.

// letterState applies the first table.
func letterState(l *letterRow, r *revisionRow) LetterState {
	done, superseded := stageDone(l, r)
	switch {
	case done && superseded:
		return LetterSuperseded
	case done:
		return LetterFixed
	case !l.discardedAt.IsZero():
		return LetterDiscarded
	case l.sentReplays > l.failedReplays:
		return LetterReplaying
	case l.failedReplays == 0:
		return LetterOpen
	default:
		return LetterFailedAgain
	}
}

// stageDone tells whether the stage that wrote a letter has succeeded with the letter's revision after all.
func stageDone(l *letterRow, r *revisionRow) (done, superseded bool) {
	if r == nil {
		return false, false
	}
	validated, delivered := r.content != "", r.outcome != ""
	byDelivery := l.service != serviceValidate && (l.service != servicePersist || l.originTopic == event.Deliveries)
	if byDelivery {
		return delivered, r.outcome == event.Superseded
	}
	return validated, r.content == contentSuperseded
}

// endState applies the second table; "" is none.
func endState(r *revisionRow, letters []*letterRow) State {
	switch {
	case r.outcome != "":
		return State(r.outcome)
	case r.content != "" && !partner(r.source):
		if r.content == contentNew {
			return StatePersisted
		}
		return State(r.content)
	}
	end := State("")
	for _, l := range letters {
		if l.revision != r.revision {
			continue
		}
		switch l.state {
		case LetterOpen, LetterReplaying, LetterFailedAgain:
			return StateParked
		case LetterDiscarded:
			end = StateDiscarded
		case LetterFixed, LetterSuperseded:
		}
	}
	return end
}

// orderState applies the third table. Newest is the row of the order's revision, first that of its content's.
func orderState(o *orderRow, newest, first *revisionRow) State {
	if !o.validated {
		if newest == nil || newest.endState == "" {
			return StateParked
		}
		return ofOrder(newest.endState)
	}
	switch {
	case !partner(o.source):
		return StatePersisted
	case o.deliveredRevision == o.revision, o.deliveredDigest != "" && o.deliveredDigest == o.contentDigest:
		return StateDelivered
	case newest != nil && newest.endState != "":
		return ofOrder(newest.endState)
	case first != nil && first.endState != "":
		return ofOrder(first.endState)
	default:
		return StateValidated
	}
}

// ofOrder is what a revision's end means for the order: a duplicate of what was delivered is delivered.
func ofOrder(end State) State {
	if end == StateDuplicate {
		return StateDelivered
	}
	return end
}

// better tells which of two outcomes of one revision wins.
func better(a, b event.Outcome) bool { return outcomeRank(a) > outcomeRank(b) }

func outcomeRank(o event.Outcome) int {
	switch o {
	case event.Delivered:
		return 3
	case event.Duplicate:
		return 2
	case event.Superseded:
		return 1
	default:
		return 0
	}
}

// content is how a revision's content stood beside what had passed validation before it.
type content string

const (
	contentNew        content = "new"
	contentDuplicate  content = "duplicate"
	contentSuperseded content = "superseded"
)

// judgeContent compares a revision that passed validation just now with the newest that had passed before.
func judgeContent(o *orderRow, revision order.Revision, digest string) (content, order.Revision) {
	switch {
	case !o.validated:
		return contentNew, 0
	case revision < o.revision:
		return contentSuperseded, o.revision
	case digest != "" && digest == o.contentDigest:
		return contentDuplicate, o.contentRevision
	default:
		return contentNew, 0
	}
}
