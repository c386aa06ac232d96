package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"orderflow/pkg/store"
)

// trouble is what is wrong with something, by its name in the texts: there is one that says what happened, and one that
// says what to do.
type trouble string

// The troubles, from the outside in.
const (
	troubleKafka      trouble = "kafka"
	troubleDatabase   trouble = "database"
	troubleNoWorker   trouble = "no_worker"
	troubleSilent     trouble = "silent"
	troubleRed        trouble = "red"
	troubleGuard      trouble = "guard"
	troubleBreaker    trouble = "breaker"
	troubleSlow       trouble = "slow"
	troubleUnbalanced trouble = "unbalanced"
	troubleHours      trouble = "hours"
	troubleStopped    trouble = "stopped"
	troubleApproval   trouble = "approval"
	troubleLetters    trouble = "letters"
)

var troubles = []trouble{
	troubleKafka, troubleDatabase, troubleNoWorker, troubleSilent, troubleRed, troubleGuard, troubleBreaker, troubleSlow,
	troubleUnbalanced, troubleHours, troubleStopped, troubleApproval, troubleLetters,
}

// grave tells whether orders wait or are lost from sight; the others want a decision, but not at night.
func (t trouble) grave() bool {
	return !slices.Contains([]trouble{troubleApproval, troubleLetters, troubleStopped}, t)
}

// slowAfter is how long a record may wait before a service that runs.
const slowAfter = 5 * time.Minute

// problem is one line of what a person has to know first: what is wrong, with what, since when, and where to go.
type problem struct {
	Trouble trouble
	Service string // "" where none is meant
	Address string // of the process
	Job     int64
	Count   int
	Since   time.Time // zero: not known
	Reasons []reason  // as the process says them
	To      string    // a page
}

// Tone is how urgent it is.
func (p problem) Tone() string {
	if p.Trouble.grave() {
		return "bad"
	}
	return "warn"
}

// problems finds all that is wrong in what the overview shows.
func (v *overviewView) problems() []problem {
	var all []problem
	if v.Flow == nil {
		all = append(all, problem{Trouble: troubleKafka})
	}
	if !v.Database {
		all = append(all, problem{Trouble: troubleDatabase})
	}
	for _, i := range slices.Concat(v.Door, v.Counting) {
		all = append(all, i.problems()...)
	}
	for _, stage := range v.Stages {
		for _, s := range stage {
			all = append(all, s.problems(v.Flow != nil)...)
		}
	}
	for _, j := range v.Jobs {
		all = append(all, jobProblems(j)...)
	}
	if v.Hours > 0 {
		all = append(all, problem{Trouble: troubleHours, Count: v.Hours, Since: v.HoursSince, To: "/balance"})
	}
	if v.Letters > 0 {
		all = append(all, problem{Trouble: troubleLetters, Count: v.Letters, Since: v.LettersSince, To: "/letters/groups"})
	}
	slices.SortStableFunc(all, func(a, b problem) int {
		return cmp.Compare(slices.Index(troubles, a.Trouble), slices.Index(troubles, b.Trouble))
	})
	return all
}

func (s stop) problems(kafka bool) []problem {
	var all []problem
	switch {
	case !kafka:
	case s.Workers == 0:
		all = append(all, problem{Trouble: troubleNoWorker, Service: s.Service, Since: s.Oldest})
	case !s.Oldest.IsZero() && time.Since(s.Oldest) > slowAfter:
		all = append(all, problem{Trouble: troubleSlow, Service: s.Service, Since: s.Oldest})
	}
	for _, i := range s.Instances {
		all = append(all, i.problems()...)
	}
	return all
}

func (i instance) problems() []problem {
	p := problem{Service: i.Service, Address: i.Address, Since: i.Since, Reasons: i.Reasons}
	switch {
	case i.Health == healthSilent:
		p.Trouble = troubleSilent
	case len(i.Held) > 0:
		p.Trouble = troubleGuard
	case i.Health == healthRed:
		p.Trouble = troubleRed
	case i.Breaker != nil && *i.Breaker:
		p.Trouble, p.Since = troubleBreaker, i.BreakerSince
	default:
		return nil
	}
	return []problem{p}
}

func jobProblems(j jobAnswer) []problem {
	p := problem{Job: j.ID, Since: j.ChangedAt, To: jobPath(j.ID), Count: j.Selected}
	switch {
	case !j.Balanced:
		p.Trouble = troubleUnbalanced
	case j.State == store.JobStopped:
		p.Trouble = troubleStopped
	case j.State == store.JobWaitingApproval:
		p.Trouble = troubleApproval
	default:
		return nil
	}
	return []problem{p}
}

// Holds are the sources that the guards of a service hold.
func (s stop) Holds() string {
	var held []string
	for _, i := range s.Instances {
		held = append(held, i.Held...)
	}
	slices.Sort(held)
	return strings.Join(slices.Compact(held), ", ")
}

// Guarded tells whether anybody told about the service's guard.
func (s stop) Guarded() bool {
	return slices.ContainsFunc(s.Instances, func(i instance) bool { return i.Guarded })
}

// Breaker is the state of the service's breakers: open if one is.
func (s stop) Breaker() string {
	state := "unknown"
	for _, i := range s.Instances {
		if i.Breaker != nil && *i.Breaker {
			return "open"
		}
		if i.Breaker != nil {
			state = "closed"
		}
	}
	return state
}

// Alarmed tells whether anything is wrong with the service.
func (s stop) Alarmed(v *overviewView) bool {
	return s.Letters > 0 || len(s.problems(v.Flow != nil)) > 0
}

// Partnered tells whether the service calls somebody who may fail: only there a breaker means anything.
func (s stop) Partnered() bool { return s.Service != "validate" }
