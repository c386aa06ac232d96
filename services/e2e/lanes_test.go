//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// receivedPartitions is the number of partitions of a received topic, and of the topic behind it.
const receivedPartitions = 6

// What a crash may cost a worker that has a slot, and how often it may try on a busy machine.
const (
	slotWithin = 5 * time.Second
	slotTries  = 10
)

// TestWorkersUnderWay holds what a crash of a worker and a blocked order cost the others, on a real Kafka.
func TestWorkersUnderWay(t *testing.T) {
	t.Parallel()
	s := startStack(t, startApache, "MAX_ATTEMPTS=100") // the blocked order must not be given up before the others are through
	warm := icbuIn(allPartitions(), "W", receivedPartitions)
	s.pushAll(warm)
	s.waitFinal(patience, warm)
	t.Run("one blocked key", func(t *testing.T) { oneBlockedKey(t, s.in(t)) })
	t.Run("kill -9 of a worker with a slot", func(t *testing.T) { killedWithSlot(t, s.in(t)) })
	s.noLetters()
	s.waitAccounted()
}

// partitionOf is where a key goes, in this topic and in those behind it.
func partitionOf(key string) int {
	return kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(key)}, receivedPartitions)
}

func allPartitions() []int { return []int{0, 1, 2, 3, 4, 5} }

// icbuIn makes n orders that fall into these partitions in turn.
func icbuIn(partitions []int, prefix string, n int) []pushed {
	orders := make([]pushed, 0, n)
	for i := 0; len(orders) < n; i++ {
		o := icbuOrder(fmt.Sprintf("P%s%06d", prefix, i), amount(len(orders)))
		if partitionOf(o.key) == partitions[len(orders)%len(partitions)] {
			orders = append(orders, o)
		}
	}
	return orders
}

// killedWithSlot: a worker that is killed and started again at once has its partitions back within seconds when it has a
// slot. Without one, Kafka first has to miss the dead member.
func killedWithSlot(t *testing.T, s *stack) {
	for _, worker := range []string{"validate", "okkisync", "persist"} {
		var took []time.Duration
		for try := range slotTries {
			if took = append(took, s.backAtWork(worker, fmt.Sprintf("S%.2s%d", worker, try))); took[try] < slotWithin {
				break
			}
		}
		t.Logf("%s with a slot: an order of every partition had arrived %v after the kill", worker, took)
		if best := slices.Min(took); best >= slotWithin {
			t.Errorf("%s with a slot: %s at best, want less than %s", worker, best, slotWithin)
		}
	}
	withSlot := s.backAtWork("okkisync", "T1")
	worker := s.services["okkisync"]
	if code := worker.stop(); code != 0 {
		t.Errorf("okkisync ended with status %d", code)
	}
	worker.env = slices.DeleteFunc(slices.Clone(worker.env), func(setting string) bool { return strings.HasPrefix(setting, "WORKER_SLOT=") })
	s.restart("okkisync")
	joined := icbuIn(allPartitions(), "J", receivedPartitions)
	s.pushAll(joined)
	s.waitFinal(patience, joined)
	without := s.backAtWork("okkisync", "T2")
	t.Logf("okkisync with a slot %s, without one %s after the kill: %.1f times as long", withSlot, without, without.Seconds()/withSlot.Seconds())
}

// backAtWork kills a worker while orders are under way, starts it again at once, pushes an order to each partition, and
// gives the time from the kill until all of these have arrived.
func (s *stack) backAtWork(worker, prefix string) time.Duration {
	s.t.Helper()
	underWay := icbuIn(allPartitions(), prefix+"A", 4*receivedPartitions)
	s.pushAll(underWay)
	probes := icbuIn(allPartitions(), prefix+"B", receivedPartitions)
	killed := time.Now()
	s.services[worker].kill()
	s.services[worker].start()
	s.pushAll(probes)
	s.waitFinal(patience, probes)
	took := time.Since(killed).Round(time.Millisecond)
	s.waitFinal(patience, underWay)
	var partitions int
	keys := make([]string, len(probes))
	for i, o := range probes {
		keys[i] = o.key
	}
	err := s.pool.QueryRow(s.t.Context(), `select count(distinct partition) from received where order_key = any($1)`, keys).Scan(&partitions)
	if err != nil || partitions != receivedPartitions {
		s.t.Fatalf("the orders were in %d partitions (%v), want all", partitions, err)
	}
	return took
}

// oneBlockedKey: while OKKI does not answer for one order, or fails for it, the orders behind it in its partition go on.
func oneBlockedKey(t *testing.T, s *stack) {
	const others = 100
	free := s.latencies(icbuIn([]int{0}, "F", others), nil)
	t.Logf("%d orders of one partition, none blocked: from push to OKKI p50 %s, p99 %s", others, free.p50, free.p99)
	for _, how := range []string{`"hang":true`, `"status":500`} {
		name, _, _ := strings.Cut(strings.Trim(how, `"`), `"`)
		blocked := icbuIn([]int{0}, "X"+strings.ToUpper(name[:1]), 1)[0]
		s.faults(fmt.Sprintf(`{"partner":"okki","order_no":%q,%s}`, blocked.number, how))
		calls := s.calls("okki")
		s.push(blocked)
		eventually(t, patience, "OKKI is called for the blocked order", func() error {
			if s.calls("okki") == calls {
				return fmt.Errorf("%d calls as before", calls)
			}
			return nil
		})
		behind := s.latencies(icbuIn([]int{0}, "B"+strings.ToUpper(name[:1]), others), &blocked)
		t.Logf("%d orders behind one with %s: p50 %s, p99 %s, %.1f times that without", others, how, behind.p50, behind.p99, behind.p99.Seconds()/free.p99.Seconds())
		// Half of them, since a busy machine may stand still for a moment, and that alone is the p99 of a hundred.
		if limit := 10*free.p50 + 2*time.Second; behind.p50 > limit {
			t.Errorf("behind one with %s: p50 %s, without it %s", how, behind.p50, free.p50)
		}
		s.faults("")
		s.waitFinal(patience, []pushed{blocked})
	}
}

type latency struct{ p50, p99 time.Duration }

// latencies pushes the orders one after the other and gives the times from the begin of a push until OKKI has the order.
// The blocked one must not have got there before all of them have.
func (s *stack) latencies(orders []pushed, blocked *pushed) latency {
	s.t.Helper()
	begun := map[string]time.Time{}
	for _, o := range orders {
		begun[o.number] = time.Now()
		s.push(o)
	}
	taken := map[string]time.Time{}
	eventually(s.t, patience, "all orders are at OKKI", func() error {
		var list struct {
			Calls []struct {
				OrderNo string    `json:"order_no"`
				At      time.Time `json:"at"`
			} `json:"calls"`
		}
		s.admin(http.MethodGet, "/_sandbox/calls?partner=okki", "", &list)
		for _, call := range list.Calls {
			if _, ours := begun[call.OrderNo]; ours && taken[call.OrderNo].IsZero() {
				taken[call.OrderNo] = call.At
			}
			if blocked != nil && call.OrderNo == blocked.number {
				s.t.Fatalf("%s is not blocked", blocked.number)
			}
		}
		if len(taken) < len(orders) {
			return fmt.Errorf("%d of %d are", len(taken), len(orders))
		}
		return nil
	})
	took := make([]time.Duration, 0, len(orders))
	for number, at := range taken {
		took = append(took, at.Sub(begun[number]))
	}
	slices.Sort(took)
	return latency{took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond)}
}
