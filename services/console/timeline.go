package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// step is one thing that happened to one revision of an order. Each kind of step has fields of its own.
type step struct {
	At       time.Time      `json:"at"`
	Step     store.Step     `json:"step"`
	Service  string         `json:"service"`
	Code     string         `json:"code"`
	Detail   string         `json:"detail"`
	Revision order.Revision `json:"revision"`

	// received: where its record lies
	Topic     string `json:"topic,omitzero"`
	Partition *int32 `json:"partition,omitzero"`
	Offset    *int64 `json:"offset,omitzero"`

	// superseded, duplicate: the revision that superseded this one, or that it repeats
	OtherRevision order.Revision `json:"other_revision,omitzero"`

	// claimed, attempt: the number of the call; and of an attempt, how it ended and how long it took, null where nobody knows
	Attempt int          `json:"attempt,omitzero"`
	Outcome store.Ending `json:"outcome,omitzero"`
	TookMS  *int64       `json:"took_ms,omitzero"`

	// refused, dead_lettered, replayed, discarded: the dead letter, how it stands now, and the field at fault
	Letter      int64             `json:"letter,omitzero"`
	LetterState store.LetterState `json:"letter_state,omitzero"`
	Path        string            `json:"path,omitzero"`

	// replayed: the job, and what came of it; discarded: the reason. By is the person
	Job    int64            `json:"job,omitzero"`
	Result store.ItemResult `json:"result,omitzero"`
	By     string           `json:"by,omitzero"`
	Reason string           `json:"reason,omitzero"`
}

// lies adds where the record of a received step lies.
func (s *step) lies(topic string, partition int32) {
	offset := s.Revision.Offset()
	s.Topic, s.Partition, s.Offset = topic, &partition, &offset
}

// stepsOf tells what happened to an order of that source, oldest first.
func stepsOf(source order.Source, t *store.Timeline) []step {
	steps := make([]step, 0, len(t.Events)+len(t.Replays))
	for _, e := range t.Events {
		if e.Step == store.StepReplayed && replayKnown(t, e) {
			continue // the job tells more about it
		}
		steps = append(steps, stepOf(source, t, e))
	}
	for _, r := range t.Replays {
		steps = append(steps, step{
			At: r.At.UTC(), Step: store.StepReplayed, Service: service, Code: r.Code, Detail: strconv.FormatInt(r.JobID, 10), Revision: r.Revision,
			Letter: r.LetterID, LetterState: letterState(t, r.LetterID), Path: r.Path, Job: r.JobID, Result: r.Result, By: r.By,
		})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.At.Compare(b.At) })
	return steps[max(0, len(steps)-maxSteps):]
}

func stepOf(source order.Source, t *store.Timeline, e store.Event) step {
	s := step{At: e.At.UTC(), Step: e.Step, Service: e.Service, Code: e.Code, Detail: e.Detail, Revision: e.Revision}
	switch e.Step {
	case store.StepReceived:
		if partition, ok := t.Partitions[e.Revision]; ok {
			s.lies(event.Received(source), partition)
		}
	case store.StepSuperseded, store.StepDuplicate:
		other, _ := strconv.ParseInt(e.Detail, 10, 64)
		s.OtherRevision = order.Revision(other)
	case store.StepClaimed:
		s.Attempt, _ = strconv.Atoi(e.Dedupe)
	case store.StepAttempt:
		number, _, _ := strings.Cut(e.Dedupe, " ")
		s.Attempt, _ = strconv.Atoi(number)
		ending, took := e.Call()
		if s.Outcome = ending; took >= 0 {
			ms := took.Milliseconds()
			s.TookMS = &ms
		}
	case store.StepRefused, store.StepDeadLettered:
		if strings.HasPrefix(e.Detail, "/") {
			s.Path = e.Detail
		}
		if l, ok := letterOfStep(t, e); ok {
			s.Letter, s.LetterState = l.ID, l.State
		}
	case store.StepReplayed:
		s.Job, _ = strconv.ParseInt(e.Dedupe, 10, 64)
		s.Detail = cmp.Or(s.Detail, e.Dedupe)
	case store.StepDiscarded:
		s.Letter, _ = strconv.ParseInt(e.Dedupe, 10, 64)
		for _, l := range t.Letters {
			if l.ID == s.Letter {
				s.LetterState, s.By, s.Reason = l.State, l.DiscardedBy, l.DiscardReason
			}
		}
	case store.StepValidated, store.StepDelivered, store.StepPersisted:
	}
	return s
}

// letterOfStep finds the letter that a step is about: a step's name for it is service, topic and number of replays.
func letterOfStep(t *store.Timeline, e store.Event) (store.TimelineLetter, bool) {
	for _, l := range t.Letters {
		if l.Revision == e.Revision && strings.HasPrefix(e.Dedupe, l.Service+" "+l.OriginTopic+" ") {
			return l, true
		}
	}
	return store.TimelineLetter{}, false
}

func letterState(t *store.Timeline, id int64) store.LetterState {
	for _, l := range t.Letters {
		if l.ID == id {
			return l.State
		}
	}
	return ""
}

func replayKnown(t *store.Timeline, e store.Event) bool {
	return slices.ContainsFunc(t.Replays, func(r store.TimelineReplay) bool {
		return r.Revision == e.Revision && strconv.FormatInt(r.JobID, 10) == e.Dedupe
	})
}
