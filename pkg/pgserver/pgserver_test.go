package pgserver_test

import (
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/freeport"
	"orderflow/pkg/pgserver"
	"orderflow/pkg/pgtest"
)

// patience is how long a test waits for another process. It is long because the machine may be busy; nothing waits for it
// when all is well.
const patience = 3 * time.Minute

func TestStopStartKeepsData(t *testing.T) {
	s := pgtest.Server(t)
	exec1(t, s.URL("postgres"), "create table kept (n int); insert into kept values (7)")
	done := s.Done()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	<-done
	if s.PID() != 0 {
		t.Error("a stopped server has a process id")
	}
	if _, err := pgx.Connect(t.Context(), s.URL("postgres")); err == nil {
		t.Error("a stopped server answered")
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := queryInt(t, s.URL("postgres"), "select n from kept"); n != 7 {
		t.Errorf("n = %d", n)
	}
}

func TestKilledPostmasterRecovers(t *testing.T) {
	s := pgtest.Server(t)
	exec1(t, s.URL("postgres"), "create table kept (n int); insert into kept values (7); checkpoint")
	busy, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	asleep := make(chan error, 1)
	go func() {
		_, err := busy.Exec(t.Context(), "select pg_sleep(600)") // it outlives its postmaster for a moment
		asleep <- err
	}()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := queryInt(t, s.URL("postgres"), "select n from kept"); n != 7 {
		t.Errorf("n = %d", n)
	}
	if err := <-asleep; err == nil {
		t.Error("a statement outlived the server")
	}
}

func TestTCPWantsThePassword(t *testing.T) {
	dir := shortDir(t)
	addr := freeAddr(t)
	s, err := pgserver.New(t.Context(), pgserver.Options{Dir: dir, Addr: addr, Disposable: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop() }()
	if err := s.CreateDatabase(t.Context(), "orderflow"); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateDatabase(t.Context(), "orderflow"); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	if n := queryInt(t, s.URL("orderflow"), "select 1"); n != 1 {
		t.Errorf("n = %d", n)
	}
	u, err := url.Parse(s.URL("orderflow"))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), "wrong")
	if _, err := pgx.Connect(t.Context(), u.String()); err == nil || !strings.Contains(err.Error(), "28P01") {
		t.Errorf("wrong password: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "password"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v %v", info, err)
	}
	again, err := pgserver.New(t.Context(), pgserver.Options{Dir: dir, Addr: addr, Disposable: true})
	if err != nil {
		t.Fatal(err)
	}
	if again.URL("x") != s.URL("x") {
		t.Error("the password does not survive")
	}
}

func TestTakenPortIsAClearError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	s, err := pgserver.New(t.Context(), pgserver.Options{Dir: shortDir(t), Addr: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "ended at once") {
		t.Errorf("start on a taken port: %v", err)
	}
}

// A clone in root's home, or under any other folder that the server's user may not enter, works all the same.
func TestBelowAPrivateFolder(t *testing.T) {
	private := shortDir(t) // mode 0700
	log := filepath.Join(private, "log")
	s, err := pgserver.New(t.Context(), pgserver.Options{Dir: filepath.Join(private, "a", "pg"), Addr: freeAddr(t), LogFile: log, Disposable: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		exec1(t, s.URL("postgres"), "create table if not exists kept (n int); insert into kept values (7); checkpoint")
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "ready to accept connections") {
		t.Errorf("log: %q %v", text, err)
	}
}

func TestMissingPrograms(t *testing.T) {
	t.Setenv(pgserver.BinEnv, t.TempDir())
	if _, err := pgserver.Find(); err == nil || !strings.Contains(err.Error(), pgserver.BinEnv) {
		t.Errorf("Find in an empty folder: %v", err)
	}
	if !strings.Contains(pgserver.ErrNotInstalled.Error(), "apt-get install postgresql") {
		t.Error("ErrNotInstalled does not say what to install")
	}
}

func TestTooLongSocketPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	if _, err := pgserver.New(t.Context(), pgserver.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("New: %v", err)
	}
}

// TestServerDiesWithItsParent starts this test binary again as a parent that is then killed as hard as can be.
func TestServerDiesWithItsParent(t *testing.T) {
	const parentDir = "PGSERVER_TEST_PARENT_DIR"
	if dir := os.Getenv(parentDir); dir != "" {
		beParent(t, dir)
		return
	}
	dir := shortDir(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestServerDiesWithItsParent$")
	cmd.Env = append(os.Environ(), parentDir+"="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := awaitPID(t, filepath.Join(dir, "pid"))
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	deadline := time.Now().Add(patience)
	for !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) && !zombie(pid) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the server outlived its parent")
		}
		<-time.After(10 * time.Millisecond)
	}
}

func beParent(t *testing.T, dir string) {
	s, err := pgserver.New(t.Context(), pgserver.Options{Dir: dir, Disposable: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "pid.part")
	if err := os.WriteFile(half, []byte(strconv.Itoa(s.PID())), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(half, filepath.Join(dir, "pid")); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
}

func awaitPID(t *testing.T, path string) int {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		if text, err := os.ReadFile(path); err == nil {
			pid, err := strconv.Atoi(string(text))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
		if time.Now().After(deadline) {
			t.Fatal("the server did not start")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// zombie tells whether a process has ended and only waits to be reaped by whoever adopted it.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "of-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// freeAddr is an address that stays free although a server has a cluster to make before it listens there.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func exec1(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func queryInt(t *testing.T, url, sql string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var n int
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
