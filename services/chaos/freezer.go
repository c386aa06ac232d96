package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// thawPIDs makes a run of this binary the guard of frozen processes: when its standard input ends, so when whoever froze
// them is done or dead, they go on.
const thawPIDs = "ORDERFLOW_CHAOS_THAW"

// freezer holds a process and its children frozen.
type freezer struct {
	guard *exec.Cmd
	hold  io.Closer
}

// freeze stops a process and its children, a PostgreSQL with its backends, so that they answer nothing. They would stay so
// for ever if this process died: a guard thaws them then.
func freeze(pid int) (*freezer, error) {
	if pid == 0 {
		return nil, fmt.Errorf("freeze: there is no process")
	}
	f := &freezer{}
	_ = syscall.Kill(pid, syscall.SIGSTOP) // it starts no more children
	pids := append(children(pid), pid)
	self, err := os.Executable()
	if err == nil {
		f.guard = exec.Command(self)
		f.guard.Env = []string{thawPIDs + "=" + join(pids)}
		f.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if f.hold, err = f.guard.StdinPipe(); err == nil {
			err = f.guard.Start()
		}
	}
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGCONT)
		return nil, fmt.Errorf("freeze: %w", err)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	return f, nil
}

func (f *freezer) thaw() {
	_ = f.hold.Close()
	_ = f.guard.Wait()
}

// guardFrozen is the guard's part; it tells whether this process is one.
func guardFrozen() bool {
	list := os.Getenv(thawPIDs)
	if list == "" {
		return false
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, text := range strings.Split(list, ",") {
		if pid, err := strconv.Atoi(text); err == nil {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	return true
}

func children(pid int) []int {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

func join(pids []int) string {
	texts := make([]string, len(pids))
	for i, pid := range pids {
		texts[i] = strconv.Itoa(pid)
	}
	return strings.Join(texts, ",")
}
