//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
)

// event is one record of orders.v1 as a reader got it.
type event struct {
	key, revision, headers string
	value                  []byte
}

// Validate is killed again and again in the middle of its batches: whoever reads orders.v1 with read_committed, the house's
// client or librdkafka's, gets each accepted push once, and sums to the last digit what PostgreSQL does.
func TestPublishedOnce(t *testing.T) {
	onEachBroker(t, func(t *testing.T, s *stack) {
		orders := mixed("O", 1500)
		wait := s.startPushing(orders)
		for kill := range 6 {
			eventually(t, patience, "validate has published more", func() error {
				var records int64
				for _, end := range s.broker.ends(t, published.Topic) {
					records += end
				}
				if least := int64(200 * kill); records < least {
					return fmt.Errorf("%d records and markers of %d", records, least)
				}
				return nil
			})
			s.services["validate"].kill()
			s.restart("validate")
		}
		wait()
		changed := make([]pushed, 0, 100)
		for i := range 100 {
			changed = append(changed, icbuOrder(fmt.Sprintf("PO%05d", 10*i), fmt.Sprintf("%d.07", 5000+i)))
		}
		s.push(changed...)
		s.waitAccounted()
		s.noLetters()

		want := s.revisions()
		sent, again := len(orders)+len(changed), int(s.again.Load())
		if len(want) < sent || len(want) > sent+again {
			t.Fatalf("%d accepted pushes, %d were sent, and %d once more on request", len(want), sent, again)
		}
		sums := s.sums()
		dirty := s.readOrders(kgo.ReadUncommitted())
		for name, read := range map[string][]event{"franz-go": s.readOrders(kgo.ReadCommitted()), "kcat": s.readWithKcat()} {
			t.Logf("%s: %d records, of which an uncommitted reader sees %d", name, len(read), len(dirty))
			s.eachOnce(name, read, want)
			s.nobodyNamed(name, read)
			if got := s.sumsOf(read); !maps.EqualFunc(got, sums, decimal.Decimal.Equal) {
				t.Errorf("%s sums %v, PostgreSQL %v", name, got, sums)
			}
		}
		foreign := s.writeForeign()
		s.analystsAgree(sums, foreign)
	})
}

// writeForeign puts into orders.v1 what anybody may, and gives how many of it a reader of committed records meets: bytes of no
// format, of no schema and of another one, nothing, and the true record of an order under another's key.
func (s *stack) writeForeign() int {
	s.t.Helper()
	client, err := bus.NewClient(bus.Settings{Brokers: []string{s.broker.addr}}, zap.NewNop(), nil, kgo.TransactionalID("somebody-else"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	true1 := s.readOrders(kgo.ReadCommitted())[0].value
	other := append([]byte{0, 0, 0, 0, 99}, true1[5:]...)
	values := [][]byte{[]byte("garbage"), other, nil, true1[:len(true1)-1], true1}
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := client.BeginTransaction(); err != nil {
			s.t.Fatal(err)
		}
		for _, value := range values {
			record := &kgo.Record{Topic: published.Topic, Key: []byte("mall:HQS0001:FOREIGN"), Value: value}
			if err := client.ProduceSync(s.t.Context(), record).FirstErr(); err != nil {
				s.t.Fatal(err)
			}
		}
		if err := client.EndTransaction(s.t.Context(), end); err != nil {
			s.t.Fatal(err)
		}
	}
	return len(values)
}

// eachOnce holds what was read against the revisions that there must be.
func (s *stack) eachOnce(name string, read []event, want map[string]bool) {
	s.t.Helper()
	seen := map[string]int{}
	for _, e := range read {
		seen[e.key+" "+e.revision]++
	}
	for revision, times := range seen {
		if times != 1 || !want[revision] {
			s.t.Errorf("%s reads %s %d times, accepted: %v", name, revision, times, want[revision])
		}
	}
	for revision := range want {
		if seen[revision] == 0 {
			s.t.Errorf("%s does not find %s", name, revision)
		}
	}
}

// nobodyNamed holds law 5 against what was read.
func (s *stack) nobodyNamed(name string, read []event) {
	s.t.Helper()
	for _, e := range read {
		for _, text := range personal {
			if strings.Contains(e.headers, text) || bytes.Contains(e.value, []byte(text)) {
				s.t.Fatalf("%s reads %q in %s", name, text, e.key)
			}
		}
	}
}

// revisions are those of all received records, by PostgreSQL: order key and revision.
func (s *stack) revisions() map[string]bool {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), `select order_key || ' ' || ((1::bigint << 48) + "offset") from received`)
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	revisions := map[string]bool{}
	for _, r := range all {
		revisions[r] = true
	}
	return revisions
}

// sums are the totals by source, by PostgreSQL.
func (s *stack) sums() map[string]decimal.Decimal {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), `select source, sum(total)::text from orders group by source`)
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string]decimal.Decimal{}
	var source, sum string
	if _, err := pgx.ForEachRow(rows, []any{&source, &sum}, func() (err error) {
		all[source], err = decimal.NewFromString(sum)
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// sumsOf adds up the greatest revision of each order, as analysts are told to.
func (s *stack) sumsOf(read []event) map[string]decimal.Decimal {
	s.t.Helper()
	client, err := registry.New(registry.Settings{URL: s.registry})
	if err != nil {
		s.t.Fatal(err)
	}
	decoder, newest := published.NewDecoder(client), map[string]published.Record{}
	for _, e := range read {
		r, err := decoder.Decode(s.t.Context(), e.value)
		if err != nil || string(r.OrderKey) != e.key || strconv.FormatInt(int64(r.Revision), 10) != e.revision {
			s.t.Fatalf("%s at %s is %s at %d, %v", e.key, e.revision, r.OrderKey, r.Revision, err)
		}
		if known, ok := newest[e.key]; !ok || known.Revision < r.Revision {
			newest[e.key] = r
		}
	}
	sums := map[string]decimal.Decimal{}
	for _, r := range newest {
		sums[string(r.Source)] = sums[string(r.Source)].Add(r.Total.Decimal)
	}
	return sums
}

// readOrders reads all of orders.v1 with the house's client.
func (s *stack) readOrders(isolation kgo.IsolationLevel) []event {
	s.t.Helper()
	client, err := bus.NewClient(bus.Settings{Brokers: []string{s.broker.addr}}, zap.NewNop(), nil,
		kgo.ConsumeTopics(published.Topic), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords())
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, published.Topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		s.t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			left[end.Partition] = end.Offset
		}
	})
	var all []event
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("still reading %s, open are %v", published.Topic, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				m := bus.FromRecord(r)
				all = append(all, event{m.Key, m.Header("order-revision"), fmt.Sprintf("%s", m.Headers), m.Value})
			}
			if end, open := left[r.Partition]; open && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
	return all
}

// readWithKcat reads all of orders.v1 with librdkafka, which shares no code with us.
func (s *stack) readWithKcat() []event {
	s.t.Helper()
	if _, err := exec.LookPath("kcat"); err != nil {
		s.t.Fatalf("%v: deploy/setup.sh all installs it", err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kcat", "-b", s.broker.addr, "-C", "-t", published.Topic, "-o", "beginning", "-e", "-q",
		"-X", "isolation.level=read_committed", "-f", `%k\t%h\t%S\n%s\n`)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("kcat: %v\n%s", err, problems.String())
	}
	var all []event
	for reader := bufio.NewReader(bytes.NewReader(out)); ; {
		line, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return all
		}
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if err != nil || len(parts) != 3 {
			s.t.Fatalf("kcat printed %q, %v", line, err)
		}
		size, err := strconv.Atoi(parts[2])
		if err != nil {
			s.t.Fatal(err)
		}
		value := make([]byte, size+1) // and the line's end
		if _, err := io.ReadFull(reader, value); err != nil {
			s.t.Fatal(err)
		}
		e := event{key: parts[0], headers: parts[1], value: value[:size]}
		for header := range strings.SplitSeq(parts[1], ",") {
			if revision, ok := strings.CutPrefix(header, "order-revision="); ok {
				e.revision = revision
			}
		}
		all = append(all, e)
	}
}
