package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// revocation is a set of partitions that is being given away: their calls may finish until the deadline.
type revocation struct {
	places   []place
	deadline time.Time
	offsets  map[place]position // what may still be committed; valid once done is closed
	done     chan struct{}
}

func (l *loop) onAssigned(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	l.ask(func() {
		for _, at := range places(parts) {
			l.lanes.assign(at)
		}
		l.Process.Health.Set(conditionGroup, nil)
	})
}

// onRevoked returns when nothing of the partitions runs any more, or its grace is over, and their last commit is done.
// After that this worker commits nothing of them.
func (l *loop) onRevoked(parts map[string][]int32) {
	r := &revocation{places: places(parts), done: make(chan struct{})}
	if len(r.places) == 0 {
		return
	}
	if !l.do(func() { l.giveUp(r, stopGrace) }) {
		l.disown(r.places)
		return
	}
	<-r.done
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	l.commits <- struct{}{} // waits for a commit under way, whose offsets are older
	defer func() { <-l.commits }()
	if err := l.commit(ctx, r.offsets); err != nil {
		l.log.Warn("commit before giving partitions away failed, their records are read again", zap.Error(err))
	}
}

// onLost drops the partitions at once: the group has given them to somebody else already.
func (l *loop) onLost(parts map[string][]int32) {
	r := &revocation{places: places(parts), done: make(chan struct{})}
	if !l.do(func() {
		l.Process.Health.Set(conditionGroup, errNotJoined)
		l.giveUp(r, 0)
	}) {
		l.disown(r.places)
		return
	}
	<-r.done
}

// disown keeps the last commit of a loop that has ended away from partitions that were taken meanwhile.
func (l *loop) disown(gone []place) {
	l.commits <- struct{}{}
	defer func() { <-l.commits }()
	for _, at := range gone {
		l.lost[at] = true
	}
}

func (l *loop) giveUp(r *revocation, grace time.Duration) {
	now := time.Now()
	r.deadline = now.Add(grace)
	for _, at := range r.places {
		l.lanes.revoke(at, now)
	}
	l.leaving = append(l.leaving, r)
}

// giveAway completes the revocations whose calls are back, or whose grace is over.
func (l *loop) giveAway(now time.Time) (wake time.Time) {
	kept := l.leaving[:0]
	for _, r := range l.leaving {
		if l.busy(r, now) && now.Before(r.deadline) {
			wake = earlier(wake, r.deadline)
			kept = append(kept, r)
			continue
		}
		l.interrupt(r)
		r.offsets = map[place]position{}
		for _, at := range r.places {
			if p := l.lanes.partitions[at]; p != nil && p.paused {
				l.client.ResumeFetchPartitions(byTopic([]place{at}))
			}
			if progress, dirty := l.lanes.remove(at, now); dirty {
				r.offsets[at] = progress
			}
		}
		close(r.done)
	}
	clear(l.leaving[len(kept):])
	l.leaving = kept
	return wake
}

// busy tells whether the partitions have something under way, or left to do that can be done.
func (l *loop) busy(r *revocation, now time.Time) bool {
	for _, at := range r.places {
		p := l.lanes.partitions[at]
		if p != nil && (p.running > 0 || p.live > 0 && l.policy.gate.mayCall(now)) {
			return true
		}
	}
	return false
}

// interrupt cancels the calls that hold a record of the partitions.
func (l *loop) interrupt(r *revocation) {
	leaving := map[place]bool{}
	for _, at := range r.places {
		leaving[at] = true
	}
	for c := range l.calls {
		for _, held := range c.records {
			if leaving[held.part.place] && !c.settling {
				c.interrupted = true
				c.cancel()
			}
		}
	}
}

// commitAsTold commits whenever there is progress, one commit after the other, at most one each commitPause.
func (l *loop) commitAsTold() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-l.dirty:
		case <-l.ended:
			return
		}
		l.commitOnce()
		pause.Reset(commitPause)
		select {
		case <-pause.C:
		case <-l.ended:
			return
		}
	}
}

func (l *loop) commitOnce() {
	ctx, cancel := context.WithTimeout(l.commitWork, commitBudget)
	defer cancel()
	l.commits <- struct{}{}
	var offsets map[place]position
	taken := l.ask(func() { offsets = l.lanes.uncommitted() })
	var err error
	if taken {
		err = l.commit(ctx, offsets)
	}
	<-l.commits
	if !taken {
		return
	}
	l.do(func() {
		switch {
		case err == nil:
			l.lanes.committed(offsets)
		case errors.Is(err, kerr.FencedInstanceID):
			l.stop(fatalFetch(err, l.Settings.Slot))
		default:
			l.log.Warn("commit failed, the next one includes it", zap.Error(err))
		}
	})
}

// commit writes offsets and returns when the group has them all.
func (l *loop) commit(ctx context.Context, offsets map[place]position) error {
	if len(offsets) == 0 {
		return nil
	}
	request := map[string]map[int32]kgo.EpochOffset{}
	for at, p := range offsets {
		if request[at.topic] == nil {
			request[at.topic] = map[int32]kgo.EpochOffset{}
		}
		request[at.topic][at.partition] = kgo.EpochOffset{Epoch: p.epoch, Offset: p.offset}
	}
	var failed error
	l.client.CommitOffsetsSync(ctx, request, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if err != nil || answer == nil {
			return
		}
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed = errors.Join(failed, fmt.Errorf("%s/%d: %w", topic.Topic, p.Partition, err))
				}
			}
		}
	})
	if failed != nil {
		return fmt.Errorf("commit offsets: %w", failed)
	}
	return nil
}

func places(parts map[string][]int32) []place {
	var all []place
	for topic, numbers := range parts {
		for _, number := range numbers {
			all = append(all, place{topic, number})
		}
	}
	return all
}
