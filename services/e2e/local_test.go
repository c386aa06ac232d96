//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clone is a folder in which `make run` can work: what it needs of a clone, and nothing beside it.
func clone(t *testing.T) (dir string, env []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "of-run-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // PostgreSQL may end, and write, a moment after local
		for late := time.Now().Add(patience); os.RemoveAll(dir) != nil && time.Now().Before(late); {
			<-time.After(50 * time.Millisecond)
		}
	})
	for name, target := range map[string]string{"bin": bin, "schemas": filepath.Join(root(), "schemas")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"INGEST_ADDR", "CONSOLE_ADDR", "SANDBOX_ADDR", "REGISTRY_ADDR", "KAFKA_ADDR", "POSTGRES_ADDR"} {
		env = append(env, name+"="+freeAddr(t))
	}
	return dir, append(env, "OPS_ADDR="+freeAddrs(t, 10))
}

// What `make run` starts, on a machine with nothing else: the demo's orders arrive, the README's commands work as printed,
// a killed service comes back, and a killed local leaves nobody behind and finds its data again.
func TestMakeRun(t *testing.T) {
	t.Parallel()
	dir, env := clone(t)
	local := &process{t: t, name: "local", args: []string{filepath.Join(dir, "bin", "local")}, env: env, log: filepath.Join(dir, "local.log"), cwd: dir}
	local.launch()
	printed := func() string { return string(tail(local.log, 1000)) }
	eventually(t, patience, "the demo's orders arrive and the addresses are printed", func() error {
		text := printed()
		for _, want := range []string{`icbu\b.*\bdelivered`, `procurement\b.*\bpersisted`, `mall\b.*\bdelivered`, `(?m)^orderflow is up`} {
			if !regexp.MustCompile(want).MatchString(text) {
				return fmt.Errorf("no %s in what local printed", want)
			}
		}
		return nil
	})
	if info, err := os.Stat(filepath.Join(dir, ".local")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf(".local: %v, %v", info, err)
	}

	t.Run("README", func(t *testing.T) { readmeCommandsWork(t, dir) })

	children := descendants(t, local.cmd.Process.Pid)
	for _, name := range append([]string{"ingest", "sandbox", "console", "balance"}, workers...) {
		if len(children[name]) != 1 {
			t.Errorf("want one child %s, there are %v", name, children)
		}
	}
	victim := children["persist"][0]
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "a killed service is started again", func() error {
		if now := descendants(t, local.cmd.Process.Pid)["persist"]; len(now) != 1 || now[0] == victim {
			return fmt.Errorf("persist: %v", now)
		}
		return nil
	})

	children = descendants(t, local.cmd.Process.Pid)
	local.kill()
	eventually(t, patience, "nobody outlives a killed local", func() error {
		for name, pids := range children {
			for _, pid := range pids {
				if runs(pid) {
					return fmt.Errorf("%s (%d) still runs", name, pid)
				}
			}
		}
		return nil
	})

	local.env = append(local.env, "DEMO=0")
	local.start()
	eventually(t, patience, "local comes up again in the same folder", func() error {
		if n := strings.Count(printed(), "\norderflow is up"); n != 2 {
			return fmt.Errorf("it was up %d times", n)
		}
		return nil
	})
	kept := sh(t, dir, `source .local/env; psql -At "$DATABASE_URL" -c "select count(*) from orders where state in ('delivered', 'persisted')"`)
	if n, err := strconv.Atoi(strings.TrimSpace(kept)); err != nil || n < 3 {
		t.Errorf("orders kept over the kill: %q", kept)
	}
	if status := local.stop(); status != 0 {
		t.Errorf("SIGTERM: exit status %d", status)
	}
}

// readmeCommandsWork runs every block of the README that starts with `source .local/env`.
func readmeCommandsWork(t *testing.T, dir string) {
	text, err := os.ReadFile(filepath.Join(root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(source .local/env\n.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 4 {
		t.Fatalf("the README has %d blocks to run", len(blocks))
	}
	for _, block := range blocks {
		if strings.Contains(block[1], "orderctl where") { // by a number, and so after persist
			sh(t, dir, `source .local/env; for _ in $(seq 450); do
				[ "$(psql -At "$DATABASE_URL" -c "select count(*) from orders where order_key = 'icbu:P90001'")" = 1 ] && break; sleep 0.2; done`)
		}
		out := sh(t, dir, block[1])
		if strings.Contains(block[1], "curl -sSi") && (!strings.Contains(out, "200 OK") || !strings.Contains(out, "Orderflow-Receipt")) {
			t.Errorf("not accepted:\n%s\n%s", block[1], out)
		}
	}
}

func sh(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-eu", "-o", "pipefail", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s\n%s", err, script, out)
	}
	return string(out)
}

// descendants are the processes below one, by name.
func descendants(t *testing.T, pid int) map[string][]int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	parent, name := map[int]int{}, map[int]string{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		var child, ppid int
		var state string
		open, end := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
		if _, err := fmt.Sscan(string(text[:open]), &child); err != nil {
			continue
		}
		if _, err := fmt.Sscan(string(text[end+1:]), &state, &ppid); err != nil || state == "Z" {
			continue
		}
		parent[child], name[child] = ppid, string(text[open+1:end])
	}
	all := map[string][]int{}
	for child := range parent {
		for p := child; p != 0; p = parent[p] {
			if parent[p] == pid {
				all[name[child]] = append(all[name[child]], child)
				break
			}
		}
	}
	return all
}

// runs tells whether a process is there and no zombie.
func runs(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	end := strings.LastIndexByte(string(text), ')')
	return end < 0 || !strings.HasPrefix(string(text[end+1:]), " Z")
}
