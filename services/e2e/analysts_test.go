//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

// analystsAgree reads orders.v1 as schemas/README.md tells analysts to: with its Python program, and with DuckDB from an export.
// What they sum up is PostgreSQL's, to the last digit, and they tell of so many records that are not orders.
func (s *stack) analystsAgree(want map[string]decimal.Decimal, foreign int) {
	s.t.Helper()
	said := s.python(readmeProgram(s.t))
	s.sameSums("Python", said, want)
	if !strings.Contains(said, fmt.Sprintf("orders, %d that are not orders\n", foreign)) || strings.Count(said, "not an order: orders.v1/") != foreign {
		s.t.Errorf("Python tells of other foreign records than %d:\n%s", foreign, said)
	}

	out := filepath.Join(s.t.TempDir(), "orders.parquet")
	now := time.Now().UTC()
	said, err := s.tryOrderctl("", "orders", "export", "--incomplete", "--out", out,
		"--from", now.Add(-2*time.Hour).Format("2006-01-02T15"), "--to", now.Add(2*time.Hour).Format("2006-01-02T15"))
	s.t.Log(said)
	ended, _ := errors.AsType[*exec.ExitError](err)
	if ended == nil || ended.ExitCode() != 3 || !strings.Contains(said, fmt.Sprintf("%d records are not what their topic promises", foreign)) {
		s.t.Errorf("the export ends with %v, and tells of other foreign records than %d", err, foreign)
	}
	duck := func(query string) string {
		return s.python("import duckdb, sys\nfor row in duckdb.execute(sys.argv[1], [sys.argv[2]]).fetchall(): print(*row)", query, out)
	}
	s.sameSums("DuckDB", duck("select source, currency, sum(total) from read_parquet(?) group by all"), want)

	var lines, amount, quantity string
	if got := duck("select count(*), min(received_at) > '2020-01-01'::timestamptz, min(received_at) from read_parquet(?)"); !strings.Contains(got, " True 20") {
		s.t.Errorf("times in DuckDB: %s", got)
	}
	err = s.pool.QueryRow(s.t.Context(), "select count(*)::text, sum(amount)::text, sum(quantity)::text from analytics.order_lines").Scan(&lines, &amount, &quantity)
	if err != nil {
		s.t.Fatal(err)
	}
	got := strings.Fields(duck("select count(*), sum(l.amount), sum(l.quantity) from (select unnest(lines) as l from read_parquet(?))"))
	if len(got) != 3 || got[0] != lines || !sameAmount(got[1], amount) || !sameAmount(got[2], quantity) {
		s.t.Errorf("the lines in DuckDB: %q, in PostgreSQL: %s %s %s", got, lines, amount, quantity)
	}
}

// sameSums holds lines of source, currency and sum against sums by source; other lines are left out.
func (s *stack) sameSums(name, lines string, want map[string]decimal.Decimal) {
	s.t.Helper()
	got := map[string]decimal.Decimal{}
	for line := range strings.Lines(lines) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[1] == "CNY" {
			sum, err := decimal.NewFromString(fields[2])
			if err != nil {
				s.t.Errorf("%s: %q: %v", name, line, err)
			}
			got[fields[0]] = sum
		}
	}
	if len(want) != len(final) || !maps.EqualFunc(got, want, decimal.Decimal.Equal) {
		s.t.Errorf("%s sums %v, PostgreSQL %v; it said:\n%s", name, got, want, lines)
	}
}

// readmeProgram is the Python program of schemas/README.md.
func readmeProgram(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), "schemas", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(text), "```python\n")[1:] {
		if program, _, _ := strings.Cut(block, "```"); strings.Contains(program, "confluent_kafka") {
			return program
		}
	}
	t.Fatal("schemas/README.md shows no program that uses confluent_kafka")
	return ""
}

// python runs a program with the packages of deploy/python and the stack's settings.
func (s *stack) python(program string, args ...string) string {
	s.t.Helper()
	interpreter := filepath.Join(root(), "deploy", "python", "venv", "bin", "python")
	if _, err := os.Stat(interpreter); err != nil {
		s.t.Fatalf("no Python packages, run deploy/python/install.sh: %v", err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter, append([]string{"-c", program}, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.t.TempDir(), "LANG=C.UTF-8"}, s.env...)
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("python: %v\n%s", err, told.String())
	}
	return string(out)
}
