//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// replayLetters is the setting of how many letters TestReplayOfABadMapping replays.
	replayLetters = "E2E_REPLAY_LETTERS"
	replayRate    = 1000
	newerPushes   = 100
)

// A mapping that refuses good orders parks all of them. Once it is mended, one command replays them at 1,000 a second, under
// the eyes of a second person; the console is killed in the middle, and newer pushes of some of the orders come before it is
// back. All are fixed but these, which are superseded; the results add up, and nobody sees anything twice.
func TestReplayOfABadMapping(t *testing.T) {
	count := 2000
	if text := os.Getenv(replayLetters); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil || count < 1100 {
			t.Fatalf("%s: %q is no number from 1100", replayLetters, text)
		}
	}
	onEachBroker(t, func(t *testing.T, s *stack) {
		good := s.services["validate"].args[0]
		s.deploy("validate", s.mutant("validate", "mutant_bad_mapping"))
		orders := manyMall("HQS0003", "R", count)
		s.pushAll(orders)
		s.waitLetters("open", count)
		s.deploy("validate", good)
		s.nothingIn("mall.validated.v1")

		began := time.Now()
		command := s.orderctl("olga", "dlq", "replay", "service=validate", "code=bad_amount", "--rate", fmt.Sprint(replayRate), "--reason", "mapping mended", "--wait")
		job := s.waitingJob(command)
		if out, err := s.tryOrderctl("olga", "replays", "approve", job); err == nil {
			t.Errorf("the author approved the job: %s", out)
		}
		middle := s.gateAt(count / 3)
		if out, err := s.tryOrderctl("anna", "replays", "approve", job); err != nil {
			t.Fatalf("approve: %v %s", err, out)
		}
		sent := s.killInTheMiddle(job, middle)
		t.Logf("the console was killed when %d of %d letters were sent, after %s", sent, count, time.Since(began).Round(time.Millisecond))
		newer := s.newerPushes(job, orders)
		eventually(t, patience, "orderctl says that nobody answers", func() error {
			if said := tail(command.log, 5); !strings.Contains(string(said), "no answer from the console") {
				return fmt.Errorf("it says %s", said)
			}
			return nil
		})
		back := time.Now()
		s.restart("console")
		said := command.ended(t)
		t.Logf("%d letters took %s in all, %s since the console was back", count, time.Since(began).Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
		want := fmt.Sprintf("%d selected, %d sent: fixed %d, failed again 0, superseded %d, skipped 0", count, count, count-newerPushes, newerPushes)
		if code := command.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(said, want) {
			t.Errorf("orderctl ended with %d, want %q; it said:\n%s", code, want, said)
		}
		s.replayedOnce(job, orders, newer)
		s.replayRate(job)
		s.waitFinal(2*time.Minute, newer)
		s.deliveredOnce(newer)
		s.waitAccounted()
	}, "DEAD_LETTER_RATIO=1")
}

// mutant builds a service in which a law is broken on purpose.
func (s *stack) mutant(service, tag string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), service)
	build := exec.CommandContext(s.t.Context(), "go", "build", "-tags", tag, "-o", path, "./services/"+service)
	build.Dir = root()
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("build %s with %s: %v\n%s", service, tag, err, out)
	}
	return path
}

// deploy replaces a running service by another build of it.
func (s *stack) deploy(service, path string) {
	s.t.Helper()
	p := s.services[service]
	p.stop()
	p.args[0] = path
	s.restart(service)
}

func (s *stack) as(who string) []string {
	return append(slices.Clone(s.env), "CONSOLE_URL="+s.console, "CONSOLE_USER="+who, "CONSOLE_PASSWORD="+who+"-password")
}

// orderctl starts a command that goes on for a while.
func (s *stack) orderctl(who string, args ...string) *process {
	s.t.Helper()
	return launch(s.t, s.t.TempDir(), "orderctl", s.as(who), filepath.Join(bin, "orderctl"), args...)
}

func (s *stack) tryOrderctl(who string, args ...string) (string, error) {
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(bin, "orderctl"), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8"}, s.as(who)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ended waits for the end of a command and gives what it said.
func (p *process) ended(t testing.TB) string {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(5 * time.Minute):
		t.Fatalf("%s has not ended: %s", p.name, tail(p.log, 5))
	}
	return string(tail(p.log, 1000))
}

func (s *stack) count(sql string, args ...any) int {
	s.t.Helper()
	var n int
	if err := s.pool.QueryRow(s.t.Context(), sql, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stack) waitLetters(state string, count int) {
	s.t.Helper()
	eventually(s.t, 3*time.Minute, fmt.Sprintf("%d letters are %s", count, state), func() error {
		if n := s.count(`select count(*) from dead_letters where state = $1`, state); n != count {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
}

func (s *stack) nothingIn(topic string) {
	s.t.Helper()
	if records := s.committed(topic); len(records) > 0 {
		s.t.Fatalf("%s holds %d records", topic, len(records))
	}
}

// waitingJob is the number of the job that the command has made, once it waits for a second person.
func (s *stack) waitingJob(command *process) (job string) {
	s.t.Helper()
	eventually(s.t, patience, "the job waits for approval", func() error {
		said := string(tail(command.log, 20))
		if !strings.Contains(said, "a second person runs orderctl replays approve") {
			return fmt.Errorf("orderctl says %s", said)
		}
		_, err := fmt.Sscanf(said, "replay %s", &job)
		return err
	})
	return strings.TrimSuffix(job, ":")
}

// gate is an advisory lock in PostgreSQL. While the test holds it, the console stops once it has sent so many letters: what
// it sent last is in Kafka, and PostgreSQL does not know it yet. Without it the middle of a replay is over within a second.
const gate = 4711

func (s *stack) gateAt(letters int) *pgxpool.Conn {
	s.t.Helper()
	conn, err := s.pool.Acquire(s.t.Context())
	if err == nil {
		_, err = conn.Exec(s.t.Context(), fmt.Sprintf(`select pg_advisory_lock(%d);
			create function gate() returns trigger language plpgsql as $$ begin
				if (select count(*) from replay_items where sent_at is not null) >= %d then perform pg_advisory_xact_lock(%[1]d); end if;
				return null;
			end $$;
			create trigger gate before update of partition on replay_items for each statement execute function gate()`, gate, letters))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// killInTheMiddle kills the console while it stands at the gate, and gives how many letters it has sent.
func (s *stack) killInTheMiddle(job string, holder *pgxpool.Conn) int {
	s.t.Helper()
	defer holder.Release()
	eventually(s.t, patience, "the console is in the middle", func() error {
		if s.count(`select count(*) from pg_locks where locktype = 'advisory' and objid = $1 and not granted`, gate) == 0 {
			return fmt.Errorf("%d letters are sent", s.count(`select count(*) from replay_items where job_id = $1 and sent_at is not null`, job))
		}
		return nil
	})
	s.services["console"].kill()
	// What waits for the gate ends with the console; PostgreSQL would notice only behind it.
	_, err := holder.Exec(s.t.Context(), fmt.Sprintf(`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = %d and not granted;
		drop function gate cascade; select pg_advisory_unlock(%[1]d)`, gate))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.count(`select count(*) from replay_items where job_id = $1 and sent_at is not null`, job)
}

// newerPushes pushes some of the orders anew whose letters were not sent yet, waits until they have arrived, and gives all
// orders as they stand now.
func (s *stack) newerPushes(job string, orders []pushed) []pushed {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), `select d.order_key from replay_items i join dead_letters d on d.id = i.letter_id
		where i.job_id = $1 and i.result = 'selected' order by i.position desc limit $2`, job, newerPushes)
	if err != nil {
		s.t.Fatal(err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(keys) != newerPushes {
		s.t.Fatalf("%d letters wait: %v", len(keys), err)
	}
	all, again := slices.Clone(orders), []pushed{}
	for i, o := range all {
		if slices.Contains(keys, o.key) {
			shop, code, _ := strings.Cut(strings.TrimPrefix(o.key, "mall:"), ":")
			all[i] = mallOrder(shop, code, "7"+o.total)
			again = append(again, all[i])
		}
	}
	s.pushAll(again)
	s.waitFinal(patience, again)
	return all
}

// replayedOnce holds that each letter went home once, and that others saw each revision of an order once.
func (s *stack) replayedOnce(job string, orders, newer []pushed) {
	s.t.Helper()
	home := map[string]int{}
	for _, r := range s.committed("validate.replay.v1") {
		home[headerOf(r, "replay-letter")]++
		if headerOf(r, "replay-job") != job {
			s.t.Errorf("a letter of another job: %s", headerOf(r, "replay-job"))
		}
	}
	seen := map[string]int{}
	for _, r := range s.committed("mall.validated.v1") {
		seen[string(r.Key)+" "+headerOf(r, "order-revision")]++
	}
	for what, records := range map[string]map[string]int{"letter": home, "revision": seen} {
		for id, times := range records {
			if times != 1 {
				s.t.Errorf("%s %s is there %d times", what, id, times)
			}
		}
	}
	if want := len(orders) + newerPushes; len(home) != len(orders) || len(seen) != want {
		s.t.Errorf("%d letters went home and %d revisions were seen, want %d and %d", len(home), len(seen), len(orders), want)
	}
	var superseded []string
	for i := range orders {
		if orders[i].total != newer[i].total {
			superseded = append(superseded, orders[i].key)
		}
	}
	if n := s.count(`select count(*) from dead_letters where state = 'superseded' and order_key = any($1)`, superseded); n != newerPushes {
		s.t.Errorf("%d letters of orders that were pushed anew are superseded", n)
	}
	if n := s.count(`select count(*) from dead_letters where state = 'fixed' and order_key <> all($1)`, superseded); n != len(orders)-newerPushes {
		s.t.Errorf("%d letters of the others are fixed", n)
	}
}

// replayRate says how fast the letters went while a console ran.
func (s *stack) replayRate(job string) {
	s.t.Helper()
	var working, away float64
	var busiest int
	err := s.pool.QueryRow(s.t.Context(), `with sent as (
			select sent_at, count(*) as letters, sent_at - lag(sent_at) over (order by sent_at) as gap from replay_items where job_id = $1 group by sent_at
		) select extract(epoch from max(sent_at) - min(sent_at) - max(gap))::float8, extract(epoch from max(gap))::float8,
			(select max(n)::int from (select sum(letters) over (order by sent_at range between interval '1 second' preceding and current row) as n from sent) w)
		from sent`, job).Scan(&working, &away, &busiest)
	if err != nil {
		s.t.Fatal(err)
	}
	count := s.count(`select count(*) from replay_items where job_id = $1`, job)
	s.t.Logf("%d letters in %.1f s, %.0f a second, beside the %.1f s without a console; %d in the busiest second", count, working, float64(count)/working, away, busiest)
	// What a second holds begins and ends in the middle of batches, and a new console does not know what the old one sent.
	if limit := replayRate + 3*replayRate/4; busiest > limit {
		s.t.Errorf("%d letters within a second, at a rate of %d", busiest, replayRate)
	}
}

// committed gives what a topic holds for readers of committed transactions, as a client sees it that is not the house's.
func (s *stack) committed(topic string) (all []*kgo.Record) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.addr), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		s.t.Fatalf("ends of %s: %v", topic, err)
	}
	left := map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			left[end.Partition] = end.Offset
		}
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("%s: still reading after %s", topic, patience)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return all
}

func headerOf(r *kgo.Record, name string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
