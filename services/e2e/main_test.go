//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// bin is the folder of the built services.
var bin string

func TestMain(m *testing.M) {
	if addr := os.Getenv(kfakeAddr); addr != "" {
		runKfake(addr) // this process is a broker, started by another run of this binary
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "of-e2e-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	args := []string{"build", "-o", bin, "./services/local", "./services/orderctl", "./services/sandbox", "./services/ingest", "./services/console", "./services/balance"}
	for _, worker := range workers {
		args = append(args, "./services/"+worker)
	}
	build := exec.Command("go", args...)
	build.Dir = root()
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the services: %v\n%s", err, out)
		return 1
	}
	go spawner()
	return m.Run()
}

// root is the folder of go.work.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

type start struct {
	cmd *exec.Cmd
	err chan error
}

var starts = make(chan start)

// spawner starts every child from one thread that never ends. A child is told to die with the thread that started it, so
// that no broker, frozen or not, outlives the tests, however they end.
func spawner() {
	runtime.LockOSThread()
	for s := range starts {
		if s.cmd.SysProcAttr == nil {
			s.cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		s.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
		s.err <- s.cmd.Start()
	}
}

func spawn(cmd *exec.Cmd) error {
	s := start{cmd, make(chan error)}
	starts <- s
	return <-s.err
}
