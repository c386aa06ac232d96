package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"orderflow/pkg/store"
)

func TestClassify(t *testing.T) {
	state := func(code string) error { return fmt.Errorf("write: %w", &pgconn.PgError{Code: code}) }
	for _, c := range []struct {
		err  error
		want store.Class
	}{
		{state("22P05"), store.RowData}, // untranslatable character
		{state("22021"), store.RowData}, // NUL
		{state("22003"), store.RowData}, // numeric out of range
		{state("23505"), store.RowData}, // unique
		{state("23514"), store.RowData}, // check
		{state("54000"), store.RowData}, // too long for an index
		{state("54001"), store.Outage},  // statement too complex: ours
		{state("08006"), store.Outage},  // connection
		{state("40P01"), store.Outage},  // deadlock
		{state("53100"), store.Outage},  // disk full
		{state("57P01"), store.Outage},  // shut down
		{state("57014"), store.Outage},  // statement timeout
		{state("42P01"), store.Outage},  // not migrated
		{state("25006"), store.Outage},  // read only: a failed-over replica
		{state("28P01"), store.Outage},  // password
		{state("2"), store.Outage},      // no SQLSTATE at all
		{io.ErrUnexpectedEOF, store.Outage},
		{context.DeadlineExceeded, store.Outage},
		{errors.New("whatever"), store.Outage},
	} {
		if got := store.Classify(c.err); got != c.want {
			t.Errorf("%v: %d, wanted %d", c.err, got, c.want)
		}
	}
}

// PostgreSQL's messages quote the row; ours name the column only.
func TestDescribeQuotesNothing(t *testing.T) {
	err := fmt.Errorf("write: %w", &pgconn.PgError{
		Code: "23505", Message: `duplicate key value "13812345678"`, Detail: "Key (phone)=(13812345678) already exists.",
		TableName: "orders", ColumnName: "phone", ConstraintName: "orders_pkey",
	})
	text := store.Describe(err)
	if strings.Contains(text, "138") || !strings.Contains(text, "23505") || !strings.Contains(text, "orders_pkey") || !strings.Contains(text, "column phone") {
		t.Errorf("%q", text)
	}
	if text := store.Describe(io.ErrUnexpectedEOF); text != "unexpected EOF" {
		t.Errorf("%q", text)
	}
}

func TestSettings(t *testing.T) {
	for url, ok := range map[string]bool{
		"postgres://u:secret@127.0.0.1:5433/orderflow?sslmode=disable": true, "": true, "postgres://u:secret@h:port/x": false, "://secret": false,
	} {
		s := store.Settings{URL: url}
		err := s.Validate()
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := store.Open(t.Context(), "://secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("open: %v", err)
	}
	if err := store.Migrate(t.Context(), "://secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("migrate: %v", err)
	}
}
