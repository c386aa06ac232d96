package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// LetterView is a dead letter as people see it: everything but the record. The total is exact text, empty where none could
// be read; times that are unknown are zero.
type LetterView struct {
	ID              int64
	Service         string
	Code            string
	Path            string
	Detail          string
	Class           string
	Message         string
	Source          order.Source
	Shop            string
	OrderKey        order.Key
	Revision        order.Revision // 0: the record's headers did not tell
	Total           string
	OriginTopic     string
	OriginPartition int32
	OriginOffset    int64
	OriginAt        time.Time
	Attempts        int
	FirstFailedAt   time.Time
	FailedAt        time.Time
	FailedReplays   int // how many replays the record had behind it when it failed last
	SentReplays     int
	DLQTopic        string // where the letter that was written last lies
	DLQPartition    int32
	DLQOffset       int64
	WorkerVersion   string
	State           LetterState
	DiscardedAt     time.Time
	DiscardedBy     string
	DiscardReason   string
	UpdatedAt       time.Time
}

const selectLetter = `select id, service, code, path, detail, class, message, source, shop, order_key, coalesce(revision, 0),
	coalesce(total::text, ''), origin_topic, origin_partition, origin_offset, origin_at, attempts, first_failed_at, failed_at,
	failed_replays, sent_replays, dlq_topic, dlq_partition, dlq_offset, worker_version, state, discarded_at, discarded_by,
	discard_reason, updated_at from dead_letters `

// Letters lists the letters that a filter chooses, those that failed last first, at most limit. Next is the cursor of what
// follows, "" at the end; the empty cursor is the beginning. A filter or cursor that makes no sense is an ErrFilter.
func (s *Store) Letters(ctx context.Context, f LetterFilter, cursor string, limit int) (letters []LetterView, next string, err error) {
	where, err := f.conditions()
	if err != nil {
		return nil, "", err
	}
	if cursor != "" {
		at, id, err := readCursor(cursor)
		if err != nil {
			return nil, "", err
		}
		where.add("failed_at <= @", at) // what an index can start from; the next line is exact
		where.add(fmt.Sprintf("(failed_at, id) < ($%d, @)", len(where.args)), id)
	}
	where.args = append(where.args, limit+1)
	chosen, newest := where.text(), " order by failed_at desc, id desc"
	if f.Q != "" { // found in an index alone, which has the keys, and read then
		chosen = fmt.Sprintf("id in (select id from dead_letters where %s%s limit $%d)", chosen, newest, len(where.args))
	}
	sql := fmt.Sprintf("%swhere %s%s limit $%d", selectLetter, chosen, newest, len(where.args))
	letters, err = query(ctx, s, sql, scanLetterView, where.args...)
	if err != nil {
		return nil, "", fmt.Errorf("list letters: %w", err)
	}
	if len(letters) > limit {
		letters = letters[:limit]
		last := letters[limit-1]
		next = cursorOf(last.FailedAt, last.ID)
	}
	return letters, next, nil
}

// Letter reads one letter, or ErrNotFound.
func (s *Store) Letter(ctx context.Context, id int64) (LetterView, error) {
	rows, err := s.pool.Query(ctx, selectLetter+"where id = $1", id)
	if err != nil {
		return LetterView{}, fmt.Errorf("read letter: %w", err)
	}
	view, err := pgx.CollectExactlyOneRow(rows, scanLetterView)
	if err != nil {
		return LetterView{}, fmt.Errorf("read letter: %w", notFound(err))
	}
	return view, nil
}

func scanLetterView(row pgx.CollectableRow) (v LetterView, err error) {
	var originAt, discardedAt *time.Time
	err = row.Scan(&v.ID, &v.Service, &v.Code, &v.Path, &v.Detail, &v.Class, &v.Message, &v.Source, &v.Shop, &v.OrderKey, &v.Revision,
		&v.Total, &v.OriginTopic, &v.OriginPartition, &v.OriginOffset, &originAt, &v.Attempts, &v.FirstFailedAt, &v.FailedAt,
		&v.FailedReplays, &v.SentReplays, &v.DLQTopic, &v.DLQPartition, &v.DLQOffset, &v.WorkerVersion, &v.State, &discardedAt,
		&v.DiscardedBy, &v.DiscardReason, &v.UpdatedAt)
	v.OriginAt, v.DiscardedAt = value(originAt), value(discardedAt)
	return v, err
}

// LetterGroup is letters with one cause: same service, code and path, where an array index in the path counts as any.
type LetterGroup struct {
	Service   string
	Code      string
	Path      string // the fingerprint: array indexes are *
	Count     int
	FirstSeen time.Time // when the first of them failed for the first time
	LastSeen  time.Time
	Example   int64 // a letter's id, the greatest
}

// maxGroups bounds an answer; codes are enumerated, paths are the contracts' fields.
const maxGroups = 1000

// LetterGroups groups the letters that a filter chooses, the largest group first, at most 1,000.
func (s *Store) LetterGroups(ctx context.Context, f LetterFilter) ([]LetterGroup, error) {
	where, err := f.conditions()
	if err != nil {
		return nil, err
	}
	// Grouped by the path as it is first: that is what the index holds, and the fingerprint is then taken of few.
	sql := `with causes as (select service, code, path, count(*) as count, min(first_failed_at) as first, max(failed_at) as last, max(id) as example
			from dead_letters where ` + where.text() + ` group by service, code, path)
		select service, code, ` + fingerprint + `, sum(count)::bigint as total, min(first), max(last), max(example)
		from causes group by 1, 2, 3 order by total desc, 1, 2, 3 limit ` + fmt.Sprint(maxGroups)
	groups, err := query(ctx, s, sql, pgx.RowToStructByPos[LetterGroup], where.args...)
	if err != nil {
		return nil, fmt.Errorf("group letters: %w", err)
	}
	return groups, nil
}

// query collects the rows of a query. It is planned for its arguments: a filter's parts differ too much in what they choose.
func query[T any](ctx context.Context, s *Store, sql string, scan pgx.RowToFunc[T], args ...any) ([]T, error) {
	rows, err := s.pool.Query(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}
