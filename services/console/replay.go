package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

// rehearseFunc asks the deployed code about a letter, without effects: would it pass now, and if not, with which code and
// path. An error is one of the world and says nothing about the letter.
type rehearseFunc func(ctx context.Context, letter deadletter.Letter) (wouldPass bool, code, path string, err error)

// openFunc makes a Kafka client with the house's options and those given.
type openFunc func(options ...kgo.Opt) (*kgo.Client, error)

// pace is how the runner spends time.
type pace struct {
	batch  int           // letters that are marked, produced and confirmed together, at most
	poll   time.Duration // between looks for jobs, unless one was made here
	settle time.Duration // between looks for results, where nothing can be sent meanwhile
	lease  time.Duration // after which another console takes over the jobs of one that died
	pause  time.Duration // before a job is tried again that ran into an error
}

var usualPace = pace{batch: 250, poll: time.Second, settle: 300 * time.Millisecond, lease: 15 * time.Second, pause: 2 * time.Second}

const (
	maxJobs  = 32 // at once: a job whose worker is down waits for its results, and must not keep others from running
	farewell = 3 * time.Second
)

// runner works on replay jobs: it sends letters home and notes what became of them. Everything it knows is in PostgreSQL,
// so that after a crash it, or another console, goes on where it stopped.
type runner struct {
	store    *store.Store
	keys     *privacy.Keys
	open     openFunc
	rehearse rehearseFunc
	log      *zap.Logger
	stop     store.StopRule
	pace     pace
	wake     chan struct{}
}

// minResults is how many results there must be before their share of failures says something.
const minResults = 20

func newRunner(s *store.Store, keys *privacy.Keys, open openFunc, rehearse rehearseFunc, log *zap.Logger, settings Settings) *runner {
	return &runner{
		store: s, keys: keys, open: open, rehearse: rehearse, log: log, stop: store.StopRule{Ratio: settings.StopRatio, Min: minResults},
		pace: usualPace, wake: make(chan struct{}, 1),
	}
}

// look makes the runner look for jobs at once. It never blocks.
func (r *runner) look() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run works on jobs until ctx ends.
func (r *runner) run(ctx context.Context) {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	slots := make(chan struct{}, maxJobs)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		claimed, err := r.store.ClaimReplay(ctx, r.pace.lease)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("no look for replay jobs", zap.String("cause", store.Describe(err)))
		}
		if claimed != nil {
			jobs.Go(func() {
				r.job(ctx, claimed)
				<-slots
				r.look()
			})
			continue
		}
		<-slots
		select {
		case <-time.After(r.pace.poll):
		case <-r.wake:
		case <-ctx.Done():
			return
		}
	}
}

// job works on one job until it has nothing to do, and lets it go.
func (r *runner) job(ctx context.Context, run *store.ReplayRun) {
	working, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { r.renew(working, run, cancel) })
	err := r.work(working, run)
	if cause := context.Cause(working); errors.Is(cause, store.ErrReplayLost) {
		err = cause
	}
	cancel(nil)
	renewing.Wait()
	pause := time.Duration(0)
	if err != nil && ctx.Err() == nil {
		r.log.Warn("replay job is tried again", zap.Int64("job", run.JobID), zap.String("cause", store.Describe(err)))
		pause = r.pace.pause
	}
	leaving, done := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer done()
	if err := run.Release(leaving, pause); err != nil {
		r.log.Warn("replay job is not released", zap.Int64("job", run.JobID), zap.String("cause", store.Describe(err)))
	}
}

// renew keeps the lease while the job is worked on. Only a job that is lost is given up: an outage of PostgreSQL stops
// everything by itself.
func (r *runner) renew(ctx context.Context, run *store.ReplayRun, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(r.pace.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := run.Renew(ctx, r.pace.lease); errors.Is(err, store.ErrReplayLost) {
			cancel(err)
			return
		}
	}
}
