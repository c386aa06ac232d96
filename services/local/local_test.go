package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/crypto/bcrypt"

	"orderflow/pkg/store"
)

func TestEnvFileAndEnvironments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, dir, "ICBU_SECRETS=given 'key'=given secret")
	env := r.up()
	for _, name := range []string{
		"INGEST_ADDR", "SANDBOX_ADDR", "OPS_ADDR", "INGEST_URL", "SANDBOX_URL", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL", "DATABASE_URL", "INGEST_OPS_ADDR", "PERSIST_OPS_ADDR",
		"PROCUREMENT_TOKENS", "MALL_APPS", "OKKI_APP_KEY", "OKKI_APP_SECRET", "OKKI_URL", "EZR_APP_ID", "EZR_TOKEN", "EZR_APP_SYSTEM", "EZR_URL",
		"PSEUDONYM_KEYS", "PAYLOAD_KEYS", "RECEIPT_KEYS",
		"CONSOLE_ADDR", "CONSOLE_URL", "CONSOLE_OPS_ADDR", "CONSOLE_USER", "CONSOLE_PASSWORD", "CONSOLE_OPERATOR", "CONSOLE_OPERATOR_PASSWORD",
		"CONSOLE_VIEWER", "CONSOLE_VIEWER_PASSWORD",
	} {
		if env[name] == "" {
			t.Errorf("%s is missing in .local/env", name)
		}
	}
	if env["ICBU_SECRETS"] != "given 'key'=given secret" {
		t.Errorf("the given secret came out as %q", env["ICBU_SECRETS"])
	}
	for _, name := range []string{"REGISTRY_ADDR", "KAFKA_ADDR", "POSTGRES_ADDR", "CONSOLE_USERS", "STRAY"} {
		if env[name] != "" {
			t.Errorf("%s stands in .local/env, and there is no such thing", name)
		}
	}
	for path, mode := range map[string]os.FileMode{stateDir: os.ModeDir | 0o700, stateDir + "/env": 0o600, stateDir + "/secrets": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v %v, want %v", path, info.Mode(), err, mode)
		}
	}
	if validate := r.environ("validate"); !strings.Contains(validate, "\nSCHEMA_REGISTRY_URL=http://") {
		t.Errorf("validate lacks what it reads:\n%s", validate)
	}
	ingest, persist := r.environ("ingest"), r.environ("persist")
	if !strings.Contains(ingest, "\nICBU_SECRETS=given") || !strings.Contains(ingest, "\nOPS_ADDR="+env["INGEST_OPS_ADDR"]+"\n") {
		t.Errorf("ingest lacks what it reads:\n%s", ingest)
	}
	if !strings.Contains(persist, "\nDATABASE_URL=postgres://") || !strings.Contains(persist, "\nWORKER_SLOT=0\n") {
		t.Errorf("persist lacks what it reads:\n%s", persist)
	}
	if strings.Contains(ingest, "DATABASE_URL") || strings.Contains(persist, "SECRETS") || strings.Contains(ingest+persist, "STRAY") {
		t.Errorf("a service has what it does not read:\n%s\n%s", ingest, persist)
	}
	if calls, err := os.ReadFile(filepath.Join(dir, "orderctl.calls")); err != nil || string(calls) != "migrate true false\ntopics apply true false\n" {
		t.Errorf("orderctl was called: %q %v", calls, err)
	}
}

func TestConsoleUsers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, dir)
	env := r.up()
	_, line, _ := strings.Cut(r.environ("console"), "\nCONSOLE_USERS=")
	line, _, _ = strings.Cut(line, "\n")
	entries := strings.Split(line, ",")
	if len(entries) != len(people) {
		t.Fatalf("CONSOLE_USERS has %d entries", len(entries))
	}
	for i, p := range people {
		hash, ok := strings.CutPrefix(entries[i], env[p.setting]+":"+p.role+":")
		if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte(env[p.password])); !ok || err != nil || env[p.password] == "" {
			t.Errorf("%s cannot log in with what .local/env says: %v", p.role, err)
		}
		eventually(t, patience, "who may log in is told", func() error { return r.said(env[p.setting] + " / " + env[p.password]) }) // after .local/env is written
	}
	if strings.Contains(r.environ("ingest"), "CONSOLE") {
		t.Error("ingest knows the console's users")
	}
	r.signal(syscall.SIGTERM)
	if code := r.ended(); code != 0 {
		t.Errorf("exit status %d", code)
	}

	given := start(t, dir, "CONSOLE_USERS=somebody:viewer:hash", "CONSOLE_USER=somebody")
	env = given.up()
	for _, p := range people {
		if env[p.setting] != "" || env[p.password] != "" {
			t.Errorf("%s stands in .local/env, and is not the demo's", p.setting)
		}
	}
	if !strings.Contains(given.environ("console"), "\nCONSOLE_USERS=somebody:viewer:hash\n") {
		t.Error("the console lacks the given users")
	}
}

// environ is what a fake service was started with, a line for each variable.
func (r *running) environ(name string) string {
	r.t.Helper()
	r.pid(name, 0)
	text, err := os.ReadFile(filepath.Join(r.dir, name+".env"))
	if err != nil {
		r.t.Fatal(err)
	}
	return "\n" + string(text) + "\n"
}

func TestDeadServiceIsStartedAgain(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	r.up()
	before := r.pid("validate", 0)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if after := r.pid("validate", before); after == before {
		t.Error("it was not started again")
	}
	eventually(t, patience, "the death is told", func() error { return r.said("validate ended (signal: killed)") })
}

func TestGracefulStop(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			r := start(t, t.TempDir())
			r.up()
			r.signal(signal)
			_ = r.cmd.Process.Signal(signal) // as who sends to a process and to its group
			if code := r.ended(); code != 0 {
				t.Errorf("exit status %d", code)
			}
			r.nothingLeft()
			if _, err := os.Stat(filepath.Join(r.dir, stateDir, "env")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf(".local/env tells of a stack that is gone: %v", err)
			}
		})
	}
}

func TestServiceThatDoesNotStopIsEnded(t *testing.T) {
	t.Parallel()
	const promise = 10 * time.Second
	var took []time.Duration
	for range 5 { // a busy machine may be late, but not each time, and by no more than it needs for any stop
		deaf := stopTime(t, "FAKE_BEHAVE=mallupload=deaf")
		if deaf <= promise || deaf <= promise+stopTime(t) {
			return
		}
		took = append(took, deaf)
	}
	t.Errorf("it took %v", took)
}

// stopTime is how long a stack takes to stop.
func stopTime(t *testing.T, settings ...string) time.Duration {
	t.Helper()
	r := start(t, t.TempDir(), settings...)
	r.up()
	began := time.Now()
	r.signal(syscall.SIGTERM)
	if code := r.ended(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	took := time.Since(began)
	r.nothingLeft()
	return took
}

func TestKilledLocalLeavesNothingAndItsNextOneStarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, dir, "FAKE_BEHAVE=okkisync=deaf") // it needs its whole grace period
	first := r.up()
	r.signal(syscall.SIGKILL)
	<-r.done
	again := start(t, dir) // waits for the services of the killed one
	second := again.up()
	if first["PAYLOAD_KEYS"] != second["PAYLOAD_KEYS"] {
		t.Error("the generated keys did not survive: nothing stored can be read any more")
	}
}

func TestStoppedLocalBlocksNoService(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir(), "SHOW_LOGS=all")
	r.up()
	pid := r.pid("persist", 0)
	r.signal(syscall.SIGSTOP)
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil { // writes 2 MB of log
		t.Fatal(err)
	}
	eventually(t, patience, "the service has written its log", func() error {
		_, err := os.Stat(filepath.Join(r.dir, "persist.chatted"))
		return err
	})
	r.signal(syscall.SIGCONT)
}

func TestTakenPortNamesTheSetting(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	ops := taken.Addr().(*net.TCPAddr)
	for setting, addr := range map[string]string{
		"INGEST_ADDR": ops.String(), "SANDBOX_ADDR": ops.String(), "REGISTRY_ADDR": ops.String(), "OPS_ADDR": net.JoinHostPort("127.0.0.1", strconv.Itoa(ops.Port-2)),
	} {
		r := start(t, t.TempDir(), setting+"="+addr, "SCHEMA_REGISTRY_URL=")
		if code := r.ended(); code != 1 {
			t.Errorf("%s: exit status %d", setting, code)
		}
		if err := r.said("set " + setting + " to a free address"); err != nil {
			t.Error(err)
		}
	}
}

func TestSecondLocalInAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, dir)
	first.up()
	second := start(t, dir)
	second.refused = true
	if code := second.ended(); code != 1 {
		t.Errorf("exit status %d", code)
	}
	if err := second.said("another local runs in this folder"); err != nil {
		t.Error(err)
	}
	if !alive(first.pid("ingest", 0)) {
		t.Error("the first one was disturbed")
	}
}

func TestWrongSettingsOfAServiceEndTheStack(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir(), "FAKE_BEHAVE=sandbox=broken")
	if code := r.ended(); code != 1 {
		t.Errorf("exit status %d", code)
	}
	for _, want := range []string{"the fake's settings are wrong", "sandbox: its settings are wrong"} {
		if err := r.said(want); err != nil {
			t.Error(err)
		}
	}
}

func TestWrongSettingsOfLocal(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir(), "INGEST_ADDR=8080", "SHOW_LOGS=some", "DEMO=perhaps")
	if code := r.ended(); code != 2 {
		t.Errorf("exit status %d", code)
	}
	for _, want := range []string{"INGEST_ADDR: not host:port", "SHOW_LOGS: not one of", "DEMO: not a valid true or false"} {
		if err := r.said(want); err != nil {
			t.Error(err)
		}
	}
}

// onlyOwnDatabase proves that a login of the private PostgreSQL gets into the database of orderflow and into no other.
func onlyOwnDatabase(t *testing.T, env map[string]string) {
	t.Helper()
	owner, err := pgx.Connect(t.Context(), env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Close(t.Context()) }()
	_, err = owner.PgConn().Exec(t.Context(), "drop role if exists analyst; create role analyst login password '"+env["ANALYST_PASSWORD"]+"'").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for database, want := range map[string]string{databaseName: "", "postgres": "42501", "template1": "42501"} {
		conn, err := pgx.Connect(t.Context(), strings.Replace(env["ANALYST_DATABASE_URL"], "/"+databaseName+"?", "/"+database+"?", 1))
		if err == nil {
			_ = conn.Close(t.Context())
		}
		if refusal, ok := errors.AsType[*pgconn.PgError](err); ok != (want != "") || ok && refusal.Code != want {
			t.Errorf("an analyst in %s: %v", database, err)
		}
	}
}

// Two stacks side by side, each with its own broker and database, which survive their crashes.
func TestBackendsOfTwoStacks(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	none := []string{"KAFKA_BROKERS=", "DATABASE_URL=", "SCHEMA_REGISTRY_URL="}
	r, other := start(t, one, none...), start(t, two, none...)
	env, otherEnv := r.up(), other.up()
	if env["DATABASE_URL"] == otherEnv["DATABASE_URL"] || env["KAFKA_BROKERS"] == otherEnv["KAFKA_BROKERS"] || env["PAYLOAD_KEYS"] == otherEnv["PAYLOAD_KEYS"] {
		t.Error("the stacks share something")
	}
	if !strings.HasPrefix(env["ANALYST_DATABASE_URL"], "postgres://analyst:"+env["ANALYST_PASSWORD"]+"@") {
		t.Errorf("analysts find %q", env["ANALYST_DATABASE_URL"])
	}
	if calls, err := os.ReadFile(filepath.Join(one, "orderctl.calls")); err != nil || !strings.HasSuffix(string(calls), "\nanalysts add analyst true false\n") {
		t.Errorf("orderctl was called: %q %v", calls, err)
	}
	if err := r.said("local      | orderctl was told: analysts add analyst\n"); err != nil || r.said("told: migrate") == nil {
		t.Errorf("what orderctl says of analysts, and only that, is not shown: %v", err)
	}
	onlyOwnDatabase(t, env)
	useBackends(t, env)
	useBackends(t, otherEnv)
	id := registerSchema(t, env, "\"int\"")
	if registerSchema(t, otherEnv, "\"string\"") != id {
		t.Error("the registries of two stacks share their ids")
	}

	postmaster := r.postmaster(0)
	if err := syscall.Kill(postmaster, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	postmaster = r.postmaster(postmaster)
	eventually(t, patience, "PostgreSQL answers again", func() error { return store.Migrate(t.Context(), env["DATABASE_URL"]) })

	r.signal(syscall.SIGKILL)
	<-r.done
	eventually(t, patience, "PostgreSQL has ended with local", func() error { return stillThere(postmaster) })
	env = start(t, one, none...).up()
	onlyOwnDatabase(t, env)
	useBackends(t, env) // the same topics, the same database
	if again := registerSchema(t, env, "\"int\""); again != id {
		t.Errorf("the id %d of a schema became %d", id, again)
	}
	other.signal(syscall.SIGTERM)
	if code := other.ended(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
