package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
)

// loop is one run of a Worker. All its state belongs to the goroutine of run; everybody else hands it functions.
type loop struct {
	*Worker
	log     *zap.Logger
	metrics *metrics
	client  *kgo.Client
	work    context.Context // of calls and writes; ends when their grace is over
	abandon context.CancelCauseFunc

	events chan func()
	ended  chan struct{} // closed when no more events are taken
	permit chan struct{} // lets the poller poll once
	dirty  chan struct{} // lets the committer commit

	lanes    *schedule
	policy   policy
	guard    guard
	held     map[string]*heldSource // by source
	calls    map[*call]struct{}
	overdue  time.Time // when the first call may be overdue
	hung     int
	polling  bool // the poller has its permit, or a fetch on its way
	leaving  []*revocation
	stopping bool
	cancelAt time.Time // when a stop cancels what is still under way
	failure  error     // why Run ends, beside a stop

	commitWork context.Context // of commits
	endCommits context.CancelFunc

	commits chan struct{}  // holds a token while somebody commits, from snapshot to answer: no older commit follows a newer one
	lost    map[place]bool // taken away after the loop had ended; guarded by commits
}

func newLoop(w *Worker) *loop {
	l := &loop{
		Worker: w, log: w.Process.Log, metrics: newMetrics(w.Process.Metrics, w.Service),
		events: make(chan func()), ended: make(chan struct{}), permit: make(chan struct{}, 1), dirty: make(chan struct{}, 1),
		lanes:  newSchedule(w.limits(), w.MaxBatch, w.Linger, w.GroupBy),
		policy: policy{settings: w.Settings}, calls: map[*call]struct{}{},
		guard: newGuard(w.Settings), held: map[string]*heldSource{},
		commits: make(chan struct{}, 1), lost: map[place]bool{},
	}
	l.work, l.abandon = context.WithCancelCause(context.Background())
	l.commitWork, l.endCommits = context.WithCancel(context.Background())
	return l
}

// do has f run by the loop's goroutine; false when the loop has ended.
func (l *loop) do(f func()) bool {
	select {
	case l.events <- f:
		return true
	case <-l.ended:
		return false
	}
}

// ask is do that waits until f has run.
func (l *loop) ask(f func()) bool {
	finished := make(chan struct{})
	return l.do(func() { f(); close(finished) }) && receives(finished, l.ended)
}

func receives(c, or <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-or:
		return false
	}
}

func (l *loop) run(ctx context.Context) error {
	polls, stopPolling := context.WithCancel(context.Background())
	var helpers sync.WaitGroup
	helpers.Go(func() { l.poll(polls) })
	helpers.Go(l.commitAsTold)

	timer := time.NewTimer(0)
	defer timer.Stop()
	stop := ctx.Done()
	for !l.finished() {
		select {
		case f := <-l.events:
			f()
		case <-timer.C:
		case <-stop:
			stop = nil
			l.stop(nil)
		}
		if l.stopping {
			stopPolling()
		}
		if wake := l.pump(time.Now()); !wake.IsZero() {
			timer.Reset(time.Until(wake))
		}
	}
	stopPolling()
	l.abandon(boot.ErrStopped)
	l.leave()
	helpers.Wait()
	l.endCommits()
	l.Process.Health.Set(conditionGroup, errNotJoined)
	for source := range l.held {
		hideHold(l.Process, l.metrics, source)
	}
	return l.failure
}

// stop begins the end of the run: no more is done than what closes the gaps before finished records.
func (l *loop) stop(why error) {
	if l.failure == nil {
		l.failure = why
	}
	if l.stopping {
		return
	}
	now := time.Now()
	l.stopping = true
	l.cancelAt = now.Add(stopGrace)
	for at := range l.lanes.partitions {
		l.lanes.revoke(at, now)
	}
}

func (l *loop) finished() bool {
	if !l.stopping {
		return false
	}
	now := time.Now()
	if now.After(l.cancelAt.Add(cancelGrace)) {
		return true
	}
	more := len(l.lanes.lanes) > 0 && l.failure == nil && now.Before(l.cancelAt) && l.policy.gate.mayCall(now)
	return len(l.calls) == 0 && !more
}

// pump does everything that has become possible, and tells when time alone makes more of it possible.
func (l *loop) pump(now time.Time) (wake time.Time) {
	l.checkOverdue(now)
	wake = l.giveAway(now)
	if l.stopping && !now.Before(l.cancelAt) {
		l.abandon(boot.ErrStopped)
		return earlier(wake, l.cancelAt.Add(cancelGrace+time.Millisecond))
	}
	wake = earlier(wake, l.judgeHeld(now))
	if l.failure == nil {
		wake = earlier(wake, l.dispatch(now))
	}
	wake = earlier(wake, l.overdue) // of the calls just started, too
	if l.stopping {
		return earlier(wake, l.cancelAt)
	}
	pause, resume := l.lanes.throttle()
	if len(pause) > 0 {
		l.client.PauseFetchPartitions(byTopic(pause))
	}
	if len(resume) > 0 {
		l.client.ResumeFetchPartitions(byTopic(resume))
	}
	if !l.polling && l.wantsMore() {
		l.polling = true
		l.permit <- struct{}{}
	}
	if l.lanes.uncommitted() != nil {
		select {
		case l.dirty <- struct{}{}:
		default:
		}
	}
	l.gauge()
	return wake
}

// dispatch starts calls while there is room and something to do.
func (l *loop) dispatch(now time.Time) (wake time.Time) {
	for len(l.calls) < l.InFlight {
		gate := &l.policy.gate
		var batch []*record
		probe := gate.mayProbe(now) && !l.stopping
		switch {
		case probe:
			batch = l.lanes.probe()
		case gate.mayCall(now):
			batch = l.lanes.next(now)
		}
		if len(batch) == 0 {
			if gate.mayCall(now) {
				return l.lanes.wake()
			}
			return gate.wake(now)
		}
		l.start(batch, probe, now)
	}
	return time.Time{}
}

func (l *loop) gauge() {
	l.metrics.running.Set(float64(l.lanes.running))
	l.metrics.waiting.Set(float64(len(l.lanes.waiting)))
	l.metrics.paused.Set(float64(l.lanes.pausedPartitions()))
	open := 0.0
	if l.policy.gate.open {
		open = 1
	}
	l.metrics.breaker.Set(open)
}

// leave commits what is finished and leaves the group, each within its budget. A static member stays known to the group,
// so that its partitions wait for the next process with its slot.
func (l *loop) leave() {
	for _, r := range l.leaving {
		r.deadline = time.Time{}
	}
	l.giveAway(time.Now())
	offsets := l.lanes.uncommitted()
	close(l.ended)
	hurry := time.AfterFunc(farewell, l.endCommits)
	defer hurry.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	l.commits <- struct{}{}
	for at := range l.lost {
		delete(offsets, at)
	}
	if err := l.commit(ctx, offsets); err != nil {
		l.log.Warn("last commit failed, the records come again", zap.Error(err))
	}
	<-l.commits
	left, cancelLeft := context.WithTimeout(context.Background(), farewell)
	defer cancelLeft()
	if err := l.client.LeaveGroupContext(left); err != nil {
		l.log.Warn("leaving the group failed, it waits for the session to end", zap.Error(err))
	}
	l.client.CloseAllowingRebalance()
}

func byTopic(places []place) map[string][]int32 {
	all := map[string][]int32{}
	for _, at := range places {
		all[at.topic] = append(all[at.topic], at.partition)
	}
	return all
}

func (at place) String() string { return fmt.Sprintf("%s/%d", at.topic, at.partition) }
