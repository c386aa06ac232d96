// Package pgserver runs a private PostgreSQL server from the installed programs, for `make run` and for tests: as an
// unprivileged user when this process is root, and never longer than this process lives, however it ends.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options of a server.
type Options struct {
	// Dir holds the cluster and survives restarts; it is made if missing. Without Addr its path must be short: a unix
	// socket's path has less than 108 bytes.
	Dir string
	// Addr is the loopback address, host:port, to listen on; the user then has a generated password (scram). Empty: only
	// a unix socket inside Dir, which only this user and root can enter, without a password.
	Addr string
	// Disposable leaves out fsync: for tests, whose data must survive a killed server but not the machine's end.
	Disposable bool
	// LogFile takes the server's own log; empty: the file "log" in Dir.
	LogFile string
}

const (
	userName    = "orderflow"
	startWithin = 60 * time.Second
	stopWithin  = 20 * time.Second
	socketLimit = 107
)

// Server is a prepared cluster that can be started and stopped any number of times.
type Server struct {
	opts       Options
	bin        string
	credential *syscall.Credential
	password   string
	handle     *os.File // the folder, for a server whose user may not enter those above it; else nil

	mu  sync.Mutex
	run *run
}

// New finds the programs and prepares the cluster in opts.Dir. It returns ErrNotInstalled if there are none.
func New(ctx context.Context, opts Options) (*Server, error) {
	bin, err := Find()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("prepare postgresql: %w", err)
	}
	opts.Dir = dir
	if opts.LogFile == "" {
		opts.LogFile = filepath.Join(dir, "log")
	}
	s := &Server{opts: opts, bin: bin}
	if s.credential, err = unprivileged(); err != nil {
		return nil, err
	}
	if opts.Addr == "" && len(filepath.Join(s.runDir(), ".s.PGSQL.5432.lock")) > socketLimit {
		return nil, errors.New("prepare postgresql: the folder's path is too long for a unix socket")
	}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare postgresql: %w", err)
	}
	return s, nil
}

// Start runs the server and returns once it answers. A running server is left as it is.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil && s.run.alive() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		r, err := s.launch()
		if err != nil {
			return fmt.Errorf("start postgresql: %w", err)
		}
		s.run = r
		err = s.answers(ctx, r)
		if err == nil {
			return nil
		}
		err = errors.Join(fmt.Errorf("start postgresql: %w", err), r.stop(syscall.SIGINT))
		// After a kill the orphans of the former server need a moment to see that they are.
		if !strings.Contains(r.lastWords(), "old server processes") || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the server fast, rolling back what is open; data is safe. Start may be called again.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return nil
	}
	return s.run.stop(syscall.SIGINT)
}

// Kill ends the postmaster as a crash would: for tests of what survives one.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return nil
	}
	return s.run.stop(syscall.SIGKILL)
}

// Done is closed when the server that was started last has ended, whyever. Before the first Start it is closed.
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return s.run.done
}

// PID is the postmaster's process id, 0 when it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil || !s.run.alive() {
		return 0
	}
	return s.run.cmd.Process.Pid
}

// URL is the libpq URL of one of the server's databases, with the password if there is one. The user owns everything.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", Path: "/" + database}
	if s.opts.Addr == "" {
		u.RawQuery = url.Values{"host": {s.runDir()}, "user": {userName}}.Encode()
		return u.String()
	}
	u.User = url.UserPassword(userName, s.password)
	u.Host = s.opts.Addr
	u.RawQuery = "sslmode=disable"
	return u.String()
}

// CreateDatabase creates a database if it does not exist yet.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	return s.maintain(ctx, "create database", func(conn *pgx.Conn) error {
		var exists bool
		err := conn.QueryRow(ctx, "select exists(select from pg_database where datname = $1)", name).Scan(&exists)
		if err == nil && !exists {
			_, err = conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize())
		}
		return err
	})
}

// CloseMaintenance lets only superusers connect to the databases that every new cluster has, where any login could otherwise
// make temporary tables and large objects. It may be repeated.
func (s *Server) CloseMaintenance(ctx context.Context) error {
	return s.maintain(ctx, "close the databases postgres and template1", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "revoke connect on database postgres, template1 from public")
		return err
	})
}

// DropDatabase drops a database, cutting the connections to it.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	return s.maintain(ctx, "drop database", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)")
		return err
	})
}

// maintain works in the database postgres, which every cluster has; doing says in its error what for.
func (s *Server) maintain(ctx context.Context, doing string, work func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := work(conn); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// answers waits until the server takes a connection, has ended, or ctx has.
func (s *Server) answers(ctx context.Context, r *run) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a stranger on the port may take the connection and say nothing
		select {
		case <-r.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if !r.alive() {
			return fmt.Errorf("it ended at once: %s", r.lastWords())
		}
		if ctx.Err() != nil {
			return fmt.Errorf("it does not answer: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *Server) dataDir() string { return filepath.Join(s.opts.Dir, "data") }
func (s *Server) runDir() string  { return filepath.Join(s.opts.Dir, "run") }

// owned makes a folder that only the server's user and root may enter.
func (s *Server) owned(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if s.credential == nil {
		return nil
	}
	return os.Chown(dir, int(s.credential.Uid), int(s.credential.Gid))
}
