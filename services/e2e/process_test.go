//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"orderflow/pkg/freeport"
)

// patience is how long a journey waits for what must happen. It is long because the machine may be busy; nothing waits for
// it when all is well.
const patience = 3 * time.Minute

// process is a child with its log file.
type process struct {
	t    testing.TB
	name string
	args []string
	env  []string
	log  string
	cwd  string // "" is the tests' own

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// launch starts a child; it is killed when the test ends, and its last words are shown if the test failed.
func launch(t testing.TB, dir, name string, env []string, command string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, args: append([]string{command}, args...), env: env, log: filepath.Join(dir, name+".log")}
	p.launch()
	return p
}

func (p *process) launch() {
	p.t.Helper()
	p.start()
	p.t.Cleanup(func() {
		p.kill()
		if p.t.Failed() {
			p.t.Logf("%s, last words:\n%s", p.name, tail(p.log, 25))
		}
	})
}

func (p *process) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8"}, p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = p.cwd
	if err := spawn(cmd); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
}

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// stop asks for a graceful end and gives the exit status.
func (p *process) stop() int {
	p.end(syscall.SIGTERM)
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) end(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Errorf("%s did not end within %s of %v", p.name, patience, sig)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

func (p *process) thaw() { p.signal(syscall.SIGCONT) }

// freeze stops every thread of the process. The signal's sender goes on before the threads have stopped, and a broker
// answers in milliseconds: it waits for each thread's state.
func (p *process) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	eventually(p.t, patience, p.name+" stands still", func() error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		if err != nil || len(threads) == 0 {
			return errors.Join(fmt.Errorf("%s has no threads to look at", p.name), err)
		}
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			if err != nil {
				return fmt.Errorf("read a thread's state: %w", err)
			}
			if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
				return fmt.Errorf("a thread of %s runs: %.10q", p.name, state)
			}
		}
		return nil
	})
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%v to %s: %v", sig, p.name, err)
	}
}

// alive tells whether the process still runs.
func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// once runs a command to its end and gives what it printed.
func once(t testing.TB, env []string, command string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8"}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", filepath.Base(command), args, err, out)
	}
	return string(out)
}

// eventually polls until check is content or patience ends.
func eventually(t testing.TB, within time.Duration, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, within, err)
		case <-ticker.C:
		}
	}
}

// httpOK asks for a page and is content with 200.
func httpOK(url string) error {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		body := make([]byte, 500)
		n, _ := answer.Body.Read(body)
		return fmt.Errorf("%s: %s", answer.Status, body[:n])
	}
	return nil
}

// freeAddr finds a loopback address that stays free until a service takes it, seconds later.
func freeAddr(t testing.TB) string {
	t.Helper()
	return freeAddrs(t, 1)
}

// freeAddrs finds the first of n addresses with consecutive ports.
func freeAddrs(t testing.TB, n int) string {
	t.Helper()
	first, err := freeport.Next(n)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(first))
}

func tail(path string, lines int) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}
