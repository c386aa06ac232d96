//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	house "orderflow/pkg/event"
	"orderflow/pkg/order"
)

// TestCompleteHoursAreExported: what balance says of hours decides whether they are exported, in whatever order it says it. The
// records are received as ingest writes them, hours ago.
func TestCompleteHoursAreExported(t *testing.T) {
	t.Parallel()
	onEachBroker(t, completeHoursAreExported, "BALANCE_EVERY=1s", "BALANCE_GRACE=1s", "BALANCE_DEADLINE=1s", "MAX_ATTEMPTS=100")
}

func completeHoursAreExported(t *testing.T, s *stack) {
	stuck := icbuOrder("PEX9", "900.09")
	first := time.Now().UTC().Truncate(time.Hour).Add(-3 * time.Hour)
	second := first.Add(time.Hour)
	s.faults(`{"partner":"okki","order_no":"PEX9","status":500}`)
	s.services["balance"].stop() // it begins with the oldest hour that it finds, and knows none yet
	s.spoil(`delete from balance_hours`)
	s.receivedAt(first.Add(10*time.Minute), icbuOrder("PEX1", "100.01"), procurementOrder("OEX1", "200.02"), mallOrder("HQS0001", "EX1", "300.03"), icbuOrder("PEX2", "1.5"))
	s.receivedAt(first.Add(50*time.Minute), icbuOrder("PEX2", "2.5"))
	s.receivedAt(second.Add(5*time.Minute), stuck, procurementOrder("OEX2", "400.04"), mallOrder("HQS0001", "EX2", "500.05"))
	s.restart("balance")

	hours := func(n int) string { return first.Add(time.Duration(n) * time.Hour).Format("2006-01-02T15") }
	out := filepath.Join(t.TempDir(), "orders.parquet")
	export := func(from, to int) (string, error) {
		return s.tryOrderctl("", "orders", "export", "--from", hours(from), "--to", hours(to), "--out", out)
	}
	until := func(what string, from, to int, good func(said string, err error) bool) {
		t.Helper()
		eventually(t, patience, what, func() error {
			said, err := export(from, to)
			if !good(said, err) {
				return errors.New(fmt.Sprint(err, ": ", said))
			}
			return nil
		})
	}
	exported := func(said string, err error) bool { return err == nil }
	until("the first hour is complete", 0, 1, exported)
	s.sameSums("DuckDB", s.duckSums(out), map[string]decimal.Decimal{
		"icbu": decimal.RequireFromString("102.51"), "procurement": decimal.RequireFromString("200.02"), "mall": decimal.RequireFromString("300.03"),
	})
	refused := func(parts ...string) func(string, error) bool {
		return func(said string, err error) bool {
			for _, part := range append(parts, "1 hours are not complete", "next:", "orderctl balance tells what is open; --incomplete") {
				if !strings.Contains(said, part) {
					return false
				}
			}
			return err != nil
		}
	}
	secondHour := second.Format("icbu        2006-01-02T15:04Z  ")
	until("an order of the second hour is under way", 0, 2, refused(secondHour+"1 records still under way"))

	s.admin("DELETE", "/_sandbox/faults", "", nil)
	until("the second hour is complete after all", 0, 2, exported)
	s.sameSums("DuckDB", s.duckSums(out), map[string]decimal.Decimal{
		"icbu": decimal.RequireFromString("1002.6"), "procurement": decimal.RequireFromString("600.06"), "mall": decimal.RequireFromString("800.08"),
	})

	s.spoil(`create table spoilt as select * from received where order_key = $1`, stuck.key)
	s.spoil(`delete from received where order_key = $1`, stuck.key)
	until("a row is gone: the hour is taken back", 0, 2, refused(secondHour+"1 records do not balance"))
	if said, err := export(0, 1); err != nil {
		t.Errorf("the first hour is as it was: %v\n%s", err, said)
	}
	s.spoil(`insert into received select * from spoilt`)
	until("the row is back", 0, 2, exported)
}

func (s *stack) duckSums(file string) string {
	s.t.Helper()
	return s.python("import duckdb, sys\nfor row in duckdb.execute('select source, currency, sum(total) from read_parquet(?) group by all', [sys.argv[1]]).fetchall(): print(*row)", file)
}

// receivedAt writes orders to the received topics as ingest does, at a time that has passed.
func (s *stack) receivedAt(at time.Time, orders ...pushed) {
	s.t.Helper()
	client, err := bus.NewClient(bus.Settings{Brokers: []string{s.broker.addr}}, zap.NewNop(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	var topics []string
	for _, source := range order.Sources {
		topics = append(topics, house.Received(source))
	}
	own := "CreateTime" // the broker's clock has no past
	answers, err := kadm.NewClient(client).AlterTopicConfigs(s.t.Context(), []kadm.AlterConfig{{Name: "message.timestamp.type", Value: &own}}, topics...)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, answer := range answers {
		if answer.Err != nil {
			s.t.Fatal(answer.Err)
		}
	}
	for _, o := range orders {
		meta := house.Meta{OrderKey: order.Key(o.key), PushID: "push-" + o.number, Digest: order.Digest([]byte(o.body))}
		record := bus.ToRecord(house.New(house.Received(order.Source(o.source)), "ingest", meta, at, "application/json", []byte(o.body)))
		record.Timestamp = at
		if err := client.ProduceSync(s.t.Context(), record).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
	}
}
