package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/receipt"
)

var (
	sourceNames    = []string{"icbu", "procurement", "mall"}
	receivedTopics = []string{"icbu.received.v1", "procurement.received.v1", "mall.received.v1"}
	leftValidate   = []string{"icbu.validated.v1", "procurement.validated.v1", "mall.validated.v1", "validate.dlq.v1"}
	letterTopics   = []string{"validate.dlq.v1", "okkisync.dlq.v1", "mallupload.dlq.v1", "persist.dlq.v1"}
)

// place is where a record of a received topic stands.
type place struct {
	source    string
	partition int32
	offset    int64
}

func (p place) String() string {
	return fmt.Sprintf("%s.received.v1/%d/%d", p.source, p.partition, p.offset)
}

// record is a record of a topic.
type record struct {
	topic     string
	partition int32
	offset    int64
	at        time.Time
	key       string
	digest    string // SHA-256 of the value
	origin    place  // of the received record that it came from
}

// fate is a row of received.
type fate struct {
	place    place
	key      string
	revision int64
	state    string
	at       time.Time
}

// orderRow is a row of orders.
type orderRow struct {
	key, source, state, total, deliveredTotal string
	deliveredRevision                         int64
}

// account is the ledger of one order.
type account struct{ unknowns, takeovers, attempts int }

// parked is a row of dead_letters.
type parked struct {
	service, code, key, state string
	revision                  int64
	failedAt                  time.Time
}

// evidence is all that the checker looks at: what senders were told, the topics, PostgreSQL and the partners.
type evidence struct {
	existing string
	attempts []attempt
	accepted []acceptance
	received []record // of all sources, by partition and offset
	left     []record // what validate made of them
	letters  []record
	fates    []fate
	orders   map[string]orderRow
	ledger   map[string]account
	parked   []parked
	effects  []effect
	held     []held
	hours    []hourCount // of the balance
	dirty    []string    // orders whose newest delivery the ledger wants to be made once more

	unbalanced []string // offsets that the balance names

	healed time.Time // when the last fault was; zero: not known
	last   bool      // whether the run waited for the end of the last hour
}

// acceptance is one document that a sender was told is accepted, and where its receipt says it stands.
type acceptance struct {
	doc   document
	at    time.Time
	place place
}

// gather collects the evidence of a drained stack.
func (t *trial) gather(ctx context.Context, s *stack, p *partners, path string) (e *evidence, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	e = &evidence{existing: t.existing, orders: map[string]orderRow{}, ledger: map[string]account{}}
	if e.attempts, err = readJournal(path); err != nil {
		return nil, err
	}
	if err := e.readReceipts(); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		topics []string
		into   *[]record
	}{{receivedTopics, &e.received}, {leftValidate, &e.left}, {letterTopics, &e.letters}} {
		if *part.into, err = readTopics(ctx, s.cluster, part.topics); err != nil {
			return nil, err
		}
	}
	if err := e.readDatabase(ctx, s.postgres.url()); err != nil {
		return nil, err
	}
	if e.effects, err = p.effects(ctx); err != nil {
		return nil, err
	}
	e.held, err = p.orders(ctx)
	return e, err
}

// readReceipts finds out where the accepted documents stand.
func (e *evidence) readReceipts() error {
	keys, err := receipt.ParseKeys(receiptKeys)
	if err != nil {
		return err
	}
	for _, a := range e.attempts {
		if !a.Accepted || a.hostile() {
			continue
		}
		r, err := receipt.Parse(keys, a.Receipt)
		if err != nil {
			return fmt.Errorf("receipt of a push at %s: %w", a.At.Format(time.RFC3339Nano), err)
		}
		if len(r.Records) != len(a.Docs) {
			return fmt.Errorf("a receipt names %d records for %d documents", len(r.Records), len(a.Docs))
		}
		for i, stands := range r.Records {
			e.accepted = append(e.accepted, acceptance{a.Docs[i], a.end(), place{a.Docs[i].Source, stands.Partition, stands.Offset}})
		}
	}
	return nil
}

// readTopics reads what is committed in the topics, from their beginning to their present end.
func readTopics(ctx context.Context, c *cluster, topics []string) ([]record, error) {
	ends, err := c.admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	from, left := map[string]map[int32]kgo.Offset{}, map[string]map[int32]int64{}
	open := 0
	for topic, partitions := range ends {
		for partition, end := range partitions {
			if end.Err != nil {
				return nil, end.Err
			}
			if end.Offset == 0 {
				continue
			}
			if from[topic] == nil {
				from[topic], left[topic] = map[int32]kgo.Offset{}, map[int32]int64{}
			}
			from[topic][partition], left[topic][partition] = kgo.NewOffset().AtStart(), end.Offset
			open++
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...), kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var all []record
	for open > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("read %v: %w", topics, ctx.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, toRecord(r))
			}
			if r.Offset == left[r.Topic][r.Partition]-1 {
				open--
			}
		})
	}
	return all, nil
}

func toRecord(r *kgo.Record) record {
	sum := sha256.Sum256(r.Value)
	own := record{
		topic: r.Topic, partition: r.Partition, offset: r.Offset, at: r.Timestamp,
		key: string(r.Key), digest: hex.EncodeToString(sum[:]),
	}
	own.origin = place{sourceOf(own.key), r.Partition, r.Offset}
	for _, h := range r.Headers {
		switch h.Key {
		case "received-partition":
			if n, err := strconv.ParseInt(string(h.Value), 10, 32); err == nil {
				own.origin.partition = int32(n)
			}
		case "received-offset":
			if n, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil {
				own.origin.offset = n
			}
		}
	}
	return own
}

// sourceOf is the first part of an order key.
func sourceOf(key string) string {
	for _, source := range sourceNames {
		if len(key) > len(source) && key[:len(source)+1] == source+":" {
			return source
		}
	}
	return ""
}

// newestDirty are the rows of the ledger that are an order's newest delivery and have to be made once more.
const newestDirty = `deliveries d where dirty and not exists (select from deliveries newer
	where newer.partner = d.partner and newer.order_key = d.order_key and newer.revision > d.revision and newer.outcome = 'delivered')`

// readDatabase reads every table that says what became of an order.
func (e *evidence) readDatabase(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var f fate
	err = each(ctx, conn, `select source, partition, "offset", order_key, revision, coalesce(end_state, ''), updated_at from received`,
		[]any{&f.place.source, &f.place.partition, &f.place.offset, &f.key, &f.revision, &f.state, &f.at},
		func() { e.fates = append(e.fates, f) })
	if err != nil {
		return err
	}
	var o orderRow
	err = each(ctx, conn, `select order_key, source, state, coalesce(total::text, ''), coalesce(delivered_total::text, ''), coalesce(delivered_revision, 0) from orders`,
		[]any{&o.key, &o.source, &o.state, &o.total, &o.deliveredTotal, &o.deliveredRevision},
		func() { e.orders[o.key] = o })
	if err != nil {
		return err
	}
	var key string
	var a account
	err = each(ctx, conn, `select order_key, sum(unknowns)::int, sum(takeovers)::int, sum(attempts)::int from deliveries group by order_key`,
		[]any{&key, &a.unknowns, &a.takeovers, &a.attempts}, func() { e.ledger[key] = a })
	if err != nil {
		return err
	}
	if err = each(ctx, conn, `select order_key from `+newestDirty, []any{&key}, func() { e.dirty = append(e.dirty, key) }); err != nil {
		return err
	}
	if err := e.readBalance(ctx, conn); err != nil {
		return err
	}
	var p parked
	return each(ctx, conn, `select service, code, order_key, coalesce(revision, 0), state, first_failed_at from dead_letters`,
		[]any{&p.service, &p.code, &p.key, &p.revision, &p.state, &p.failedAt}, func() { e.parked = append(e.parked, p) })
}

func each(ctx context.Context, conn *pgx.Conn, query string, into []any, row func()) error {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, into, func() error { row(); return nil })
	return err
}
