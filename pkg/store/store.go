// Package store is the only SQL of the house: PostgreSQL through pgx. Everything it writes is idempotent, so that a
// redelivery changes nothing; everything personal is encrypted before it reaches a table.
package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"orderflow/pkg/privacy"
)

// Settings of the database.
type Settings struct {
	URL string `env:"DATABASE_URL,required" doc:"PostgreSQL as a libpq URL, postgres://user:password@host:port/database"`
}

// Validate checks the URL's syntax; it never prints it, since it holds a password.
func (s *Settings) Validate() error {
	if s.URL == "" {
		return nil // reported as missing already
	}
	if _, err := pgxpool.ParseConfig(s.URL); err != nil {
		return errors.New("DATABASE_URL: not a libpq connection URL")
	}
	return nil
}

// Store is a pool of connections. It is safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	content atomic.Pointer[privacy.ContentKey] // nil until it was read
}

const (
	connectTimeout = 5 * time.Second
	// statementTimeout bounds a statement on the server's side, so that a cut client leaves no lock behind for long.
	statementTimeout = "30000"
	maxConns         = 8
)

// Open makes a store for the database at url. It does not connect yet, so that a process starts while the database is
// away; see Ping. It fails only on an unusable URL.
func Open(ctx context.Context, url string) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("open database: not a libpq connection URL")
	}
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	params := cfg.ConnConfig.RuntimeParams
	params["timezone"] = "UTC"
	if params["statement_timeout"] == "" {
		params["statement_timeout"] = statementTimeout
	}
	if params["application_name"] == "" {
		params["application_name"] = "orderflow"
	}
	if cfg.MaxConns < maxConns {
		cfg.MaxConns = maxConns
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return &Store{pool: pool}, nil
}

// Close ends all connections.
func (s *Store) Close() { s.pool.Close() }

// Ping tells whether the database answers and has been migrated to what this program needs.
func (s *Store) Ping(ctx context.Context) error {
	var version int64
	err := s.pool.QueryRow(ctx, "select coalesce(max(version_id), 0) from goose_db_version where is_applied").Scan(&version)
	switch {
	case missingTable(err):
		version = 0
	case err != nil:
		return fmt.Errorf("ping database: %w", err)
	}
	if want := wantedVersion(); version < want {
		return fmt.Errorf("ping database: it is at migration %d, this program needs %d: run orderctl migrate", version, want)
	}
	return nil
}
