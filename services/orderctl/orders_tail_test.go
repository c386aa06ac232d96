package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"orderflow/pkg/bustest"
	"orderflow/pkg/order"
	"orderflow/pkg/published"
)

// screen is an output that a test can wait on.
type screen struct {
	mu     sync.Mutex
	text   bytes.Buffer
	change chan struct{}
}

func newScreen() *screen { return &screen{change: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.change <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *screen) wait(t *testing.T, wanted string) {
	t.Helper()
	s.waitFor(t, strconv.Quote(wanted), func(text string) bool { return strings.Contains(text, wanted) })
}

func (s *screen) waitFor(t *testing.T, what string, there func(text string) bool) {
	t.Helper()
	for deadline := time.After(bustest.Patience); !there(s.String()); {
		select {
		case <-s.change:
		case <-deadline:
			t.Fatalf("%s does not come:\n%s", what, s)
		}
	}
}

// startTail runs orders tail until the function that it gives is called, which is Ctrl-C, and wants it to end well.
func startTail(t *testing.T, args ...string) (out, told *screen, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out, told = newScreen(), newScreen()
	cmd := root()
	cmd.SetArgs(append([]string{"orders", "tail"}, args...))
	cmd.SetOut(out)
	cmd.SetErr(told)
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	return out, told, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
	}
}

func TestTailShowsWhatIsCommittedUntilItIsStopped(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	w.publish(kgo.TryCommit, sale(1, noon, "1.5"), sale(2, noon, "450.0001"))
	w.publish(kgo.TryAbort, sale(3, noon, "3"))
	hostile := sale(4, noon, "-4")
	hostile.OrderKey = order.Key("mall:HQS0004:" + strings.Repeat("9", 60))
	hostile.Shop, hostile.Status = "杭州\x1b[2J店", strings.Repeat("long", 9)
	w.publish(kgo.TryCommit, hostile)

	out, _, stop := startTail(t, "--since", "1h")
	for _, total := range []string{"1.50 CNY", "450.0001 CNY", "-4.00 CNY"} { // in whatever order their partitions come
		out.wait(t, total)
	}
	later := sale(5, noon, "5")
	w.publish(kgo.TryCommit, later)
	out.wait(t, "5.00 CNY")
	stop()
	contains(t, out.String(), "RECEIVED ", "mall:HQS0001:R0000001 ", "1.50 CNY", "450.0001 CNY", "杭州?[2J店        taobao      longlonglon…  2      -4.00 CNY", strings.Repeat("9", 60)+"  ")
	if strings.Contains(out.String(), "R0000003") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("an aborted record or a command to the terminal is shown:\n%s", out)
	}

	out, _, stop = startTail(t, "--since", "1h", "--source", "mall", "--shop", "HQS0002", "--format", "json")
	out.wait(t, "}\n")
	stop()
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, `{"order_key":"mall:HQS0002:R0000002","source":"mall","revision":281474976710658,"event_id":"mall:HQS0002:R0000002@281474976710658","kind":"sale",`) ||
		!strings.Contains(got, `"original_order_no":null,`) || !strings.Contains(got, `"total":"450.0001",`) || !strings.Contains(got, `"unit_price":"52.0001"`) || !strings.Contains(got, `"received_at":"2026-01-02T12:00:00.000000Z"`) {
		t.Errorf("as json:\n%s", got)
	}
}

func TestTailFromNowOn(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	w.publish(kgo.TryCommit, sale(1, noon, "1.5"))
	out, told, stop := startTail(t, "--format", "csv")
	told.wait(t, "from now on (--since 1h shows the last hour too); Ctrl-C ends")
	for number := 2; !strings.Contains(out.String(), "order_key,source"); number++ { // it says so before it reads
		w.publish(kgo.TryCommit, sale(number, noon, "2"))
	}
	stop()
	if strings.Contains(out.String(), "R0000001") {
		t.Errorf("an older order is shown:\n%s", out)
	}
}

// A record that nobody can read is told with its place, and the rest comes.
func TestTailPassesWhatIsUnreadable(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	w.broker.Produce(bad("mall:HQS0001:R0000001"))
	w.publish(kgo.TryCommit, sale(1, noon, "1.5"))
	out, told, stop := startTail(t, "--since", "1h")
	out.wait(t, "1.50 CNY")
	told.wait(t, "header order-key: missing")
	foreign := 1 + w.forge()
	told.waitFor(t, "all that is foreign", func(text string) bool { return strings.Count(text, "not shown: ") == foreign }) // in whatever order partitions come
	last := sale(2, noon, "2.5")
	w.publish(kgo.TryCommit, last)
	out.wait(t, "2.50 CNY")
	stop()
	contains(t, told.String(), "not shown: "+published.Topic+"/", "no Confluent header", "14 records are not what their topic promises", "tell an SRE the places")
	if strings.Contains(out.String(), "666") {
		t.Errorf("a forged record is shown:\n%s", out)
	}
	if strings.Contains(told.String(), "not-avro") || strings.Contains(told.String(), "secret") {
		t.Errorf("the record is quoted: %s", told)
	}
}

func TestTailRefusesWhatItDoesNotKnow(t *testing.T) {
	settings(t, map[string]string{"KAFKA_BROKERS": "127.0.0.1:1"})
	t.Setenv("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
	for want, args := range map[string][]string{
		"--source: not one of": {"--source", "shop"},
		"--format: not one of": {"--format", "xml"},
		"--since: neither":     {"--since", "yesterday"},
	} {
		if _, err := orderctl(t, append([]string{"orders", "tail"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
	t.Setenv("SCHEMA_REGISTRY_URL", "")
	if _, err := orderctl(t, "orders", "tail"); err == nil || !strings.Contains(err.Error(), "SCHEMA_REGISTRY_URL: required") {
		t.Errorf("without a registry: %v", err)
	}
}

// Whatever stands in an order: the csv reads back, and no cell of text is a formula.
func TestNoCellIsAFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := sale(1, noon, rapid.SampledFrom([]string{"-1", "1.00000001", "450"}).Draw(t, "total"))
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ =+@\t\r\n＝－-]{1,3}cmd\|' /C calc'!A0`))
		r.OrderNo, r.Shop, r.Status, r.City, r.Warnings = text.Draw(t, "number"), text.Draw(t, "shop"), text.Draw(t, "status"), text.Draw(t, "city"), []string{text.Draw(t, "warning")}
		var out bytes.Buffer
		if err := csvPrinter(&out)(&r); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[0]) != len(rows[1]) {
			t.Fatalf("%d rows: %v", len(rows), err)
		}
		for i, cell := range rows[1] {
			numeric := strings.Contains(" total paid discount list_price revision line_count ", " "+rows[0][i]+" ")
			if begin := strings.TrimSpace(cell); !numeric && begin != "" && strings.ContainsAny(string([]rune(begin)[0]), "=+-@＝＋－＠") {
				t.Fatalf("%s is %q", rows[0][i], cell)
			}
		}
	})
}
