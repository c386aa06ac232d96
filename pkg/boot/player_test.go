package boot

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
)

// patience is how long a test waits for a process. It is long because the machine may be busy; nothing waits for it when all is well.
const patience = 60 * time.Second

// The test binary plays the service: what Main does to a process can only be seen from outside of it.
func TestMain(m *testing.M) {
	if mode := os.Getenv("BOOT_TEST_MODE"); mode != "" {
		var cfg struct {
			Settings
			Mode string `env:"BOOT_TEST_MODE" doc:"what the service does"`
		}
		Main("player", &cfg, play)
		return
	}
	os.Exit(m.Run())
}

func play(ctx context.Context, p *Process) error {
	switch os.Getenv("BOOT_TEST_MODE") {
	case "fail":
		return errors.New("broker away")
	case "cancelled by itself":
		return context.Canceled
	case "deaf":
		p.Health.Set("kafka", nil)
		select {}
	case "trace":
		_, span := otel.Tracer("test").Start(ctx, "push")
		span.End()
		p.Health.Set("kafka", nil)
	case "unready":
		p.Health.Set("kafka", errors.New("no broker answers"))
	default:
		p.Health.Set("kafka", nil)
	}
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), ErrStopped) {
		return fmt.Errorf("stopped by %w", context.Cause(ctx))
	}
	return ctx.Err()
}

// service is a started test process. Its log lines come one by one.
type service struct {
	cmd  *exec.Cmd
	log  chan map[string]any
	ops  string
	exit chan struct{}
}

func start(t *testing.T, mode string, pipe *os.File, env ...string) *service {
	t.Helper()
	s := &service{cmd: exec.Command(os.Args[0]), log: make(chan map[string]any, 100), exit: make(chan struct{})}
	s.cmd.Env = append([]string{"BOOT_TEST_MODE=" + mode, "OPS_ADDR=127.0.0.1:0"}, env...)
	if pipe != nil {
		s.cmd.ExtraFiles = []*os.File{pipe}
		s.cmd.Env = append(s.cmd.Env, ParentPipe+"=3")
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			line := map[string]any{}
			if json.Unmarshal(lines.Bytes(), &line) == nil {
				s.log <- line
			}
		}
		close(s.log)
		_ = s.cmd.Wait() // its exit status is asked for in ended
		close(s.exit)
	}()
	return s
}

// waitFor returns the next log line with that message.
func (s *service) waitFor(t *testing.T, message string) map[string]any {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, open := <-s.log:
			if !open {
				t.Fatalf("the process ended without logging %q", message)
			}
			if line["msg"] == message {
				return line
			}
		case <-deadline:
			t.Fatalf("no log line %q", message)
		}
	}
}

func (s *service) started(t *testing.T) *service {
	t.Helper()
	s.ops, _ = s.waitFor(t, "started")["ops"].(string)
	return s
}

// ended waits for the process and returns its exit status.
func (s *service) ended(t *testing.T) int {
	t.Helper()
	go func() {
		for range s.log {
		}
	}()
	select {
	case <-s.exit:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatal("the process did not end")
		return -1
	}
}

func (s *service) get(t *testing.T, path string) (int, string) {
	t.Helper()
	answer, err := http.Get("http://" + s.ops + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// ready polls /readyz until the process answers with the status.
func (s *service) ready(t *testing.T, status int) string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if got, body := s.get(t, "/readyz"); got == status && !strings.Contains(body, "starting") {
			return body
		}
	}
	t.Fatalf("/readyz never answered %d", status)
	return ""
}
