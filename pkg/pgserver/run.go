package pgserver

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// run is one life of the server process.
type run struct {
	cmd   *exec.Cmd
	done  chan struct{}
	log   string // file
	since int64  // where in it this life begins
}

// launch starts the process from a goroutine that keeps its OS thread until the process ends: the parent-death signal
// follows the thread that forked, not the process. SIGINT is a fast, clean shutdown. The server writes its log itself:
// a pipe would block it while this process is stopped.
func (s *Server) launch() (*run, error) {
	args, err := s.arguments()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(s.opts.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return nil, err
	}
	r := &run{cmd: s.command(context.Background(), "postgres", args...), done: make(chan struct{}), log: s.opts.LogFile, since: info.Size()}
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
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

// lastWords is the last line that this life of the server wrote.
func (r *run) lastWords() string {
	written, err := os.ReadFile(r.log)
	if err != nil || int64(len(written)) <= r.since {
		return "without a word"
	}
	return lastLine(written[r.since:])
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
