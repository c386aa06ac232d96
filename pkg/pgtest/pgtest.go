// Package pgtest gives tests a real PostgreSQL: one private server for a test process, a fresh database for each test.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/pgserver"
)

var (
	shared    = sync.OnceValues(startShared)
	databases atomic.Int64
)

// sharedServer is the server of the test process.
type sharedServer struct {
	*pgserver.Server
	lifeline io.Closer // kept reachable: collecting it would end the pipe of removeAtEnd early
}

func startShared() (*sharedServer, error) {
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	s, err := start(dir)
	if err == nil {
		err = keepStatistics(s)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	lifeline, err := removeAtEnd(dir, s.PID())
	return &sharedServer{s, lifeline}, err
}

// keepStatistics has no table analysed behind a test's back: its plans would be others in a test that takes longer.
func keepStatistics(s *pgserver.Server) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range []string{"alter system set autovacuum = off", "select pg_reload_conf()"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// New returns the DATABASE_URL of a fresh, empty database on the test process's own server. The database goes with the
// test, the server with the process.
func New(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("private postgresql: %v", err)
	}
	name := "test_" + strconv.FormatInt(databases.Add(1), 10)
	if err := s.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return s.URL(name)
}

// Server returns a started server of the test's own, for tests that stop, kill or start it. It has the database
// "postgres" only; see CreateDatabase.
func Server(t testing.TB) *pgserver.Server {
	t.Helper()
	dir, err := tempDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s, err := start(dir)
	if err != nil {
		t.Fatalf("private postgresql: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tempDir is short, unlike a test's own temporary folder: a unix socket's path is limited.
func tempDir() (string, error) { return os.MkdirTemp("", "of-pg-") }

func start(dir string) (*pgserver.Server, error) {
	s, err := pgserver.New(context.Background(), pgserver.Options{Dir: dir, Disposable: true})
	if err != nil {
		return nil, err
	}
	return s, s.Start(context.Background())
}

// removeAtEnd leaves a shell behind that removes the folder once this process, and with it the server, has ended: nothing
// inside a test process runs at its very end. The shell reads a pipe that ends with this process.
func removeAtEnd(dir string, pid int) (lifeline io.Closer, err error) {
	script := fmt.Sprintf(`while read -r _; do :; done; for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 %d 2>/dev/null || break; sleep 0.2; done; rm -rf "$1"`, pid)
	cmd := exec.Command("sh", "-c", script, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lifeline, err = cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("watch for the end of the tests: %w", err)
	}
	return lifeline, nil
}

// Rows gives the rows of a query as texts, columns joined by a blank: for tests that look at what was stored.
func Rows(t testing.TB, url, sql string, args ...any) []string {
	t.Helper()
	ctx := context.Background() // also in a cleanup
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		return strings.TrimSuffix(fmt.Sprintln(values...), "\n"), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}
