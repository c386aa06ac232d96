package main

import (
	"errors"
	"net/http"

	"orderflow/pkg/store"
)

// overviewView is the house at a glance.
type overviewView struct {
	Flow    *flowView // nil: Kafka does not answer
	Stages  [][]stop  // from left to right; those of one stage stand above each other
	Letters int
	Jobs    []jobAnswer // that are under way
}

// stop is one service that orders pass.
type stop struct {
	station
	Letters int // that are open
}

// houseStages are the services that read from Kafka, from left to right.
var houseStages = [][]string{{"validate"}, {"okkisync", "mallupload"}, {"persist"}}

// latestJobs is how far back jobs are looked for that are under way.
const latestJobs = 20

func (c *console) overviewPage(r *http.Request, _ user) (screen, error) {
	groups, err := c.db.LetterGroups(r.Context(), store.LetterFilter{})
	if err != nil {
		return screen{}, err
	}
	jobs, _, err := c.db.Replays(r.Context(), "", latestJobs)
	if err != nil {
		return screen{}, err
	}
	seen, err := c.pages.flow.look(r.Context())
	if err != nil && !errors.Is(err, errKafka) {
		return screen{}, err
	}
	v := overviewView{Flow: seen}
	letters := map[string]int{}
	for _, g := range groups {
		letters[g.Service] += g.Count
		v.Letters += g.Count
	}
	for _, names := range houseStages {
		var stops []stop
		for _, name := range names {
			s := stop{station: station{Service: name}, Letters: letters[name]}
			if seen != nil {
				s.station = seen.Stations[name]
			}
			stops = append(stops, s)
		}
		v.Stages = append(v.Stages, stops)
	}
	for _, j := range jobs {
		if j.FinishedAt.IsZero() {
			v.Jobs = append(v.Jobs, jobOf(j))
		}
	}
	return screen{template: "overview", data: v, live: true}, nil
}
