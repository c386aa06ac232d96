package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// AuditEntry is one line of the audit: who did what to what, and why. ID and At are given by the database.
type AuditEntry struct {
	ID     int64
	At     time.Time
	Who    string
	Action string
	Object string // such as "letter 7" or "replay 3"
	Reason string
}

// executor is a pool or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func addAudit(ctx context.Context, db executor, e AuditEntry) error {
	_, err := db.Exec(ctx, `insert into audit (who, action, object, reason) values ($1, $2, $3, $4)`, e.Who, e.Action, e.Object, e.Reason)
	return err
}

// AddAudit writes an entry about something that changes no row, such as an attempt that was refused. What changes rows
// writes its entry in the same transaction.
func (s *Store) AddAudit(ctx context.Context, e AuditEntry) error {
	if err := addAudit(ctx, s.pool, e); err != nil {
		return fmt.Errorf("write audit: %w", err)
	}
	return nil
}

// Audit lists the entries, newest first, at most limit. Next is the cursor of what follows, "" at the end.
func (s *Store) Audit(ctx context.Context, cursor string, limit int) (entries []AuditEntry, next string, err error) {
	before, err := idCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	entries, err = query(ctx, s, `select id, at, who, action, object, reason from audit where id < $1 order by id desc limit $2`,
		pgx.RowToStructByPos[AuditEntry], before, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list audit: %w", err)
	}
	if len(entries) > limit {
		entries = entries[:limit]
		next = cursorOf(time.UnixMicro(0), entries[limit-1].ID)
	}
	return entries, next, nil
}

// idCursor reads a cursor of a list that is sorted by number alone.
func idCursor(cursor string) (before int64, err error) {
	if cursor == "" {
		return 1<<63 - 1, nil
	}
	_, before, err = readCursor(cursor)
	return before, err
}
