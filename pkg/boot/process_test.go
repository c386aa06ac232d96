package boot

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOps(t *testing.T) {
	good := start(t, "run", nil).started(t)
	good.ready(t, http.StatusOK)
	if status, _ := good.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz %d", status)
	}
	if status, body := good.get(t, "/metrics"); status != http.StatusOK || !strings.Contains(body, "process_open_fds") || !strings.Contains(body, "go_goroutines") {
		t.Errorf("/metrics %d:\n%s", status, body)
	}
	bad := start(t, "unready", nil).started(t)
	body := bad.ready(t, http.StatusServiceUnavailable)
	if !strings.Contains(body, "no broker answers") || !strings.Contains(body, `"waiting_for":["kafka"]`) {
		t.Errorf("/readyz: %s", body)
	}
	if status, _ := bad.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz of an unready process: %d", status)
	}
}

func TestHealthIsStartingAtFirst(t *testing.T) {
	h := NewHealth()
	if len(h.Ready()) == 0 {
		t.Error("ready before the service has said anything")
	}
	h.Set("kafka", nil)
	if red := h.Ready(); len(red) != 0 {
		t.Errorf("not ready: %v", red)
	}
}

func TestSignalStopsGracefully(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		s := start(t, "run", nil).started(t)
		s.ready(t, http.StatusOK)
		if err := s.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		s.waitFor(t, "stopped")
		if code := s.ended(t); code != 0 {
			t.Errorf("%v: exit status %d", signal, code)
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	s := start(t, "deaf", nil).started(t)
	s.ready(t, http.StatusOK)
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	s.ready(t, http.StatusServiceUnavailable) // the first one was taken: it is stopping
	asked := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if code := s.ended(t); code != exitError {
		t.Errorf("exit status %d", code)
	}
	if took := time.Since(asked); took >= stopGrace {
		t.Errorf("took %v, the grace period", took)
	}
}

func TestGraceIsBounded(t *testing.T) {
	s := start(t, "deaf", nil).started(t)
	s.ready(t, http.StatusOK)
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	s.waitFor(t, "stop took too long, ending as it is")
	if code := s.ended(t); code != exitError {
		t.Errorf("exit status %d", code)
	}
}

func TestParentPipe(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, "run", reader).started(t)
	_ = reader.Close()
	s.ready(t, http.StatusOK)
	if err := writer.Close(); err != nil { // what the kernel does when a parent dies
		t.Fatal(err)
	}
	s.waitFor(t, "stopped")
	if code := s.ended(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestParentPipeThatIsNone(t *testing.T) {
	for name, value := range map[string]string{"no number": "x", "not open": "77", "no pipe": "0"} {
		s := start(t, "run", nil, ParentPipe+"="+value)
		s.waitFor(t, "parent pipe unusable")
		if code := s.ended(t); code != exitError {
			t.Errorf("%s: exit status %d", name, code)
		}
	}
}

func TestErrorsEndTheProcess(t *testing.T) {
	for _, mode := range []string{"fail", "cancelled by itself"} {
		s := start(t, mode, nil)
		s.waitFor(t, "stopped by an error")
		if code := s.ended(t); code != exitError {
			t.Errorf("%s: exit status %d", mode, code)
		}
	}
}

func TestTakenOpsAddressNamesTheSetting(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := start(t, "run", nil, "OPS_ADDR="+taken.Addr().String())
	line := s.waitFor(t, "ops address unusable")
	if text, _ := line["error"].(string); !strings.Contains(text, "OPS_ADDR") {
		t.Errorf("error %q", text)
	}
	if code := s.ended(t); code != exitError {
		t.Errorf("exit status %d", code)
	}
}

func TestWrongSettingsAndArguments(t *testing.T) {
	run := func(env string, args ...string) (string, int) {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = []string{"BOOT_TEST_MODE=run", env}
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := run("LOG_LEVEL=loud"); code != exitSettings || !strings.Contains(out, "LOG_LEVEL: not one of") || strings.Contains(out, "loud") {
		t.Errorf("status %d:\n%s", code, out)
	}
	if out, code := run("LOG_LEVEL=loud", "-h"); code != 0 || !strings.Contains(out, "OPS_ADDR") {
		t.Errorf("-h: status %d:\n%s", code, out)
	}
	if out, code := run("LOG_LEVEL=info", "serve"); code != exitSettings || !strings.Contains(out, "takes no argument but") {
		t.Errorf("an argument: status %d:\n%s", code, out)
	}
}

func TestTracesAreExported(t *testing.T) {
	paths := make(chan string, 10)
	collector, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		paths <- fmt.Sprintf("%s %v", r.URL.Path, strings.Contains(string(body), "player"))
	})}
	go func() { _ = server.Serve(collector) }()
	defer server.Close()
	s := start(t, "trace", nil, "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+collector.Addr().String()).started(t)
	s.ready(t, http.StatusOK)
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // what is left is sent before the process ends
	if code := s.ended(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
	select {
	case got := <-paths:
		if got != "/v1/traces true" {
			t.Errorf("the collector got %s", got)
		}
	default:
		t.Error("the collector got nothing")
	}
}

func TestCollectorAwayIsAWarning(t *testing.T) {
	s := start(t, "trace", nil, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1").started(t)
	s.ready(t, http.StatusOK)
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	s.waitFor(t, "traces not exported")
	if code := s.ended(t); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestSettingsOfAProgram(t *testing.T) {
	t.Setenv("BOOT_TEST_MODE", "run")
	names, err := SettingsOf(t.Context(), os.Args[0])
	if want := "OPS_ADDR LOG_LEVEL OTEL_EXPORTER_OTLP_ENDPOINT BOOT_TEST_MODE"; err != nil || strings.Join(names, " ") != want {
		t.Errorf("settings %v (%v), want %s", names, err, want)
	}
	if _, err := SettingsOf(t.Context(), os.Args[0]+".gone"); err == nil {
		t.Error("a program that is not there has settings")
	}
}
