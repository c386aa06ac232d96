//go:build synctests

package worker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/boot"
)

// toNewest gives every partition to the member with the greatest slot.
type toNewest struct{ kgo.GroupBalancer }

func (n toNewest) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	balancer, err := kgo.NewConsumerBalancer(n, members)
	return balancer, balancer.MemberTopics(), err
}

func (toNewest) Balance(b *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	members := b.Members()
	newest := slices.MaxFunc(members, func(a, b kmsg.JoinGroupResponseMember) int { return strings.Compare(*a.InstanceID, *b.InstanceID) })
	plan := b.NewPlan()
	for topic, partitions := range topics {
		for i := range partitions {
			plan.AddPartition(&newest, topic, i)
		}
	}
	return plan
}

// A source whose partitions went to another worker is held there, and not here any more; when they come back, so does the
// hold, before a letter is written.
func TestAHoldEndsWhenItsLastPartitionMoves(t *testing.T) {
	slot := func(w *Transactions, name string) {
		w.Settings.Slot = name
		w.options = append(slices.Clone(w.options), kgo.Balancers(toNewest{kgo.RangeBalancer()}))
	}
	inBatches(t, func(w *Transactions) { slot(w, "1") }, backlog(), func(b *batches) {
		b.sleep(20 * time.Second)
		checkHeld(t, b.loop.Process, "icbu")
		other := *b.loop
		other.Process = process()
		slot(&other, "2")
		r := runTransactions(b.t, &other)
		b.sleep(80 * time.Second)
		checkHeld(t, b.loop.Process)
		checkHeld(t, other.Process, "icbu")
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		b.sleep(80 * time.Second)
		checkHeld(t, b.loop.Process, "icbu")
		b.check(0, 0, 0)
		b.mended.Store(true)
		b.sleep(70 * time.Second)
		checkHeld(t, b.loop.Process)
		b.check(600, 0, 0)
	})
}

// Partitions of a held topic move between workers: no letter is written, and each record comes out once.
func TestHoldOfTransactionsAcrossRebalances(t *testing.T) {
	inBatches(t, nil, backlog(), func(b *batches) {
		b.sleep(10 * time.Second)
		for range 2 {
			other := *b.loop
			other.Process = process()
			r := runTransactions(b.t, &other)
			b.send(mallPushes(50, 1)...)
			b.send(messages(received, 300, 1)...)
			b.sleep(90 * time.Second)
			checkHeld(t, other.Process, "icbu")
			if err := r.stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
			b.sleep(90 * time.Second)
		}
		b.check(0, 100, 0)
		checkHeld(t, b.loop.Process, "icbu")
		b.mended.Store(true)
		b.sleep(80 * time.Second)
		checkHeld(t, b.loop.Process)
		b.check(1200, 100, 0)
	})
}

// Partitions move while their source is held: neither worker writes more letters, and all is done in the end.
func TestHoldAcrossRebalances(t *testing.T) {
	d := &deploy{}
	inBubble(t, messages(mainTopic, 300, 3), d.handle, func(b *bubble) {
		b.sleep(10 * time.Second)
		first := len(b.letters())
		for round := range 3 {
			other := newWorker(b.broker, d.handle(b))
			other.options = b.worker.options
			ctx, stop := context.WithCancelCause(context.Background())
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := other.Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
			b.sleep(150 * time.Second)
			stop(boot.ErrStopped)
			wg.Wait()
			b.sleep(150 * time.Second)
			if more := len(b.letters()) - first; more > 49*(round+1) {
				t.Errorf("%d more letters after %d workers came and went", more, round+1)
			}
		}
		checkHeld(t, b.worker.Process, "icbu")
		d.mended.Store(true)
		b.sleep(2 * time.Minute)
		checkHeld(t, b.worker.Process)
		b.checkNothingLost(900, 7)
	})
}
