package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
)

// Lanes keep an order's records apart within one process. Across two only the ledger does: here an older revision comes
// as a replay to one instance while the other one has a newer push of the same order.
func TestTwoInstancesAReplayAndANewerPushOfTheSameOrder(t *testing.T) {
	const orders = 80
	s := newStage(t)
	var mu sync.Mutex
	calling := map[string]bool{}
	g := startGateway(t, func(number string, _ int) answer {
		mu.Lock()
		if calling[number] {
			t.Errorf("%s: two calls at once", number)
		}
		calling[number] = true
		mu.Unlock()
		<-time.After(20 * time.Millisecond) // a slow partner
		mu.Lock()
		calling[number] = false
		mu.Unlock()
		return answer{}
	})
	s.start(g)
	s.start(g)
	s.waitForBoth()
	// The group's balancer likes to give equal numbers of both topics to one member, so the replays go astray.
	client := s.broker.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	const partitions = 6
	var in []*kgo.Record
	for i := range orders {
		number := fmt.Sprint("P", i)
		older := deadletter.Home(deadletter.Letter{Stage: service, Origin: validated(number, 1, "older")}, "job-1", fmt.Sprint(i))
		replay, push := bus.ToRecord(older), bus.ToRecord(validated(number, 2, "newer"))
		push.Partition = int32(i % partitions)
		replay.Partition = (push.Partition + int32(1+i/partitions%(partitions-1))) % partitions
		in = append(in, replay, push)
	}
	if err := client.ProduceSync(s.broker.Context(), in...).FirstErr(); err != nil {
		t.Fatal(err)
	}

	told := map[order.Key][3]event.Outcome{}
	for _, d := range s.deliveries(2 * orders) {
		outcomes := told[d.OrderKey]
		if outcomes[d.Revision] != "" {
			t.Errorf("%s, revision %d: %s and %s", d.OrderKey, d.Revision, outcomes[d.Revision], d.Outcome)
		}
		outcomes[d.Revision] = d.Outcome
		told[d.OrderKey] = outcomes
	}
	for i := range orders {
		number := fmt.Sprint("P", i)
		var seen []string
		for _, body := range g.bodies(number) {
			seen = append(seen, map[bool]string{true: "older", false: "newer"}[strings.Contains(body, "older")])
		}
		want, outcome := []string{"newer"}, event.Superseded
		if len(seen) == 2 {
			want, outcome = []string{"older", "newer"}, event.Delivered
		}
		if outcomes := told[order.Key("icbu:"+number)]; !slices.Equal(seen, want) || outcomes[1] != outcome || outcomes[2] != event.Delivered {
			t.Errorf("%s: the partner saw %v, told was %q", number, seen, outcomes[1:])
		}
	}
	s.broker.WaitCommitted(service, event.Validated(order.ICBU), orders)
	s.broker.WaitCommitted(service, event.Replay(service), orders)
	if letters := s.broker.Read(event.DeadLetters(service)); len(letters) > 0 {
		t.Errorf("%d letters", len(letters))
	}
	// Else the test has not tested anything.
	split := pgtest.Texts(t, s.url, "select order_key from deliveries group by order_key having count(distinct owner) = 2")
	t.Logf("%d of %d orders were handled by both instances", len(split), orders)
	if len(split) == 0 {
		t.Error("no order was handled by both instances")
	}
}

// waitForBoth waits until two instances have all partitions, and each of them some. A group is stable already when the first
// one has not given any away yet.
func (s *stage) waitForBoth() {
	s.t.Helper()
	const partitions = 2 * 6 // of the main topic and of the replays
	if _, err := s.broker.Cluster.WaitGroupInfo(s.broker.Context(), service, func(info *kfake.GroupInfo) bool {
		return info != nil && len(info.Members) == 2 && info.NumAssigned() == partitions &&
			info.Members[0].NumAssigned() > 0 && info.Members[1].NumAssigned() > 0
	}); err != nil {
		s.t.Fatal(err)
	}
}
