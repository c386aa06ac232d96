package pgserver

import (
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// run is one life of the server process.
type run struct {
	cmd  *exec.Cmd
	done chan struct{}
	tail *tail
}

// launch starts the process from a goroutine that keeps its OS thread until the process ends: the parent-death signal
// follows the thread that forked, not the process. SIGINT is a fast, clean shutdown.
func (s *Server) launch() (*run, error) {
	args, err := s.arguments()
	if err != nil {
		return nil, err
	}
	r := &run{done: make(chan struct{}), tail: &tail{next: s.opts.Log}}
	r.cmd = exec.Command(filepath.Join(s.bin, "postgres"), args...) //nolint:gosec // found by Find
	r.cmd.Dir = s.runDir()
	r.cmd.Stdout, r.cmd.Stderr = r.tail, r.tail
	r.cmd.WaitDelay = time.Second
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Setpgid: true, Pdeathsig: syscall.SIGINT}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer close(r.done)
		err := r.cmd.Start()
		started <- err
		if err == nil {
			_ = r.cmd.Wait()
		}
	}()
	return r, <-started
}

func (r *run) alive() bool {
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// stop sends the signal and waits for the end, with force at last.
func (r *run) stop(signal syscall.Signal) error {
	if !r.alive() {
		return nil
	}
	_ = r.cmd.Process.Signal(signal)
	select {
	case <-r.done:
		return nil
	case <-time.After(stopWithin):
		_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
		<-r.done
		return errors.New("stop postgresql: it did not end in time and was killed")
	}
}

// lastWords is the last line that the server wrote.
func (r *run) lastWords() string { return lastLine(r.tail.bytes()) }

// tail passes the server's log on and keeps its end.
type tail struct {
	mu   sync.Mutex
	next io.Writer
	kept []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > tailSize {
		t.kept = append([]byte(nil), t.kept[len(t.kept)-tailSize:]...)
	}
	return t.next.Write(p)
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), t.kept...)
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
