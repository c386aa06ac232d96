package main

import (
	"fmt"
	"strings"
	"time"
)

// stepView is one step of a timeline; each kind of step has fields of its own.
type stepView struct {
	At            time.Time `json:"at"`
	Step          string    `json:"step"`
	Service       string    `json:"service"`
	Code          string    `json:"code"`
	Detail        string    `json:"detail"`
	Revision      int64     `json:"revision"`
	Topic         string    `json:"topic"`
	Partition     int32     `json:"partition"`
	Offset        int64     `json:"offset"`
	OtherRevision int64     `json:"other_revision"`
	Attempt       int       `json:"attempt"`
	Outcome       string    `json:"outcome"`
	TookMS        *int64    `json:"took_ms"`
	Letter        int64     `json:"letter"`
	LetterState   string    `json:"letter_state"`
	Path          string    `json:"path"`
	Job           int64     `json:"job"`
	Result        string    `json:"result"`
	By            string    `json:"by"`
	Reason        string    `json:"reason"`
}

// outcomes say how a call of a partner ended.
var outcomes = map[string]string{
	"delivered": "taken",
	"refused":   "refused",
	"conflict":  "refused: the partner holds this order with another content",
	"unknown":   "nobody knows whether it was taken: it is sent again before anything else of this order",
	"not_taken": "not taken: it is tried again",
}

// results say what a replay job did with a letter.
var results = map[string]string{
	"selected": "not sent yet", "sent": "sent home, no result yet", "fixed": "fixed", "failed_again": "failed again",
	"superseded": "superseded by a newer push", "skipped": "skipped",
}

// what says what happened in a step.
func (s *stepView) what() string {
	switch s.Step {
	case "received":
		if s.Topic == "" {
			return ""
		}
		return fmt.Sprintf("%s, partition %d, offset %d", s.Topic, s.Partition, s.Offset)
	case "claimed":
		return fmt.Sprintf("call %d begins", s.Attempt)
	case "attempt":
		return s.call()
	case "delivered":
		return s.answer()
	case "superseded":
		if s.OtherRevision == 0 {
			return "by a newer revision"
		}
		return fmt.Sprintf("by revision %d", s.OtherRevision)
	case "duplicate":
		return fmt.Sprintf("same content as revision %d", s.OtherRevision)
	case "refused", "dead_lettered":
		if s.Letter == 0 {
			return s.fault()
		}
		return s.fault() + fmt.Sprintf(", letter %d", s.Letter)
	case "replayed":
		text := fmt.Sprintf("job %d", s.Job)
		if s.By != "" {
			text += " of " + s.By
		}
		if s.Result != "" {
			text += ": " + known(results, s.Result)
		}
		if s.Code != "" {
			text += ", " + s.fault()
		}
		return text
	case "discarded":
		return fmt.Sprintf("letter %d, by %s: %s", s.Letter, s.By, s.Reason)
	default:
		return strings.TrimSpace(s.Code + " " + s.Detail)
	}
}

// call says how an attempt at a partner ended.
func (s *stepView) call() string {
	text := fmt.Sprintf("call %d: %s", s.Attempt, known(outcomes, s.Outcome))
	if strings.Contains(s.Detail, "taken over") {
		text += ", after another worker had taken over"
	}
	if answer := s.answer(); answer != "" {
		text += ", " + answer
	}
	if s.TookMS == nil {
		return text + ", its worker died"
	}
	return text + fmt.Sprintf(", %d ms", *s.TookMS)
}

func (s *stepView) answer() string {
	if s.Code == "" {
		return ""
	}
	return "answer " + s.Code
}

// fault is a code, with the field at fault or the partner's own code.
func (s *stepView) fault() string {
	switch {
	case s.Path != "":
		return s.Code + " at " + s.Path
	case s.Detail != "" && s.Step != "replayed":
		return s.Code + " (" + s.Detail + ")"
	default:
		return s.Code
	}
}

// known is a word's text, or the word itself.
func known(texts map[string]string, word string) string {
	if text, ok := texts[word]; ok {
		return text
	}
	return word
}
