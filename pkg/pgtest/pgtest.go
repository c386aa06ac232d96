// Package pgtest gives tests a real PostgreSQL: one private server for a test process, a fresh database for each test.
package pgtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"orderflow/pkg/pgserver"
)

var (
	shared = sync.OnceValues(func() (*pgserver.Server, error) {
		dir, err := tempDir()
		if err != nil {
			return nil, err
		}
		s, err := start(dir)
		if err != nil {
			return nil, err
		}
		return s, removeAtEnd(dir, s.PID())
	})
	databases atomic.Int64
	lifeline  io.Closer // kept reachable: collecting it would end the pipe of removeAtEnd early
)

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
func removeAtEnd(dir string, pid int) error {
	script := fmt.Sprintf(`while read -r _; do :; done; for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 %d 2>/dev/null || break; sleep 0.2; done; rm -rf "$1"`, pid)
	cmd := exec.Command("sh", "-c", script, "sh", dir) //nolint:gosec // our own folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if lifeline, err = cmd.StdinPipe(); err != nil {
		return fmt.Errorf("watch for the end of the tests: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("watch for the end of the tests: %w", err)
	}
	return nil
}
