package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"

	"orderflow/pkg/bustest"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/receipt"
	"orderflow/pkg/store"
)

// A million orders, a third of each source: each with its record, four steps and three numbers. One in ten has a dead
// letter, one in a hundred an open one. The first order was pushed 1,000 times.
const (
	million  = 1_000_000
	oneOrder = `(array['icbu:P', 'procurement:P', 'mall:S1:P'])[1 + n % 3] || n`
)

var fillMillion = []string{
	`insert into orders (order_key, source, order_no, numbers, revision, validated, state, kind, shop, currency, total, delivered_revision,
		delivered_total, content_digest, payload, received_at, updated_at, version)
	select ` + oneOrder + `, (array['icbu', 'procurement', 'mall'])[1 + n % 3], 'P' || n, array['OKKI' || n, 'P' || n, 'T' || n / 3], (1::bigint << 48) + n, true,
		'delivered', 'sale', 'S' || n % 50, 'CNY', n, (1::bigint << 48) + n, n, md5(n::text), decode(repeat(md5(n::text), 16), 'hex'),
		now() - n * interval '1 second', now(), 1 from generate_series(1, 1000000) n`,
	`insert into received (source, partition, "offset", order_key, revision, push_id, content_digest, received_at, validated_at, content, outcome, outcome_at, end_state, updated_at)
	select (array['icbu', 'procurement', 'mall'])[1 + n % 3], n % 6, n, ` + oneOrder + `, (1::bigint << 48) + n, '00000000-0000-0000-0000-000000000000', md5(n::text),
		now() - n * interval '1 second', now(), 'new', 'delivered', now(), 'delivered', now() from generate_series(1, 1000000) n`,
	`insert into order_events (order_key, revision, step, dedupe, at, service, code, detail)
	select ` + oneOrder + `, (1::bigint << 48) + n, (array['received', 'validated', 'attempt', 'delivered'])[e], case e when 3 then '1' else '' end,
		now() - n * interval '1 second' + e * interval '1 ms', 'okkisync', '', case e when 3 then 'delivered, 12 ms' else '' end
		from generate_series(1, 1000000) n cross join generate_series(1, 4) e`,
	`insert into order_events (order_key, revision, step, at, service)
	select 'procurement:P1', (1::bigint << 48) + 1000000 + n, step, now() + n * interval '1 second', 'validate'
		from generate_series(1, 1000) n cross join unnest(array['received', 'validated']) step`,
	`insert into dead_letters (service, code, path, source, shop, order_key, revision, total, origin_topic, origin_partition, origin_offset,
		first_failed_at, failed_at, dlq_topic, dlq_partition, dlq_offset, payload, state, updated_at)
	select (array['validate', 'okkisync', 'mallupload', 'persist'])[1 + n % 4], (array['bad_amount', 'bad_time', 'partner_rejected', 'sum_mismatch', 'too_old'])[1 + n % 5],
		'/items/' || n % 7 || '/amount', (array['icbu', 'procurement', 'mall'])[1 + n % 3], 'S' || n % 50, ` + oneOrder + `, (1::bigint << 48) + n, n,
		'icbu.received.v1', 0, n, now() - n * interval '1 second', now() - n * interval '1 second', 'validate.dlq.v1', 0, n, decode(repeat(md5(n::text), 64), 'hex'),
		case when n % 100 = 0 then 'open' when n % 200 = 10 then 'failed_again' else 'fixed' end, now() from generate_series(10, 1000000, 10) n`,
	`insert into replay_jobs (state, filter, dry_run, rate, reason, created_by, selected, finished_at)
	select 'done', '{}', n % 2 = 0, 0, '', 'anna', 1000, now() from generate_series(1, 60) n`,
	`insert into replay_items (job_id, letter_id, result, position) select 1 + id % 60, id, 'fixed', id from dead_letters`,
	`update replay_jobs j set counts = array[0, 0, 0, 0, (select count(*) from replay_items i where i.job_id = j.id), 0, 0, 0, 0]`,
	`insert into audit (who, action, object) select 'anna', 'discard', 'letter ' || n from generate_series(1, 100000) n`,
	`vacuum analyze`,
}

// BenchmarkAMillionOrders measures what the console answers, from the request to the last byte, HTTP Basic included: how long
// half of the answers take at most, and all but one in a hundred. The login is remembered, as it is for whoever asks twice a
// minute; "first login" has the password hashed.
func BenchmarkAMillionOrders(b *testing.B) {
	d := millionDesk(b)
	single, _ := d.push(order.ICBU, "icbu:fresh")
	keys := make([]receipt.Record, 100)
	for i := range keys {
		keys[i] = receipt.Record{Partition: int32((3*i + 2) % 6), Offset: int64(3*i + 2)}
	}
	batch := receipt.Mint(receiptKeys(b), receipt.Receipt{Source: order.Mall, ReceivedAt: at, Records: keys})
	for _, c := range []struct{ name, path string }{
		{"order by main number", "/api/orders?number=P%d"},
		{"order by other number", "/api/orders?number=OKKI%d"},
		{"orders by shared number", "/api/orders?number=T%d"},
		{"order by key", "/api/orders/icbu:P%[2]d"},
		{"order of 1000 pushes", "/api/orders/procurement:P1?%d"},
		{"no such number", "/api/orders?number=none%d"},
		{"receipt of one, from Kafka", "/api/receipts/" + single + "?%d"},
		{"receipt of 100", "/api/receipts/" + batch + "?%d"},
		{"orders by receipt of 100", "/api/orders?number=" + batch},
		{"letters", "/api/dead-letters?limit=50"},
		{"letters of a service", "/api/dead-letters?service=okkisync"},
		{"letters by code, any state", "/api/dead-letters?code=bad_time&state=" + anyState},
		{"letters of a shop, any state", "/api/dead-letters?shop=S7&state=" + anyState},
		{"letters of no shop, any state", "/api/dead-letters?shop=none&state=" + anyState},
		{"letters of a source", "/api/dead-letters?source=mall"},
		{"letters by path", "/api/dead-letters?path=/items/*/amount"},
		{"letters by amount, any state", "/api/dead-letters?min_amount=999990&state=" + anyState},
		{"letters by part of a key", "/api/dead-letters?q=P99%d"},
		{"letters by part of a key, any state", "/api/dead-letters?q=nothing%d&state=" + anyState},
		{"letters of an order", "/api/dead-letters?order_key=icbu:P%[2]d&state=" + anyState},
		{"letters since", "/api/dead-letters?since=90m"},
		{"groups", "/api/dead-letters/groups"},
		{"groups, any state", "/api/dead-letters/groups?state=" + anyState},
		{"letter", "/api/dead-letters/%[3]d"},
		{"replays", "/api/replays"},
		{"letters of a replay", "/api/replays/7/letters"},
		{"audit", "/api/audit"},
	} {
		b.Run(c.name, func(b *testing.B) {
			d.measure(b, func(n int) (string, string, string) {
				path := fmt.Sprintf(c.path, 1+(n*7919)%million, 3*(1+(n*7919)%(million/3)), 1+(n*7919)%(million/10))
				path, _, _ = strings.Cut(path, "%!(EXTRA")
				return "vera", "veravera", path
			})
		})
	}
	b.Run("first login", func(b *testing.B) {
		d.measure(b, func(n int) (string, string, string) {
			return fmt.Sprint("user", n%maxVerified), "pass", "/api/orders?number=P7"
		})
	})
}

const anyState = "open,replaying,fixed,failed_again,superseded,discarded"

func (d *desk) measure(b *testing.B, request func(n int) (name, password, path string)) {
	var took []time.Duration
	for n := 0; b.Loop() || len(took) < 100; n++ {
		name, password, path := request(n)
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, d.base+path, nil)
		if err != nil {
			b.Fatal(err)
		}
		r.SetBasicAuth(name, password)
		began := time.Now()
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		took = append(took, time.Since(began))
		if err != nil || response.StatusCode != http.StatusOK {
			b.Fatalf("%s: %d %s (%v)", path, response.StatusCode, body, err)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func millionDesk(b *testing.B) *desk {
	b.Helper()
	d := &desk{t: b, broker: bustest.Start(b), url: pgtest.New(b)}
	if err := store.Migrate(b.Context(), d.url); err != nil {
		b.Fatal(err)
	}
	conn, err := pgx.Connect(b.Context(), d.url)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for _, sql := range fillMillion {
		if _, err := conn.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	_ = conn.Close(context.Background())
	b.Logf("filled in %v", time.Since(began).Round(time.Second))
	d.open()
	cfg := deskSettings(b, d)
	hash, err := bcrypt.GenerateFromPassword([]byte("pass"), bcrypt.DefaultCost)
	if err != nil {
		b.Fatal(err)
	}
	for n := range maxVerified {
		cfg.Console.Users += fmt.Sprintf(",user%d:viewer:%s", n, hash)
	}
	d.run(cfg)
	d.await("ready", func() bool { return d.ask("", "GET", "/readyz", "").status == http.StatusOK })
	return d
}
