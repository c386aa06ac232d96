package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"orderflow/pkg/boot"
)

// Pace of starting a child again.
const (
	restartFirst = 200 * time.Millisecond
	restartLast  = 5 * time.Second
	healthyAfter = 5 * time.Second
)

// child is a process that is started again whenever it dies, unless it is held down.
type child struct {
	name string
	args []string
	env  []string
	log  string   // file
	pipe *os.File // its end is the child's end; nil for programs that know no such pipe

	mu      sync.Mutex
	cmd     *exec.Cmd
	done    chan struct{} // closed when cmd has ended
	held    bool          // stays down
	ending  bool          // for good
	frozen  bool
	planned bool // the next death is ours
	starts  int
	deaths  int // that nobody planned
	over    chan struct{}
}

// start runs the child and keeps it running.
func (c *child) start() error {
	if err := c.launch(); err != nil {
		return err
	}
	c.over = make(chan struct{})
	go c.keep()
	return nil
}

func (c *child) launch() error {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8"}, c.env...)
	if c.pipe != nil {
		cmd.ExtraFiles = []*os.File{c.pipe}
		cmd.Env = append(cmd.Env, boot.ParentPipe+"="+strconv.Itoa(3))
	}
	cmd.Stdout, cmd.Stderr = log, log
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return errors.New("stopping")
	}
	if err := spawn(cmd); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	c.cmd, c.done, c.frozen, c.planned = cmd, done, false, false
	c.starts++
	return nil
}

// keep starts the child again when it dies, with a growing pause after deaths in a row.
func (c *child) keep() {
	defer close(c.over)
	wait := restartFirst
	for {
		c.mu.Lock()
		done, since := c.done, time.Now()
		c.mu.Unlock()
		<-done
		c.mu.Lock()
		if c.ending {
			c.mu.Unlock()
			return
		}
		if !c.planned {
			c.deaths++
		}
		if c.planned || time.Since(since) > healthyAfter {
			wait = restartFirst
		}
		c.mu.Unlock()
		time.Sleep(wait)
		wait = min(2*wait, restartLast)
		for c.down() {
			time.Sleep(20 * time.Millisecond)
		}
		for c.launch() != nil {
			if c.stopping() {
				return
			}
			time.Sleep(restartLast)
		}
	}
}

func (c *child) down() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held && !c.ending
}

func (c *child) stopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

// kill is kill -9; the child comes back by itself, or once it is released if it is to stay down.
func (c *child) kill(stayDown bool) {
	c.mu.Lock()
	c.planned, c.held = true, stayDown
	done := c.done
	_ = c.cmd.Process.Kill()
	c.mu.Unlock()
	<-done
}

// release lets a held child come back.
func (c *child) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
}

func (c *child) freeze() { c.signal(syscall.SIGSTOP, true) }
func (c *child) thaw()   { c.signal(syscall.SIGCONT, false) }

func (c *child) signal(sig syscall.Signal, frozen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd.Process.Signal(sig) == nil {
		c.frozen = frozen
	}
}

// heal undoes whatever was done to the child.
func (c *child) heal() {
	c.release()
	c.thaw()
}

// end stops the child for good: gracefully if it may take that long, else with force.
func (c *child) end(grace time.Duration) {
	c.mu.Lock()
	c.ending = true
	cmd, done := c.cmd, c.done
	c.mu.Unlock()
	_ = cmd.Process.Signal(syscall.SIGCONT)
	if grace > 0 {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(grace):
		}
	}
	_ = cmd.Process.Kill()
	<-done
	<-c.over
}

// unplanned counts the deaths that the script did not cause.
func (c *child) unplanned() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deaths
}

type launch struct {
	cmd *exec.Cmd
	err chan error
}

var launches = make(chan launch)

// spawner starts every child from one thread that never ends: a child is told to die with the thread that started it, so
// that none of them, frozen or not, outlives this process, however it ends.
func spawner() {
	runtime.LockOSThread()
	for l := range launches {
		if l.cmd.SysProcAttr == nil {
			l.cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		l.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
		l.cmd.SysProcAttr.Setpgid = true // Ctrl-C reaches this process only, which stops the others in order
		l.err <- l.cmd.Start()
	}
}

func spawn(cmd *exec.Cmd) error {
	l := launch{cmd, make(chan error)}
	launches <- l
	return <-l.err
}

func tail(path string, lines int) []byte {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return []byte(err.Error())
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}
