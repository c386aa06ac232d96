package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/event"
	"orderflow/pkg/privacy"
)

const (
	writeLetters = `insert into dead_letters (service, code, path, detail, class, message, source, shop, order_key, revision, total,
		origin_topic, origin_partition, origin_offset, origin_at, attempts, first_failed_at, failed_at, failed_replays,
		dlq_topic, dlq_partition, dlq_offset, worker_version, payload, headers, state, updated_at)
	select service, code, path, detail, class, message, source, shop, order_key, revision, total::numeric,
		origin_topic, origin_partition, origin_offset, origin_at, attempts, first_failed_at, failed_at, failed_replays,
		dlq_topic, dlq_partition, dlq_offset, worker_version, payload, headers, state, now()
	from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bigint[],
		$11::text[], $12::text[], $13::int[], $14::bigint[], $15::timestamptz[], $16::int[], $17::timestamptz[], $18::timestamptz[],
		$19::int[], $20::text[], $21::int[], $22::bigint[], $23::text[], $24::bytea[], $25::bytea[], $26::text[])
	as n (service, code, path, detail, class, message, source, shop, order_key, revision, total, origin_topic, origin_partition,
		origin_offset, origin_at, attempts, first_failed_at, failed_at, failed_replays, dlq_topic, dlq_partition, dlq_offset,
		worker_version, payload, headers, state)
	on conflict (service, origin_topic, origin_partition, origin_offset) do update set code = excluded.code, path = excluded.path,
		detail = excluded.detail, class = excluded.class, message = excluded.message, shop = excluded.shop, total = excluded.total,
		attempts = excluded.attempts, first_failed_at = excluded.first_failed_at, failed_at = excluded.failed_at,
		failed_replays = excluded.failed_replays, dlq_topic = excluded.dlq_topic, dlq_partition = excluded.dlq_partition,
		dlq_offset = excluded.dlq_offset, worker_version = excluded.worker_version, payload = excluded.payload,
		headers = excluded.headers, state = excluded.state, updated_at = excluded.updated_at`

	writeLetterStates = `update dead_letters as l set state = n.state, first_failed_at = n.first_failed_at, updated_at = now()
	from unnest($1::bigint[], $2::text[], $3::timestamptz[]) as n (id, state, first_failed_at) where l.id = n.id`
)

// queueLetters queues the writing of letters: whole ones, and the states of those whose record did not change.
func queueLetters(batch *pgx.Batch, keys *privacy.Keys, rows []*letterRow) error {
	whole := slices.DeleteFunc(slices.Clone(rows), func(l *letterRow) bool { return l.letter == nil })
	known := slices.DeleteFunc(rows, func(l *letterRow) bool { return l.id == 0 })
	if len(whole) > 0 {
		columns, err := letterColumns(keys, whole)
		if err != nil {
			return err
		}
		batch.Queue(writeLetters, columns...)
	}
	if len(known) == 0 {
		return nil
	}
	slices.SortFunc(known, func(a, b *letterRow) int { return cmp.Compare(a.id, b.id) })
	batch.Queue(writeLetterStates,
		column(known, func(l *letterRow) int64 { return l.id }),
		column(known, func(l *letterRow) string { return string(l.state) }),
		column(known, func(l *letterRow) time.Time { return l.firstFailedAt }),
	)
	return nil
}

func letterColumns(keys *privacy.Keys, rows []*letterRow) ([]any, error) {
	slices.SortFunc(rows, func(a, b *letterRow) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.originTopic, b.originTopic),
			cmp.Compare(a.originPartition, b.originPartition), cmp.Compare(a.originOffset, b.originOffset))
	})
	payloads, headers := make([][]byte, len(rows)), make([][]byte, len(rows))
	for i, l := range rows {
		if l.erased {
			continue
		}
		text, err := json.Marshal(jsonHeaders(l.letter.Record.Headers))
		if err != nil {
			return nil, fmt.Errorf("write headers of a letter: %w", err)
		}
		headers[i] = keys.Encrypt(text, letterPlace("headers", l))
		payloads[i] = keys.Encrypt(l.letter.Origin.Value, letterPlace("payload", l))
	}
	return []any{
		column(rows, func(l *letterRow) string { return l.service }),
		column(rows, func(l *letterRow) string { return l.code }),
		column(rows, func(l *letterRow) string { return l.letter.Path }),
		column(rows, func(l *letterRow) string { return l.letter.Detail }),
		column(rows, func(l *letterRow) string { return l.letter.Class }),
		column(rows, func(l *letterRow) string { return l.letter.Message }),
		column(rows, func(l *letterRow) string { return string(l.key.Source()) }),
		column(rows, func(l *letterRow) string { return l.shop }),
		column(rows, func(l *letterRow) string { return string(l.key) }),
		column(rows, func(l *letterRow) *int64 { return null(int64(l.revision)) }),
		column(rows, func(l *letterRow) *string { return amount(l.total) }),
		column(rows, func(l *letterRow) string { return l.originTopic }),
		column(rows, func(l *letterRow) int32 { return l.originPartition }),
		column(rows, func(l *letterRow) int64 { return l.originOffset }),
		column(rows, func(l *letterRow) *time.Time { return nullTime(l.letter.Origin.Timestamp) }),
		column(rows, func(l *letterRow) int32 { return int32(l.letter.Attempts) }),
		column(rows, func(l *letterRow) time.Time { return l.firstFailedAt }),
		column(rows, func(l *letterRow) time.Time { return l.letter.Last }),
		column(rows, func(l *letterRow) int32 { return int32(l.failedReplays) }),
		column(rows, func(l *letterRow) string { return l.letter.Record.Topic }),
		column(rows, func(l *letterRow) int32 { return l.letter.Record.Partition }),
		column(rows, func(l *letterRow) int64 { return l.letter.Record.Offset }),
		column(rows, func(l *letterRow) string { return l.letter.Version }),
		payloads, headers,
		column(rows, func(l *letterRow) string { return string(l.state) }),
	}, nil
}

// jsonHeader is a record header as it is kept: the value may be any bytes, so it becomes base64.
type jsonHeader struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

func jsonHeaders(headers []event.Header) []jsonHeader {
	return column(headers, func(h event.Header) jsonHeader { return jsonHeader(h) })
}

// letterPlace is where an encrypted column of dead_letters belongs.
func letterPlace(columnName string, l *letterRow) []byte {
	return privacy.Place("dead_letters."+columnName, l.service, l.originTopic,
		strconv.Itoa(int(l.originPartition)), strconv.FormatInt(l.originOffset, 10))
}

// AddLetter indexes a letter that belongs to no known revision of an order, so that it is seen all the same. It is what
// remains when Apply cannot take a letter.
func (w *Writer) AddLetter(ctx context.Context, l *Letter) error {
	row := newLetterRow(l, &event.Meta{})
	row.state = LetterOpen
	columns, err := letterColumns(w.keys, []*letterRow{row})
	if err != nil {
		return err
	}
	if _, err := w.store.pool.Exec(ctx, writeLetters, columns...); err != nil {
		return fmt.Errorf("add letter: %w", err)
	}
	return nil
}
