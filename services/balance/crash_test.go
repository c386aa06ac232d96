package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/published"
	"orderflow/pkg/store"
)

// A process that dies after it planned a record, or after it sent it, leaves a record of the same number behind: readers take
// the greatest, and never see two that differ under one number.
func TestACrashChangesNoRevision(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(-time.Minute)
	h.run(whole, h.push(order.Mall, at, "1", "2")...)
	h.check()
	h.now = noon.Add(3 * time.Minute)
	fault := h.broker.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: event.Completeness, Err: kerr.PolicyViolation})
	if err := h.balance.check(t.Context()); err == nil {
		t.Fatal("the report was sent")
	}
	pending := h.hour(order.Mall, at)
	if pending.Revision != 0 || pending.Pending == nil {
		t.Fatalf("%+v", pending)
	}
	fault.Remove()

	// Meanwhile the figures change; what was planned stands all the same, and the change is the next record.
	h.run(whole, h.push(order.Mall, noon, "3")...)
	h.exec(`delete from received where "offset" = (select min("offset") from received where source = 'mall')`)
	h.now = h.now.Add(time.Minute)
	h.restart()
	h.check()
	planned := h.told(order.Mall, at)
	if len(planned) != 1 || planned[0].Revision != 1 || !planned[0].Complete || planned[0].SaidAt.After(noon.Add(3*time.Minute)) {
		t.Fatalf("told %+v", planned)
	}

	// Sent, and dead before that was noted.
	h.exec(`update balance_hours set pending = null where true`)
	c := completenessOf(pointer(h.hour(order.Mall, at)), h.now)
	if ok, err := h.balance.plan(t.Context(), &c); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := h.balance.send(t.Context(), pointer(h.hour(order.Mall, at)), &c); err != nil {
		t.Fatal(err)
	}
	h.exec(`update balance_hours set revision = 1, told = null, pending = convert_to($1, 'UTF8') where source = 'mall' and hour = $2`, jsonOf(t, c), hourOf(at))
	h.restart()
	h.check()
	h.check()
	told := h.told(order.Mall, at)
	if len(told) != 3 || told[1].Revision != 2 || told[2].Revision != 2 || string(told[1].digest()) != string(told[2].digest()) || told[2].Complete {
		t.Errorf("told %+v", told)
	}
}

// Whoever dies while reading orders.v1 goes on where PostgreSQL says, and counts every record once.
func TestAKilledReaderCountsOnce(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(10 * time.Minute)
	h.now = at
	h.run(whole, h.push(order.Mall, at, "1", "2", "3")...)
	if _, err := h.balance.reader.catchUp(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	h.run(whole, h.push(order.Mall, at, "4")...)
	h.restart()
	h.check()
	h.want(order.Mall, at, "open received 4 ended 4 open 0 missing 0 faults 0")

	// One that was frozen and does not know that another went on stores nothing.
	frozen := h.newReader()
	if err := frozen.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(frozen.close)
	h.run(whole, h.push(order.Mall, at, "5")...)
	h.check()
	if _, err := frozen.catchUp(t.Context(), noon); !errors.Is(err, store.ErrProgress) {
		t.Errorf("a frozen reader went on: %v", err)
	}
	if _, err := frozen.catchUp(t.Context(), noon); err != nil {
		t.Errorf("a frozen reader did not find its place again: %v", err)
	}
	h.check()
	h.want(order.Mall, at, "open received 5 ended 5 open 0 missing 0 faults 0")
}

// The registry away: nothing new of orders.v1 can be told, so nothing closes and nothing is called a fault; all else goes on.
func TestWithoutTheRegistryNothingIsBlamed(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(-time.Minute)
	h.run(whole, h.push(order.Mall, at, "1")...)
	h.now = noon.Add(3 * time.Minute)
	decode := h.balance.reader.decode
	h.balance.reader.decode = func(ctx context.Context, _ []byte) (r published.Record, err error) { return r, errors.New("away") }
	for range 2 {
		if err := h.balance.check(t.Context()); err == nil {
			t.Error("nobody is told that orders.v1 cannot be read")
		}
	}
	h.want(order.Mall, at, "frozen received 1 ended 1 open 0 missing 0 faults 0")
	if got := h.hour(order.Mall, at).Tally.Unsure; got != 1 {
		t.Errorf("%d unsure", got)
	}
	h.balance.reader.decode = decode
	h.check()
	h.want(order.Mall, at, "closed received 1 ended 1 open 0 missing 0 faults 0")
}

// The whole process beside another: one works, the other waits, ready, and goes on where the first one ended.
func TestOneProcessWorksAndTheNextGoesOn(t *testing.T) {
	h := openHouse(t)
	t.Setenv("SCHEMA_REGISTRY_URL", h.registryURL)
	t.Setenv("DATABASE_URL", h.url)
	t.Setenv("BALANCE_EVERY", "1s")
	ids, err := bus.Identities(t.Context(), h.broker.Client())
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]store.Topic{}
	for name, id := range ids {
		recorded[name] = store.Topic{ID: id, Generation: bus.Generation(name)}
	}
	if err := h.db.RecordTopics(t.Context(), recorded); err != nil {
		t.Fatal(err)
	}
	start := func() (p *boot.Process, stop func()) {
		p = &boot.Process{Name: service, Log: h.log, Health: boot.NewHealth(), Metrics: prometheus.NewRegistry()}
		var cfg settings
		if err := boot.Load(&cfg); err != nil {
			t.Fatal(err)
		}
		cfg.Bus = h.broker.Settings
		ctx, cancel := context.WithCancelCause(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, p, cfg) }()
		stopped := false
		stop = func() {
			if stopped {
				return
			}
			stopped = true
			cancel(boot.ErrStopped)
			if err := <-ended; !errors.Is(err, boot.ErrStopped) {
				t.Errorf("run: %v", err)
			}
		}
		t.Cleanup(stop)
		return p, stop
	}
	active := func(p *boot.Process) float64 { return value(t, p.Metrics, "orderflow_balance_active") }
	first, stopFirst := start()
	eventually(t, "the first one works", func() bool { return active(first) == 1 && len(first.Health.Ready()) == 0 })
	second, _ := start()
	eventually(t, "the second one is ready", func() bool { return len(second.Health.Ready()) == 0 })
	now := time.Now()
	h.run(whole, h.push(order.Mall, now, "1", "2")...)
	eventually(t, "two are received", func() bool { return h.received(order.Mall) == 2 })
	if active(second) != 0 {
		t.Error("both work")
	}
	stopFirst()
	h.run(whole, h.push(order.Mall, now, "3")...)
	eventually(t, "the second one goes on", func() bool { return active(second) == 1 && h.received(order.Mall) == 3 })
	h.named()
	if got := value(t, second.Metrics, "orderflow_balance_unbalanced_hours"); got != 0 {
		t.Errorf("%v hours do not balance", got)
	}
}

func (h *house) received(source order.Source) int64 {
	hours, err := h.db.BalanceHours(h.Context(), source, time.Now().Add(-2*time.Hour))
	if err != nil {
		h.Fatal(err)
	}
	var sum int64
	for _, hour := range hours {
		sum += hour.Tally.Published
	}
	return sum
}

// value adds up a metric; one that is not there yet is 0.
func value(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(bustest.Patience)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", bustest.Patience, what)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func pointer[T any](v T) *T { return &v }

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
