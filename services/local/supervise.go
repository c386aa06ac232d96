package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"orderflow/pkg/boot"
)

// program is what is kept running: an executable, its whole environment, and where its output goes.
type program struct {
	name string
	path string
	env  []string
	log  string // file
}

// keeper starts programs again when they die, and ends them with this process.
type keeper struct {
	console *console
	// inherited by every program: the end of a pipe whose other end this process holds, then a lock. When this process
	// dies, however it dies, the pipe ends and the program with it; the lock tells the next local that all have ended.
	pipe *os.File
	lock *os.File
}

const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 30 * time.Second
	// healthyAfter is how long a program must have run for its next death to count as the first again.
	healthyAfter = 30 * time.Second
	// stopWithin is what a program may take to stop; longer than a service's own grace, shorter than the promise that
	// nothing is left after 10 s.
	stopWithin = 8500 * time.Millisecond

	exitSettings = 2 // of boot.Main: no restart mends wrong settings
)

// keep runs the program until ctx ends, and starts it again when it dies. An error is one that starting again cannot mend.
func (k *keeper) keep(ctx context.Context, p program) error {
	wait := backoffMin
	for {
		started := time.Now()
		err := k.run(ctx, p)
		if ctx.Err() != nil {
			return nil
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == exitSettings {
			return fmt.Errorf("%s: its settings are wrong, see above (and %s)", p.name, p.log)
		}
		if time.Since(started) >= healthyAfter {
			wait = backoffMin
		}
		k.console.say("local", "%s ended (%v), starting it again in %v", p.name, reason(err), wait)
		if !pause(ctx, wait) {
			return nil
		}
		wait = min(2*wait, backoffMax)
	}
}

// run starts the program and waits for its end. When ctx ends it is asked to stop, and killed if it does not.
func (k *keeper) run(ctx context.Context, p program) error {
	log, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWithin
	cmd.Stdout, cmd.Stderr = log, log // files, not pipes: nobody waits for this process to read
	cmd.ExtraFiles = []*os.File{k.pipe, k.lock}
	cmd.Env = append([]string{boot.ParentPipe + "=" + strconv.Itoa(3)}, p.env...)
	// Its own process group: the terminal's Ctrl-C reaches this process only, which stops the programs in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Wait()
}

func reason(err error) string {
	if err == nil {
		return "by itself, without an error"
	}
	return err.Error()
}
