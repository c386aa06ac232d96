package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/store"
)

// overviewView is the house at a glance.
type overviewView struct {
	Flow     *flowView  // nil: Kafka does not answer
	Database bool       // whether PostgreSQL answers; if not, letters and jobs are not known
	Watched  bool       // whether WORKER_OPS names anybody
	Door     []instance // of ingest
	Counting []instance // of balance
	Stages   [][]stop   // from left to right; those of one stage stand above each other
	Letters  int
	Jobs     []jobAnswer // that are under way
	Problems []problem

	LettersSince time.Time // when the first of the open letters failed
	Hours        int       // that do not balance
	HoursSince   time.Time // the first of them
}

// Unasked tells whether some process was not asked yet, so that nobody can call everything good.
func (v *overviewView) Unasked() bool {
	unasked := func(i instance) bool { return i.Health == healthUnasked }
	return slices.ContainsFunc(slices.Concat(v.Door, v.Counting), unasked) || slices.ContainsFunc(v.Stages, func(stage []stop) bool {
		return slices.ContainsFunc(stage, func(s stop) bool { return slices.ContainsFunc(s.Instances, unasked) })
	})
}

// stop is one service that orders pass.
type stop struct {
	station
	Letters   int        // that are open
	Instances []instance // its processes of WORKER_OPS
}

// houseStages are the services that read from Kafka, from left to right.
var houseStages = [][]string{{"validate"}, {"okkisync", "mallupload"}, {"persist"}}

const (
	latestJobs   = 20 // how far back jobs are looked for that are under way
	lookAtTables = 3 * time.Second
)

// overviewPage shows what it can while Kafka or PostgreSQL is away: that is when somebody looks.
func (c *console) overviewPage(r *http.Request, _ user) (screen, error) {
	v := overviewView{}
	var groups []store.LetterGroup
	var errTables error
	var looking sync.WaitGroup
	looking.Go(func() {
		ctx, cancel := context.WithTimeout(r.Context(), lookAtTables)
		defer cancel()
		groups, v.Jobs, errTables = c.tables(ctx)
		if errTables == nil {
			v.Hours, v.HoursSince, errTables = c.db.Imbalance(ctx)
		}
	})
	seen, err := c.pages.flow.look(r.Context())
	looking.Wait()
	if err != nil && !errors.Is(err, errKafka) {
		return screen{}, err
	}
	if v.Database = errTables == nil; !v.Database {
		c.log.Warn("overview without the database", zap.String("cause", store.Describe(errTables)))
	}
	v.Flow = seen
	letters := map[string]int{}
	for _, g := range groups {
		letters[g.Service] += g.Count
		v.Letters += g.Count
		if v.LettersSince.IsZero() || g.FirstSeen.Before(v.LettersSince) {
			v.LettersSince = g.FirstSeen
		}
	}
	v.Watched, v.Door, v.Counting = len(c.pages.scraper.bases) > 0, c.pages.scraper.of("ingest"), c.pages.scraper.of("balance")
	for _, names := range houseStages {
		var stops []stop
		for _, name := range names {
			s := stop{station: station{Service: name}, Letters: letters[name], Instances: c.pages.scraper.of(name)}
			if seen != nil {
				s.station = seen.Stations[name]
			}
			if counted := c.pages.scraper.rate(name); counted.Known {
				s.Rate = counted
			}
			stops = append(stops, s)
		}
		v.Stages = append(v.Stages, stops)
	}
	v.Problems = v.problems()
	return screen{template: "overview", data: &v, live: true}, nil
}

// tables reads the open letters' groups and the jobs that are under way.
func (c *console) tables(ctx context.Context) ([]store.LetterGroup, []jobAnswer, error) {
	groups, err := c.db.LetterGroups(ctx, store.LetterFilter{})
	if err != nil {
		return nil, nil, err
	}
	latest, _, err := c.db.Replays(ctx, "", latestJobs)
	if err != nil {
		return nil, nil, err
	}
	var jobs []jobAnswer
	for _, j := range latest {
		if j.FinishedAt.IsZero() {
			jobs = append(jobs, jobOf(j))
		}
	}
	return groups, jobs, nil
}
