package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/freeport"
	"orderflow/pkg/store"
)

// patience is long because the machine may be busy: a stack is several processes and a database that is made first. Nothing
// waits for it when all is well.
const patience = 3 * time.Minute

// running is a started local in a folder of its own.
type running struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	out  lockedBuffer
	done chan struct{}

	refused bool // it never had services of its own; those in its folder are another's
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// bin makes a folder with local, orderctl and every service, all of them this test binary.
var bin = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "of-local-bin-")
	if err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	names := []string{"local", "orderctl"}
	for _, s := range services {
		names = append(names, s.name)
	}
	for _, name := range names {
		if err := os.Link(self, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return dir, nil
})

// freePorts finds n consecutive loopback addresses, which stay free until local takes them, seconds later.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	first, err := freeport.Next(n)
	if err != nil {
		t.Fatal(err)
	}
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = net.JoinHostPort("127.0.0.1", strconv.Itoa(first+i))
	}
	return addrs
}

// start runs local with fake services; without backends unless the settings say so.
func start(t *testing.T, dir string, settings ...string) *running {
	t.Helper()
	programs, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, dir: dir, cmd: exec.Command(filepath.Join(programs, "local")), done: make(chan struct{})}
	ports := freePorts(t, 6+len(services))
	r.cmd.Dir = dir
	_ = os.Remove(filepath.Join(dir, stateDir, "env")) // of a local before this one
	r.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "DEMO=0", "STRAY=secret",
		"INGEST_ADDR=" + ports[0], "SANDBOX_ADDR=" + ports[1], "KAFKA_ADDR=" + ports[2], "POSTGRES_ADDR=" + ports[3], "CONSOLE_ADDR=" + ports[4], "REGISTRY_ADDR=" + ports[5], "OPS_ADDR=" + ports[6],
		"KAFKA_BROKERS=127.0.0.1:1", "DATABASE_URL=postgres://u:p@127.0.0.1:1/d", "SCHEMA_REGISTRY_URL=http://127.0.0.1:1",
	}, settings...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = r.cmd.Wait(); close(r.done) }()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.done
		if !r.refused {
			r.nothingLeft()
		}
		if t.Failed() {
			t.Logf("local in %s said:\n%s", dir, r.out.String())
		}
	})
	return r
}

// up waits for .local/env and returns what a shell has after sourcing it.
func (r *running) up() map[string]string {
	r.t.Helper()
	path := filepath.Join(r.dir, stateDir, "env")
	eventually(r.t, patience, "local is up", func() error {
		select {
		case <-r.done:
			r.t.Fatalf("local ended:\n%s", r.out.String())
		default:
		}
		_, err := os.Stat(path)
		return err
	})
	out, err := exec.Command("env", "-i", "sh", "-c", `. "$0" && /usr/bin/env`, path).Output()
	if err != nil {
		r.t.Fatalf("source %s: %v", path, err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		env[name] = value
	}
	return env
}

// ended waits for local's end and returns its exit status.
func (r *running) ended() int {
	r.t.Helper()
	select {
	case <-r.done:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		r.t.Fatal("local did not end")
		return -1
	}
}

func (r *running) signal(signal syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(signal); err != nil {
		r.t.Fatal(err)
	}
}

// pid of a fake service, once it is another than the given one.
func (r *running) pid(name string, not int) int {
	r.t.Helper()
	var pid int
	eventually(r.t, patience, name+" runs", func() error {
		text, err := os.ReadFile(filepath.Join(r.dir, name+".pid"))
		if err != nil {
			return err
		}
		if pid, err = strconv.Atoi(string(text)); err != nil {
			return err
		}
		if pid == not {
			return fmt.Errorf("still process %d", pid)
		}
		return nil
	})
	return pid
}

// nothingLeft waits until no process of this stack lives: each works in its folder, PostgreSQL below it, which goes on for a
// while after local and writes there.
func (r *running) nothingLeft() {
	r.t.Helper()
	dir, err := filepath.EvalSymlinks(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, patience, "nothing of the stack is left", func() error {
		folders, err := filepath.Glob("/proc/[0-9]*/cwd")
		for _, folder := range folders {
			if at, gone := os.Readlink(folder); gone == nil && (at == dir || strings.HasPrefix(at, dir+"/")) {
				return fmt.Errorf("%s is %s", folder, at)
			}
		}
		if server := r.server(); err == nil && server != 0 { // whose folder may be hidden: it has another user under root
			err = stillThere(server)
		}
		return err
	})
}

// alive tells whether a process runs; one that only waits to be reaped by whoever adopted it does not.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		if !pause(ctx, 20*time.Millisecond) {
			t.Errorf("%s: not within %v: %v", what, within, err)
			return
		}
	}
}

// said tells whether local has printed a text.
func (r *running) said(text string) error {
	if out := r.out.String(); !strings.Contains(out, text) {
		return fmt.Errorf("local did not say %q:\n%s", text, out)
	}
	return nil
}

func stillThere(pid int) error {
	if alive(pid) {
		return fmt.Errorf("process %d lives", pid)
	}
	return nil
}

// postmaster is the process id of the private PostgreSQL, once it is another than the given one.
func (r *running) postmaster(not int) int {
	r.t.Helper()
	var pid int
	eventually(r.t, patience, "PostgreSQL runs", func() error {
		if pid = r.server(); pid == 0 || pid == not {
			return fmt.Errorf("process %d, not another than %d", pid, not)
		}
		return nil
	})
	return pid
}

// server is the process id that the private PostgreSQL left in its folder, 0 if there is none.
func (r *running) server() int {
	text, err := os.ReadFile(filepath.Join(r.dir, stateDir, "postgres", "data", "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return pid
}

// useBackends proves that broker and database of a stack work for whoever has its .local/env.
func useBackends(t *testing.T, env map[string]string) {
	t.Helper()
	if err := store.Migrate(t.Context(), env["DATABASE_URL"]); err != nil {
		t.Error(err)
	}
	client, err := bus.NewClient(bus.Settings{Brokers: []string{env["KAFKA_BROKERS"]}}, zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := bus.Apply(t.Context(), client); err != nil {
		t.Error(err)
	}
	differences, err := bus.Check(t.Context(), client)
	if err != nil || len(differences) > 0 {
		t.Errorf("topics: %v %v", differences, err)
	}
}

// registerSchema proves that the registry of a stack works for whoever has its .local/env, and gives the schema's id.
func registerSchema(t *testing.T, env map[string]string, text string) int {
	t.Helper()
	client, err := sr.NewClient(sr.URLs(env["SCHEMA_REGISTRY_URL"]))
	if err != nil {
		t.Fatal(err)
	}
	var id int
	eventually(t, patience, "the registry takes a schema", func() (err error) {
		id, err = client.RegisterSchema(t.Context(), "local-value", sr.Schema{Schema: text}, -1, -1)
		return err
	})
	return id
}

// Who gave a server that does not answer is told which setting that was.
func TestNextOfGiven(t *testing.T) {
	for want, cfg := range map[string]settings{
		"":                                {},
		"KAFKA_BROKERS names":             {Brokers: "127.0.0.1:1"},
		"DATABASE_URL and KAFKA_BROKERS ": {Brokers: "127.0.0.1:1", Database: "postgres://secret@127.0.0.1:1"},
	} {
		err := (&stack{cfg: cfg}).nextOfGiven()
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
