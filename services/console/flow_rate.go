package main

import (
	"slices"
	"time"
)

const (
	rateOver    = time.Minute // a rate is that of so long a time at most
	rateAtLeast = time.Second
)

// speed is records a second; not known until there were two looks.
type speed struct {
	Known  bool
	Second float64
}

// sample is how far the topics and services were at one moment: the sum of the ends of a topic, or of the offsets that a
// service has finished.
type sample struct {
	at      time.Time
	offsets map[string]int64
}

// samples are the looks of the last minute, the oldest first.
type samples []sample

func (s *samples) add(now sample) {
	*s = slices.DeleteFunc(*s, func(old sample) bool { return now.at.Sub(old.at) > rateOver })
	*s = append(*s, now)
}

// rate is how fast an offset grew between the oldest and the newest look. One that went back, since a topic or a group was
// made anew, is not known.
func (s samples) rate(name string) speed {
	if len(s) < 2 {
		return speed{}
	}
	newest := s[len(s)-1]
	end, ok := newest.offsets[name]
	for _, old := range s[:len(s)-1] {
		begin, known := old.offsets[name]
		took := newest.at.Sub(old.at)
		if !ok || !known || took < rateAtLeast {
			continue
		}
		if begin > end {
			return speed{}
		}
		return speed{true, float64(end-begin) / took.Seconds()}
	}
	return speed{}
}
