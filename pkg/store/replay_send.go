package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/privacy"
)

const (
	nextItems = `select i.letter_id, d.order_key from replay_items i join dead_letters d on d.id = i.letter_id
		where i.job_id = $1 and i.result = 'selected' order by i.position limit $2`

	// A letter whose order is not known would never get a result: nothing that happens to it could be linked to it. One that
	// failed too many replays since it was chosen is left out as it would have been then.
	markItems = `with chosen as (
			select d.id, case when d.revision is null or not exists (select from orders o where o.order_key = d.order_key) then 'untraceable'
				when d.state in ('open', 'failed_again') and d.failed_replays >= j.max_times then 'parked' else d.state end as state
			from replay_items i join dead_letters d on d.id = i.letter_id join replay_jobs j on j.id = i.job_id
			where i.job_id = $1 and i.letter_id = any($2) and i.result = 'selected'
		), going as (
			update dead_letters d set state = 'replaying', sent_replays = d.failed_replays + 1, updated_at = now()
			from chosen c where d.id = c.id and c.state in ('open', 'failed_again')
			returning d.id, d.sent_replays, d.order_key, d.revision
		), sent as (
			update replay_items i set result = 'sent', replay = g.sent_replays, sent_at = now(), at = now()
			from going g where i.job_id = $1 and i.letter_id = g.id
		), steps as (
			insert into order_events (order_key, revision, step, dedupe, at, service)
			select distinct order_key, revision, 'replayed', $3, now(), 'console' from going on conflict do nothing
		), settled as (
			update replay_items i set at = now(), result = case c.state when 'superseded' then 'superseded' else 'skipped' end,
				code = case c.state when 'superseded' then '' else c.state end
			from chosen c where i.job_id = $1 and i.letter_id = c.id and c.state not in ('open', 'failed_again')
			returning 1
		) select (select count(*) from going), (select count(*) from settled)`
)

// Mark takes up to n letters whose turn it is, and notes that they are sent, under which number: from now on they must be
// produced, by whoever holds the job. Letters that have been settled since, or are in another job, get their result at
// once. Marked is how many are to be produced, passed how many are not; both are 0 when the job is not running or has no
// more letters.
func (r *ReplayRun) Mark(ctx context.Context, n int) (marked, passed int, err error) {
	err = r.within(ctx, "mark letters", func(tx pgx.Tx, state JobState) error {
		marked, passed = 0, 0
		if state != JobRunning {
			return nil
		}
		var ids []int64
		var keys []string
		var id int64
		var key string
		rows, err := tx.Query(ctx, nextItems, r.JobID, n)
		if err != nil {
			return err
		}
		_, err = pgx.ForEachRow(rows, []any{&id, &key}, func() error {
			ids, keys = append(ids, id), append(keys, key)
			return nil
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		// The orders are locked before the letters, as by every writer.
		if _, err := tx.Exec(ctx, `select from orders where order_key = any($1) order by order_key for update`, keys); err != nil {
			return err
		}
		return tx.QueryRow(ctx, markItems, r.JobID, ids, strconv.FormatInt(r.JobID, 10)).Scan(&marked, &passed)
	})
	return marked, passed, err
}

// ReplayLetter is a letter of a job with its record.
type ReplayLetter struct {
	ID     int64
	Letter deadletter.Letter // for one to be sent, Replays is such that deadletter.Home gives its number
	State  LetterState
	// Overtaken tells that a newer revision has passed the stage that wrote the letter.
	Overtaken bool
	// Err says that the record cannot be read: it is damaged, sealed under a key that is not ours, or no letter of the house.
	Err error
}

const (
	selectRecords = `with next as (
			select i.letter_id, i.position, i.replay, coalesce(octet_length(d.payload), 0) as size
			from replay_items i join dead_letters d on d.id = i.letter_id where i.job_id = $1 and %s order by i.position limit $2
		), sized as (select *, sum(size) over (order by position) - size as before from next)
		select d.id, d.service, d.origin_topic, d.origin_partition, d.origin_offset, d.order_key, d.dlq_topic, d.dlq_partition, d.dlq_offset,
			d.failed_replays, s.replay, d.state, d.payload, d.headers, coalesce(case when d.service = 'validate' or d.service = 'persist' and d.origin_topic <> '` + event.Deliveries + `'
				then o.validated and o.revision > d.revision else o.delivered_revision > d.revision end, false)
		from sized s join dead_letters d on d.id = s.letter_id left join orders o on o.order_key = d.order_key
		where s.before < $3 order by s.position`

	unproduced = `i.result = 'sent' and i.partition is null and d.state = 'replaying' and d.failed_replays < i.replay`
	unjudged   = `i.result = 'selected'`
)

// Unproduced reads the letters that were marked and that nobody has said to be in Kafka, in the order in which they must be
// produced; at most n, and no more once their records reach maxBytes.
func (r *ReplayRun) Unproduced(ctx context.Context, keys *privacy.Keys, n, maxBytes int) ([]ReplayLetter, error) {
	return r.records(ctx, keys, unproduced, n, maxBytes)
}

// Unjudged reads the letters that a dry run has not judged yet.
func (r *ReplayRun) Unjudged(ctx context.Context, keys *privacy.Keys, n, maxBytes int) ([]ReplayLetter, error) {
	return r.records(ctx, keys, unjudged, n, maxBytes)
}

func (r *ReplayRun) records(ctx context.Context, keys *privacy.Keys, which string, n, maxBytes int) ([]ReplayLetter, error) {
	letters, err := query(ctx, r.store, fmt.Sprintf(selectRecords, which), func(row pgx.CollectableRow) (ReplayLetter, error) {
		return scanReplayLetter(row, keys)
	}, r.JobID, n, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("read letters of replay %d: %w", r.JobID, err)
	}
	return letters, nil
}

func scanReplayLetter(row pgx.CollectableRow, keys *privacy.Keys) (ReplayLetter, error) {
	var l letterRow
	var n ReplayLetter
	var record event.Message
	var replay int
	var payload, headers []byte
	err := row.Scan(&l.id, &l.service, &l.originTopic, &l.originPartition, &l.originOffset, &l.key, &record.Topic, &record.Partition, &record.Offset,
		&l.failedReplays, &replay, &n.State, &payload, &headers, &n.Overtaken)
	if err != nil {
		return n, err
	}
	n.ID = l.id
	record.Value, record.Headers, n.Err = openRecord(keys, &l, payload, headers)
	if n.Err != nil {
		return n, nil
	}
	record.Key = record.Header(event.HeaderOrderKey)
	if record.Key == "" {
		record.Key = string(l.key)
	}
	n.Letter, n.Err = deadletter.Parse(record)
	n.Letter.Replays = l.failedReplays
	if replay > 0 {
		n.Letter.Replays = replay - 1
	}
	return n, nil
}

// openRecord decrypts a letter's bytes and headers.
func openRecord(keys *privacy.Keys, l *letterRow, sealedPayload, sealedHeaders []byte) (payload []byte, headers []event.Header, err error) {
	if sealedPayload == nil && sealedHeaders == nil { // a record without bytes still has headers, if only an empty list
		return nil, nil, ErrGone
	}
	payload, errP := keys.Decrypt(sealedPayload, letterPlace("payload", l))
	text, errH := keys.Decrypt(sealedHeaders, letterPlace("headers", l))
	if err := errors.Join(errP, errH); err != nil {
		return nil, nil, err
	}
	var kept []jsonHeader
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, nil, errors.New("headers: not what was written")
	}
	return payload, column(kept, func(h jsonHeader) event.Header { return event.Header(h) }), nil
}

// Produced is where a letter's replay lies in its replay topic.
type Produced struct {
	LetterID  int64
	Partition int32
	Offset    int64
}

// Confirm notes which of the marked letters are in Kafka for good.
func (r *ReplayRun) Confirm(ctx context.Context, produced []Produced) error {
	return r.within(ctx, "confirm letters", func(tx pgx.Tx, _ JobState) error {
		_, err := tx.Exec(ctx, `update replay_items i set partition = n.partition, "offset" = n."offset"
			from unnest($2::bigint[], $3::integer[], $4::bigint[]) as n (letter_id, partition, "offset")
			where i.job_id = $1 and i.letter_id = n.letter_id and i.replay > 0 and i.partition is null`, r.JobID,
			column(produced, func(p Produced) int64 { return p.LetterID }),
			column(produced, func(p Produced) int32 { return p.Partition }),
			column(produced, func(p Produced) int64 { return p.Offset }))
		return err
	})
}

// Unmark takes a letter back that was marked and is known not to have been produced, since its record cannot be read. It
// stands again as it did.
func (r *ReplayRun) Unmark(ctx context.Context, letterID int64, code string) error {
	return r.within(ctx, "take back a letter", func(tx pgx.Tx, _ JobState) error {
		if _, err := tx.Exec(ctx, `select from orders where order_key = (select order_key from dead_letters where id = $1) for update`, letterID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `with taken as (update replay_items set result = 'skipped', code = $3, at = now()
				where job_id = $1 and letter_id = $2 and result = 'sent' and partition is null returning replay)
			update dead_letters d set sent_replays = d.failed_replays, updated_at = now(),
				state = case when d.failed_replays = 0 then 'open' else 'failed_again' end
			from taken t where d.id = $2 and d.state = 'replaying' and d.sent_replays = t.replay`, r.JobID, letterID, code)
		return err
	})
}

// Judge notes what a dry run found out: would_pass, would_fail with its code and path, superseded or skipped.
func (r *ReplayRun) Judge(ctx context.Context, judged []ReplayItem) error {
	return r.within(ctx, "judge letters", func(tx pgx.Tx, _ JobState) error {
		_, err := tx.Exec(ctx, `update replay_items i set result = n.result, code = n.code, path = n.path, at = now()
			from unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) as n (letter_id, result, code, path)
			where i.job_id = $1 and i.letter_id = n.letter_id and i.result = 'selected'`, r.JobID,
			column(judged, func(j ReplayItem) int64 { return j.LetterID }),
			column(judged, func(j ReplayItem) string { return string(j.Result) }),
			column(judged, func(j ReplayItem) string { return j.Code }),
			column(judged, func(j ReplayItem) string { return j.Path }))
		return err
	})
}

// Unconfirmed tells, for each replay topic that may hold letters which were produced and not confirmed, the offset after the
// last confirmed one of each partition: what is in doubt lies from there on. A partition of which nothing is confirmed is
// left out.
func (r *ReplayRun) Unconfirmed(ctx context.Context) (map[string]map[int32]int64, error) {
	rows, err := r.store.pool.Query(ctx, `with doubtful as (
			select distinct d.service from replay_items i join dead_letters d on d.id = i.letter_id
			where i.job_id = $1 and i.result = 'sent' and i.partition is null
		), confirmed as (
			select d.service, i.partition, max(i."offset") + 1 as next from replay_items i join dead_letters d on d.id = i.letter_id
			where i.job_id = $1 and i.partition is not null and exists (select from doubtful) group by 1, 2
		) select service, coalesce(partition, -1), coalesce(next, 0) from doubtful left join confirmed using (service)`, r.JobID)
	if err != nil {
		return nil, fmt.Errorf("read the unconfirmed of replay %d: %w", r.JobID, err)
	}
	topics := map[string]map[int32]int64{}
	var service string
	var partition int32
	var next int64
	_, err = pgx.ForEachRow(rows, []any{&service, &partition, &next}, func() error {
		topic := event.Replay(service)
		if topics[topic] == nil {
			topics[topic] = map[int32]int64{}
		}
		if partition >= 0 {
			topics[topic][partition] = next
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the unconfirmed of replay %d: %w", r.JobID, err)
	}
	return topics, nil
}
