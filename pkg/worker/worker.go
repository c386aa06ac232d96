package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/event"
)

// Worker is the loop with lanes: records of one order key strictly in order, different keys beside each other.
type Worker struct {
	Service  string       // group id, and name in dead letters and metrics
	Topics   []string     // main topics; the service's replay topic is consumed beside them
	Handle   BatchHandler // up to MaxBatch messages, never two of one order key
	GroupBy  func(event.Message) string
	MaxBatch int           // messages of one call; 0 means 1
	Linger   time.Duration // wait for a batch to fill
	InFlight int           // calls at once; 0: as many as Settings.Lanes order keys need
	Timeout  time.Duration // of one call; 0 means 30 s
	Settings Settings
	Bus      bus.Settings
	Process  *boot.Process

	options []kgo.Opt // of tests: another network
}

// Each makes a batch handler of a handler of single messages. With MaxBatch 1 a batch is one message; a larger batch is
// handled one after the other.
func Each(h Handler) BatchHandler {
	return func(ctx context.Context, in []event.Message) []Result {
		results := make([]Result, len(in))
		for i := range in {
			results[i] = h(ctx, in[i])
		}
		return results
	}
}

// Figures of a worker.
const (
	defaultTimeout = 30 * time.Second

	stopGrace    = 5 * time.Second // calls under way may finish after a stop, and before partitions are given away
	cancelGrace  = 500 * time.Millisecond
	farewell     = time.Second // for the last commit, and again for leaving the group
	hangGrace    = 5 * time.Second
	maxHung      = 10 // handlers that never came back before the process should be replaced
	commitPause  = 100 * time.Millisecond
	commitBudget = 10 * time.Second

	// A member whose join was answered into the void is fenced by its own next join. So one fence may be an accident; two
	// within this time are another process that comes back as we do.
	fenceWindow = time.Minute

	sessionTimeout   = 6 * time.Second // the least that a broker allows by default
	heartbeat        = time.Second
	rebalanceTimeout = 15 * time.Second

	pollRecords     = 1000
	fetchBytes      = 8 << 20
	fetchPartition  = 1 << 20
	fetchWait       = 500 * time.Millisecond // a new or resumed partition waits for the fetch under way to end
	readyLanes      = 1000                   // lanes waiting for their turn before reading stops, at least
	bufferBytes     = 192 << 20              // unfinished records of all partitions
	conditionGroup  = "consumer group"
	conditionConfig = "configuration"
)

// ErrSlotTaken says that another process runs with the same WORKER_SLOT.
var ErrSlotTaken = errors.New("WORKER_SLOT is in use by another worker of this service")

// errNotJoined is the group's condition until partitions are assigned for the first time.
var errNotJoined = errors.New("not a member yet")

// Run consumes until ctx ends; then it returns nil, with calls under way finished or given up after a grace period and
// everything finished committed. An error means that this process cannot go on and should be started anew: a message that
// Kafka refused, a slot that is taken, handlers that hang. Nothing is committed past what is not done.
func (w *Worker) Run(ctx context.Context) error {
	var slot slotGuard
	for {
		err := w.join(ctx)
		if err == nil || !slot.forgives(err, time.Now()) {
			return err
		}
		w.Process.Log.Warn(joinsAgain, zap.Error(err))
		select {
		case <-time.After(2 * heartbeat):
		case <-ctx.Done():
			return nil
		}
	}
}

// slotGuard tells an accident from a second process with the same slot: the other one comes back, too.
type slotGuard struct{ fenced time.Time }

const joinsAgain = "fenced by another member of this slot, joining once more"

func (g *slotGuard) forgives(err error, now time.Time) bool {
	if !errors.Is(err, ErrSlotTaken) {
		return false
	}
	again := now.Sub(g.fenced) < fenceWindow
	g.fenced = now
	return !again
}

// join is a run as one member of the group.
func (w *Worker) join(ctx context.Context) error {
	run := w.withDefaults()
	l := newLoop(&run)
	run.Process.Health.Set(conditionGroup, errNotJoined)
	options := append(groupOptions(run.Service, run.Settings, append(run.Topics, event.Replay(run.Service))),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // what was polled is in the lanes before a partition can be taken away
		kgo.KeepControlRecords(),   // so that commits reach the end of a topic written in transactions
		kgo.OnPartitionsAssigned(l.onAssigned),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { l.onRevoked(parts) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { l.onLost(parts) }),
	)
	client, err := bus.NewClient(run.Bus, run.Process.Log, run.Process.Metrics, append(options, run.options...)...)
	if err != nil {
		return err
	}
	l.client = client
	return l.run(ctx)
}

func (w *Worker) withDefaults() Worker {
	run := *w
	run.Settings = run.Settings.withDefaults()
	run.MaxBatch = max(run.MaxBatch, 1)
	if run.InFlight <= 0 {
		run.InFlight = (run.Settings.Lanes + run.MaxBatch - 1) / run.MaxBatch
	}
	if run.Timeout <= 0 {
		run.Timeout = defaultTimeout
	}
	run.Topics = append([]string(nil), run.Topics...)
	return run
}

// limits of what the lanes may hold.
func (w *Worker) limits() limits {
	poll := min(pollRecords, max(1, w.Settings.LaneGap/2))
	ready := max(readyLanes, 2*w.InFlight*w.MaxBatch)
	return limits{ready: ready, gap: w.Settings.LaneGap, poll: poll, records: 4 * ready, bytes: bufferBytes}
}

// groupOptions are the options of a consumer of both loops.
func groupOptions(service string, s Settings, topics []string) []kgo.Opt {
	options := []kgo.Opt{
		kgo.ClientID(service),
		kgo.ConsumerGroup(service),
		kgo.ConsumeTopics(topics...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxPartitionBytes(fetchPartition),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(heartbeat),
		kgo.RebalanceTimeout(rebalanceTimeout),
	}
	if s.Slot != "" {
		options = append(options, kgo.InstanceID(service+"-"+s.Slot))
	}
	return options
}

// fatalFetch gives the error that ends a run, or nil when the client goes on by itself.
func fatalFetch(err error, slot string) error {
	if errors.Is(err, kerr.FencedInstanceID) {
		return fmt.Errorf("%w (slot %q): %w", ErrSlotTaken, slot, err)
	}
	if _, lost := errors.AsType[*kgo.ErrDataLoss](err); lost {
		return nil
	}
	if _, session := errors.AsType[*kgo.ErrGroupSession](err); session && !errors.Is(err, kerr.GroupAuthorizationFailed) {
		return nil
	}
	if kgo.IsRetryableBrokerErr(err) || kerr.IsRetriable(err) {
		return nil
	}
	return fmt.Errorf("fetch: %w", err)
}
