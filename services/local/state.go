package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// stateDir is where everything that survives lies, below the current folder.
const stateDir = ".local"

// state is the folder of one stack: its broker's and database's data, its secrets, its logs.
type state struct {
	dir  string   // absolute
	own  *os.File // locked by this process: one local a folder
	kin  *os.File // locked by this process and every service that inherits it
	used bool     // the stack that ran here before was killed
}

// servicesEnd is how long the services of a killed local may take until the last one has ended.
const servicesEnd = 30 * time.Second

// openState makes the folder and takes it for this process.
func openState(ctx context.Context) (*state, error) {
	dir, err := filepath.Abs(stateDir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", stateDir, err)
	}
	s := &state{dir: dir}
	for _, sub := range []string{"", "logs"} {
		if err := os.MkdirAll(s.path(sub), 0o700); err != nil {
			return nil, fmt.Errorf("open %s: %w", stateDir, err)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder, and only ours
		return nil, fmt.Errorf("open %s: %w", stateDir, err)
	}
	if s.own, err = lock(s.path("lock")); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another local runs in this folder (it holds %s): stop it first, or run this one in another clone", s.path("lock"))
	} else if err != nil {
		return nil, err
	}
	_, err = os.Stat(s.path("env"))
	s.used = err == nil
	if err := os.RemoveAll(s.path("env")); err != nil { // it tells of a stack that is gone
		return nil, fmt.Errorf("open %s: %w", stateDir, err)
	}
	if s.kin, err = lockWithin(ctx, s.path("lock.services"), servicesEnd); err != nil {
		return nil, fmt.Errorf("services of a killed local are still running in this folder: %w", err)
	}
	return s, nil
}

// path of something in the folder.
func (s *state) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

// lock opens and locks a file; the lock lasts until every process that inherited the file has ended.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

func lockWithin(ctx context.Context, path string, patience time.Duration) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		f, err := lock(path)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) {
			return f, err
		}
		if !pause(ctx, 50*time.Millisecond) {
			return nil, err
		}
	}
}

// pause waits; it is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// writeFile replaces a file at once, so that a reader never sees half of it; only this user may read it.
func writeFile(path string, content []byte) error {
	part := path + ".part"
	if err := os.WriteFile(part, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
