package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Texts runs one statement and returns the first column of its rows as text, without nulls. It is for tests outside
// pkg/store that have to see, or to age, what a table holds.
func Texts(t testing.TB, url, sql string) []string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var texts []string
	for rows.Next() {
		if raw := rows.RawValues(); len(raw) > 0 && raw[0] != nil {
			texts = append(texts, string(raw[0]))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return texts
}
