package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/event"
)

// Transform makes a message's outputs, without effects of its own. A *PermanentError or a panic makes a dead letter; any
// other error says that the world is not ready: the batch is given back and read again.
type Transform func(in event.Message) (out []event.Message, err error)

// Transactions is the loop with a Kafka transaction per batch: outputs, dead letters and offsets become visible together,
// once, or not at all.
type Transactions struct {
	Service   string   // group id, transactional id, and name in dead letters and metrics
	Topics    []string // main topics; the service's replay topic is consumed beside them
	Transform Transform
	Stamp     func(event.Message) event.Message // applied to records of main topics before Transform; nil: none
	Settings  Settings
	Bus       bus.Settings
	Process   *boot.Process

	options []kgo.Opt // of tests: another network
}

// Figures of the transactions.
const (
	transactionTimeout = 10 * time.Second // the broker ends a transaction whose worker died
	transactionRecords = 1000
	endBudget          = 30 * time.Second
)

// Run consumes until ctx ends; then it returns nil. It builds its session anew when Kafka no longer accepts it (fenced, an
// unknown outcome); an error means that this process cannot go on, see Worker.Run.
func (t *Transactions) Run(ctx context.Context) error {
	run := transactions{Transactions: t, log: t.Process.Log, metrics: newMetrics(t.Process.Metrics, t.Service)}
	run.guard, run.held, run.passages = newGuard(t.Settings.withDefaults()), map[string]*heldTopics{}, map[passage]int64{}
	run.id = t.Service + "-" + t.Settings.Slot
	if t.Settings.Slot == "" {
		run.id = t.Service + "-" + rand.Text()
	}
	t.Process.Health.Set(conditionGroup, errNotJoined)
	defer run.end()
	var slot slotGuard
	for {
		err := run.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if fatal, ok := errors.AsType[*fatalError](err); ok && slot.forgives(fatal.err, time.Now()) {
			run.log.Warn(joinsAgain, zap.Error(err))
			run.pause(ctx)
			continue
		} else if ok {
			return fatal.err
		}
		run.log.Warn("transactional session ended, building a new one", zap.Error(err))
		run.pause(ctx)
	}
}

// end leaves no condition behind that nobody would clear.
func (t *transactions) end() {
	t.Process.Health.Set(conditionGroup, errNotJoined)
	for source := range t.held {
		hideHold(t.Process, t.metrics, source)
	}
}

// transactions is one run of Transactions.
type transactions struct {
	*Transactions
	log      *zap.Logger
	metrics  *metrics
	id       string // transactional id
	failures int    // in a row, for the backoff

	guard    guard // of committed batches
	held     map[string]*heldTopics
	passages map[passage]int64 // last offset that a hold let pass
}

// fatalError is one that no new session mends.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }

// pause waits before another try, longer after every failure in a row.
func (t *transactions) pause(ctx context.Context) {
	wait := time.NewTimer(jitter(min(backoffBase<<min(t.failures, 20), backoffCap)))
	defer wait.Stop()
	t.failures++
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// session works with one transactional session until it fails or ctx ends.
func (t *transactions) session(ctx context.Context) error {
	options, err := bus.Options(t.Bus, t.log, t.Process.Metrics)
	if err != nil {
		return &fatalError{err}
	}
	options = append(options, groupOptions(t.Service, t.Settings, append([]string{event.Replay(t.Service)}, t.Topics...))...)
	options = append(options,
		kgo.TransactionalID(t.id),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { t.Process.Health.Set(conditionGroup, nil) }),
	)
	session, err := kgo.NewGroupTransactSession(append(options, t.options...)...)
	if err != nil {
		return &fatalError{fmt.Errorf("make transactional session: %w", err)}
	}
	defer leaveSession(session)
	t.fetchUnheld(session.Client())
	// Asking for the producer id ends what a dead predecessor with this slot left open; until then nobody reads past it.
	if _, _, err := session.Client().ProducerID(ctx); err != nil {
		return fmt.Errorf("get producer id: %w", err)
	}
	for ctx.Err() == nil {
		err := t.batch(ctx, session)
		if err != nil && t.slotTaken(ctx, session, err) {
			return &fatalError{fmt.Errorf("%w (slot %q): %w", ErrSlotTaken, t.Settings.Slot, err)}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leaveSession leaves the group without waiting long for a Kafka that is away.
func leaveSession(session *kgo.GroupTransactSession) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = session.Client().LeaveGroupContext(ctx)
	session.Close()
}

// batch reads, transforms and writes one batch in one transaction. An error means that the session is of no more use.
func (t *transactions) batch(ctx context.Context, session *kgo.GroupTransactSession) error {
	fetches := t.poll(ctx, session)
	if err := t.fetchErrors(ctx, fetches); err != nil {
		return err
	}
	if fetches.NumRecords() == 0 {
		return nil
	}
	began := time.Now()
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	// A stop does not cut a transaction short: it is nearly done, and its outcome would be unknown.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endBudget)
	defer cancel()
	results, err := t.transformAll(fetches)
	if err != nil {
		t.log.Warn("batch given back", zap.Int("records", fetches.NumRecords()), zap.Error(err))
		if _, err := session.End(end, kgo.TryAbort); err != nil {
			return fmt.Errorf("abort transaction: %w", err)
		}
		t.pause(ctx)
		return nil
	}
	after, stopped := t.weigh(session.Client(), results, began)
	if len(stopped) > 0 {
		return t.giveBack(end, session, results, after, stopped)
	}
	if err := write(end, session, results); err != nil {
		_, aborted := session.End(end, kgo.TryAbort)
		return errors.Join(fmt.Errorf("write in transaction: %w", err), aborted)
	}
	committed, err := session.End(end, kgo.TryCommit)
	if err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	if !committed {
		t.log.Info("transaction aborted by a rebalance, its records are read again", zap.Int("records", fetches.NumRecords()))
		return nil
	}
	t.failures = 0
	t.guard = after
	t.metrics.attempt.Observe(time.Since(began).Seconds())
	t.count(results)
	return nil
}

// fetchErrors logs what went wrong while reading and gives what ends the run.
func (t *transactions) fetchErrors(ctx context.Context, fetches kgo.Fetches) error {
	var fatal error
	fetches.EachError(func(topic string, partition int32, err error) {
		if ctx.Err() != nil || topic == "" && errors.Is(err, context.DeadlineExceeded) {
			return // a stop, or the poll ended for the next round of a held source
		}
		t.log.Warn("fetch failed", zap.String("topic", topic), zap.Int32("partition", partition), zap.Error(err))
		if err := fatalFetch(err, t.Settings.Slot); err != nil {
			fatal = &fatalError{err}
		}
	})
	return fatal
}

// write produces outputs and letters and returns when Kafka has all of them, or why it has not.
func write(ctx context.Context, session *kgo.GroupTransactSession, results []transformed) error {
	var failed atomic.Pointer[error]
	for _, result := range results {
		for _, m := range result.out {
			session.Produce(ctx, bus.ToRecord(m), func(r *kgo.Record, err error) {
				if err != nil {
					err = fmt.Errorf("produce to %s: %w", r.Topic, err)
					failed.CompareAndSwap(nil, &err)
				}
			})
		}
	}
	if err := session.Client().Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// slotTaken tells whether a session was fenced because another process took the slot. The producer learns that it is
// fenced, which may have other reasons, before the group member does: one heartbeat later it is certain. Without this,
// two processes with one slot would fence each other for ever.
func (t *transactions) slotTaken(ctx context.Context, session *kgo.GroupTransactSession, err error) bool {
	fenced := errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
	if t.Settings.Slot == "" || !fenced {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*heartbeat)
	defer cancel()
	for ctx.Err() == nil {
		for _, failed := range session.PollRecords(ctx, transactionRecords).Errors() {
			if errors.Is(failed.Err, kerr.FencedInstanceID) {
				return true
			}
		}
	}
	return false
}
