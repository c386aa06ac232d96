package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/order"
)

// replayer sends letters home to the worker that wrote them, as an operator does.
type replayer struct {
	brokers []string
	pool    *pgxpool.Pool
	client  *kgo.Client
}

func newReplayer(ctx context.Context, brokers []string, url string) (*replayer, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MetadataMinAge(250*time.Millisecond))
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &replayer{brokers, pool, client}, nil
}

func (r *replayer) close() {
	r.client.Close()
	r.pool.Close()
}

// letter is a row of dead_letters, as far as a replay needs it.
type letter struct {
	id        int64
	service   string
	topic     string
	partition int32
	offset    int64
}

// refused is the story of an order that its partner refuses, then takes in a newer content; at last the letter of the
// older content is replayed, which must not reach the partner any more.
func (l *load) refused(ctx context.Context, a author) {
	f := fault{Partner: "okki", OrderNo: a.number, SubCode: "isv.invalid-parameter"}
	if a.source == order.Mall {
		f = fault{Partner: "ezr", OrderNo: a.number, Code: "2001"}
	}
	refuse := func(on bool) bool {
		for l.partners.refuse(ctx, f, on) != nil {
			if !pause(ctx, time.Second) {
				return false
			}
		}
		return true
	}
	older := a.write(1, refused, "partner_rejected")
	if !refuse(true) || !l.push(ctx, "refused", a.source, older) {
		return
	}
	letters := l.replays.await(ctx, `select id, service, dlq_topic, dlq_partition, dlq_offset from dead_letters where order_key = $1`, a.key())
	if len(letters) == 0 || !refuse(false) || !l.push(ctx, "newer", a.source, a.write(2, good, "")) {
		return
	}
	delivered := `select id, service, dlq_topic, dlq_partition, dlq_offset from dead_letters d join orders o using (order_key)
		where o.order_key = $1 and o.delivered_revision > d.revision`
	for _, letter := range l.replays.await(ctx, delivered, a.key()) {
		for l.replays.send(ctx, letter) != nil {
			if !pause(ctx, time.Second) {
				return
			}
		}
	}
	l.replays.await(ctx, `select id, service, dlq_topic, dlq_partition, dlq_offset from dead_letters
		where order_key = $1 and state in ('superseded', 'fixed', 'failed_again')`, a.key())
}

// await polls until the query finds letters, whatever PostgreSQL goes through; none when ctx ended first.
func (r *replayer) await(ctx context.Context, query, key string) []letter {
	for {
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		rows, err := r.pool.Query(asking, query, key)
		var found []letter
		if err == nil {
			found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l letter, err error) {
				return l, row.Scan(&l.id, &l.service, &l.topic, &l.partition, &l.offset)
			})
		}
		cancel()
		if err == nil && len(found) > 0 {
			return found
		}
		if !pause(ctx, time.Second) {
			return nil
		}
	}
}

// send reads a letter where it lies and writes it to its worker's replay topic.
func (r *replayer) send(ctx context.Context, l letter) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	reader, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		l.topic: {l.partition: kgo.NewOffset().At(l.offset)},
	}))
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		fetches := reader.PollRecords(ctx, 1)
		if ctx.Err() != nil {
			return fmt.Errorf("read letter %d: %w", l.id, ctx.Err())
		}
		for _, record := range fetches.Records() {
			if record.Offset != l.offset {
				return fmt.Errorf("letter %d is not where the index says", l.id)
			}
			home := &kgo.Record{Topic: l.service + ".replay.v1", Key: record.Key, Value: record.Value, Headers: homeHeaders(record.Headers, l.id)}
			return r.client.ProduceSync(ctx, home).FirstErr()
		}
	}
}

// homeHeaders are the record's own headers, where it was read first, how often it was replayed, and by which job.
func homeHeaders(letter []kgo.RecordHeader, id int64) []kgo.RecordHeader {
	var headers []kgo.RecordHeader
	for _, h := range letter {
		switch {
		case strings.HasPrefix(h.Key, "dlq-origin-"), !strings.HasPrefix(h.Key, "dlq-"):
			headers = append(headers, h)
		case h.Key == "dlq-replays":
			replays, _ := strconv.Atoi(string(h.Value))
			headers = append(headers, kgo.RecordHeader{Key: h.Key, Value: []byte(strconv.Itoa(replays + 1))})
		}
	}
	number := strconv.FormatInt(id, 10)
	return append(headers, kgo.RecordHeader{Key: "replay-job", Value: []byte("chaos-" + number)}, kgo.RecordHeader{Key: "replay-letter", Value: []byte(number)})
}
