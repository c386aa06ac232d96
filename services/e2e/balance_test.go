//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// balanceBody is what GET /api/balance answers.
type balanceBody struct {
	Items []struct {
		Source    string `json:"source"`
		Received  int64  `json:"received"`
		Published int64  `json:"published"`
		Delivered int64  `json:"delivered"`
		Persisted int64  `json:"persisted"`
		Parked    int64  `json:"parked"`
		Open      int64  `json:"open"`
		Lost      int64  `json:"lost"`
		Faults    int64  `json:"faults"`
		Balanced  bool   `json:"balanced"`
		Missing   []struct {
			OrderKey  string `json:"order_key"`
			Partition int32  `json:"partition"`
			Offset    int64  `json:"offset"`
			Fault     string `json:"fault"`
		} `json:"missing"`
	} `json:"items"`
}

// TestNothingGoesMissingUnseen runs the real services and takes single records from under them: each is found and named.
func TestNothingGoesMissingUnseen(t *testing.T) {
	t.Parallel()
	onEachBroker(t, nothingGoesMissingUnseen, "BALANCE_EVERY=1s")
}

func nothingGoesMissingUnseen(t *testing.T, s *stack) {
	orders := slices.Concat(icbuIn(allPartitions(), "B", 6), []pushed{mallOrder("HQS0001", "B500", "500.01"), mallOrder("HQS0001", "B501", "501.01")})
	s.pushAll(orders)
	s.waitFinal(patience, orders)
	s.balances("all is well", int64(len(orders)))

	mall := orders[len(orders)-1].key
	var partition int32
	var offset int64
	err := s.pool.QueryRow(t.Context(), `select partition, "offset" from received where order_key = $1`, mall).Scan(&partition, &offset)
	if err != nil {
		t.Fatal(err)
	}
	place := fmt.Sprintf("%d/%d", partition, offset)
	s.spoil(`create table spoilt as select * from received where order_key = $1`, mall)
	s.spoil(`delete from received where order_key = $1`, mall)
	s.names("a row was deleted", mall+" "+place+" no_row")
	s.spoil(`insert into received select * from spoilt`)
	s.balances("the row is back", int64(len(orders)))

	s.spoil(`update spoilt set revision = revision + 1`)
	s.spoil(`insert into received select * from spoilt`)
	s.names("a row was written twice", mall+" "+place+" two_rows")
	if out, err := s.orderctlBalance(); err == nil || !strings.Contains(out, "DOES NOT BALANCE") || !strings.Contains(out, mall) {
		t.Errorf("orderctl balance: %v\n%s", err, out)
	}
	s.spoil(`delete from received r using spoilt where r.order_key = spoilt.order_key and r.revision = spoilt.revision`)
	s.balances("the second row is gone", int64(len(orders)))

	s.spoil(`create table spoilt_order as select * from orders where order_key = $1`, mall)
	s.spoil(`update orders set total = total + 1 where order_key = $1`, mall)
	s.names("an amount was changed", mall+" "+place+" amounts_differ")
	s.spoil(`delete from orders where order_key = $1`, mall)
	s.names("an order was deleted", mall+" "+place+" no_order")
	s.restore(mall)
	s.balances("the order is made again", int64(len(orders)))
	before := s.rowText(`select revision || state || total || currency || delivered_revision || numbers::text from spoilt_order`)
	if after := s.rowText(`select revision || state || total || currency || delivered_revision || numbers::text from orders where order_key = $1`, mall); after != before {
		t.Errorf("made again as %s, it was %s", after, before)
	}

	// A persist that passes over one received record: its offset is committed, and nothing is stored.
	mutant := filepath.Join(t.TempDir(), "persist")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "mutant_persist_skip", "-o", mutant, "./services/persist")
	build.Dir = root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the mutant: %v\n%s", err, out)
	}
	s.services["persist"].stop()
	s.services["persist"].args[0] = mutant
	s.restart("persist")
	lost, kept := icbuOrder("PBLOST1", amount(1)), icbuOrder("PBKEPT1", amount(2))
	s.pushAll([]pushed{lost})
	s.pushAll([]pushed{kept})
	eventually(t, patience, "the record behind it is stored", func() error {
		var state string
		return s.pool.QueryRow(t.Context(), `select state from orders where order_key = $1 and state = 'delivered' and total is not null`, kept.key).Scan(&state)
	})
	s.names("persist passed over a record", lost.key+" ")
	if out, err := s.orderctlBalance(); err == nil || !strings.Contains(out, lost.key) {
		t.Errorf("orderctl balance: %v\n%s", err, out)
	}
	s.restore(lost.key)
	s.balances("what persist passed over is made again", int64(len(orders)+2))
}

// restore makes an order again from Kafka, as an SRE does.
func (s *stack) restore(key string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(bin, "orderctl"), "balance", "restore", key, "--by", "vera", "--reason", "a test")
	cmd.Env = append(slices.Clone(s.env), "HOME="+os.Getenv("HOME"))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("orderctl balance restore: %v\n%s", err, out)
	}
}

func (s *stack) rowText(sql string, args ...any) (text string) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), sql, args...).Scan(&text); err != nil {
		s.t.Fatal(err)
	}
	return text
}

// orderctlBalance asks for the last hours: without dates it would be today, which may have begun since the pushes.
func (s *stack) orderctlBalance() (string, error) {
	return s.tryOrderctl("vera", "balance", "--from", time.Now().Add(-2*time.Hour).Format(time.RFC3339))
}

// spoil changes what only persist may change.
func (s *stack) spoil(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.pool.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

// balances waits until all hours together account for so many records.
func (s *stack) balances(what string, received int64) {
	s.t.Helper()
	eventually(s.t, patience, "it balances: "+what, func() error {
		body, err := s.balance()
		if err != nil {
			return err
		}
		var sum, published, ended int64
		for _, h := range body.Items {
			sum, published, ended = sum+h.Received, published+h.Published, ended+h.Delivered+h.Persisted+h.Parked
			if !h.Balanced || h.Open > 0 || len(h.Missing) > 0 {
				return fmt.Errorf("%+v", h)
			}
		}
		if sum != received || published != received || ended != received {
			return fmt.Errorf("%d received, %d published, %d ended", sum, published, ended)
		}
		return nil
	})
}

// names waits until exactly one record is at fault, and it is this one.
func (s *stack) names(what, prefix string) {
	s.t.Helper()
	began := time.Now()
	eventually(s.t, patience, "it is named: "+what, func() error {
		body, err := s.balance()
		if err != nil {
			return err
		}
		var named []string
		for _, h := range body.Items {
			for _, m := range h.Missing {
				named = append(named, fmt.Sprintf("%s %d/%d %s", m.OrderKey, m.Partition, m.Offset, m.Fault))
			}
			if h.Balanced != (len(h.Missing) == 0) || h.Balanced != (h.Faults == 0) {
				return fmt.Errorf("%+v", h)
			}
		}
		if len(named) == 0 || slices.ContainsFunc(named, func(n string) bool { return !strings.HasPrefix(n, prefix) }) {
			return fmt.Errorf("named %q, wanted %s", named, prefix)
		}
		return nil
	})
	s.t.Logf("%s: named after %s", what, time.Since(began).Round(100*time.Millisecond))
}

func (s *stack) balance() (body balanceBody, err error) {
	status, err := s.consoleAsk("vera", http.MethodGet, "/api/balance", "", &body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("HTTP %d", status)
	}
	return body, err
}
