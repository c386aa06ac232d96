package store

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SetNow replaces a writer's clock.
func (w *Writer) SetNow(now func() time.Time) { w.now = now }

// SalesQuery is asked how PostgreSQL executes it.
const SalesQuery = sales

// MendQueries are the mender's statements by name.
func MendQueries() map[string]string {
	return map[string]string{"dirty": dirtyRows, "count": countDirty, "forget": forgetRequests}
}

// Traced is a store on the same database that tells every statement before it runs.
func (s *Store) Traced(t testing.TB, tell func(sql string, args []any)) *Store {
	t.Helper()
	cfg := s.pool.Config()
	cfg.ConnConfig.Tracer = tracer(tell)
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &Store{pool: pool}
}

type tracer func(sql string, args []any)

func (f tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	f(data.SQL, data.Args)
	return ctx
}

func (tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Statements whose plans are tested.
const (
	NewestValidatedSQL = newestValidated
	NewestAtPartnerSQL = newestAtPartner
)

// ExpireLock keeps two expiries apart.
const ExpireLock = expireLock
