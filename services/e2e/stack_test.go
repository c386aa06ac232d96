//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/pgserver"
	"orderflow/pkg/registryserver"
)

// workers are the services that consume from Kafka.
var workers = []string{"validate", "okkisync", "mallupload", "persist"}

// stack is the whole pipeline in processes of its own.
type stack struct {
	t        testing.TB
	broker   *broker
	database *pgserver.Server
	pool     *pgxpool.Pool
	services map[string]*process
	ops      map[string]string // service -> ops address
	ingest   string            // base URLs
	sandbox  string
	console  string
	registry string
	env      []string
	again    *atomic.Int64 // orders whose senders were told to push them again: each may be in Kafka once more
}

// onEachBroker runs a journey on kfake and on a real Apache Kafka, each time in a stack of its own.
func onEachBroker(t *testing.T, journey func(t *testing.T, s *stack), settings ...string) {
	for _, kind := range brokerKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel() // most of a journey is waiting
			journey(t, startStack(t, kind.start, settings...))
		})
	}
}

// startStack brings up broker, database, topics, sandbox and every service, and waits until all are ready. Settings are
// NAME=value and win over the stack's own.
func startStack(t testing.TB, startBroker func(testing.TB, string) *broker, settings ...string) *stack {
	t.Helper()
	dir, err := os.MkdirTemp("", "of-e2e-") // short: the path of a unix socket has little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &stack{t: t, services: map[string]*process{}, ops: map[string]string{}, again: new(atomic.Int64)}
	s.startDatabase(dir)
	s.broker = startBroker(t, dir)
	s.startRegistry()

	ingest, sandbox, console := freeAddr(t), freeAddr(t), freeAddr(t)
	s.ingest, s.sandbox, s.console = "http://"+ingest, "http://"+sandbox, "http://"+console
	s.env = append([]string{
		"KAFKA_BROKERS=" + s.broker.addr, "DATABASE_URL=" + s.database.URL("orderflow"), "SCHEMA_REGISTRY_URL=" + s.registry,
		"INGEST_ADDR=" + ingest, "SANDBOX_ADDR=" + sandbox, "CONSOLE_ADDR=" + console, "CONSOLE_USERS=" + consoleUsers,
		"ICBU_SECRETS=" + icbuKey + "=" + icbuSecret, "PROCUREMENT_TOKENS=" + procurementToken, "MALL_APPS=" + mallApp + "=" + mallToken,
		"OKKI_URL=" + s.sandbox + "/router/rest", "OKKI_APP_KEY=23456789", "OKKI_APP_SECRET=e2e-okki-secret-7f31",
		"OKKI_TARGET_APP_KEY=34567890", "OKKI_SIGN_METHOD=hmac-sha256",
		"EZR_URL=" + s.sandbox, "EZR_APP_ID=EZE", "EZR_TOKEN=e2e-ezr-token-51c2", "EZR_APP_SYSTEM=orderflow-e2e", "EZR_RATE=1000",
		"PAYLOAD_KEYS=e2e=ZTJlLXBheWxvYWQta2V5LW9mLTMyLWJ5dGVzISEhISE=",
		"PSEUDONYM_KEYS=e2e=ZTJlLXBzZXVkb255bXMtb2YtMzItYnl0ZXMhISEhISE=",
		"RECEIPT_KEYS=e2e=ZTJlLXJlY2VpcHQta2V5LW9mLTMyLWJ5dGVzISEhISE=",
		// A worker with a slot has its partitions back at once after a crash.
		"WORKER_SLOT=0",
	}, settings...)

	names := slices.Concat([]string{"sandbox", "ingest", "console", "balance"}, workers)
	var watched []string
	for _, name := range names {
		s.ops[name] = freeAddr(t)
		if name == "ingest" || name == "balance" || slices.Contains(workers, name) {
			watched = append(watched, name+"=http://"+s.ops[name])
		}
	}
	s.env = append(s.env, "WORKER_OPS="+strings.Join(watched, ","))

	once(t, s.env, filepath.Join(bin, "orderctl"), "migrate")
	once(t, s.env, filepath.Join(bin, "orderctl"), "topics", "apply")
	for _, name := range names {
		s.services[name] = launch(t, dir, name, append(slices.Clone(s.env), "OPS_ADDR="+s.ops[name]), filepath.Join(bin, name))
	}
	for name := range s.services {
		s.waitReady(name)
	}
	t.Cleanup(func() { s.nothingPersonalInLogs() })
	return s
}

// in is the stack as a part of a test sees it.
func (s *stack) in(t testing.TB) *stack {
	part := *s
	part.t = t
	return &part
}

func (s *stack) startDatabase(dir string) {
	s.t.Helper()
	var err error
	s.database, err = pgserver.New(s.t.Context(), pgserver.Options{Dir: filepath.Join(dir, "pg"), Disposable: true})
	if err == nil {
		err = s.database.Start(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.database.Stop() })
	if err := s.database.CreateDatabase(s.t.Context(), "orderflow"); err != nil {
		s.t.Fatal(err)
	}
	// The test's context ends before its cleanups do; the pool is closed by its own.
	s.pool, err = pgxpool.New(context.Background(), s.database.URL("orderflow"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.pool.Close)
}

// startRegistry serves a schema registry over the stack's broker from this process; its topic comes with the others.
func (s *stack) startRegistry() {
	s.t.Helper()
	server, err := registryserver.Start("127.0.0.1:0", bus.Settings{Brokers: []string{s.broker.addr}}, zap.NewNop())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(server.Close)
	s.registry = server.URL()
}

func (s *stack) waitReady(name string) {
	s.t.Helper()
	eventually(s.t, patience, name+" is ready", func() error { return httpOK("http://" + s.ops[name] + "/readyz") })
}

// restart starts a killed service again, as its supervisor would.
func (s *stack) restart(name string) {
	s.t.Helper()
	s.services[name].start()
	s.waitReady(name)
}

// nothingPersonalInLogs holds law 5 against everything that the services wrote on this journey.
func (s *stack) nothingPersonalInLogs() {
	forbidden := slices.Clone(personal)
	for _, setting := range s.env {
		if name, value, _ := strings.Cut(setting, "="); strings.Contains(name, "SECRET") || strings.Contains(name, "TOKEN") {
			_, secret, found := strings.Cut(value, "=")
			if !found {
				secret = value
			}
			forbidden = append(forbidden, secret)
		}
	}
	for name, p := range s.services {
		log, err := os.ReadFile(p.log)
		if err != nil {
			s.t.Error(err)
		}
		for _, text := range forbidden {
			if i := bytes.Index(log, []byte(text)); i >= 0 {
				s.t.Errorf("%s logged %q: ...%s...", name, text, log[max(0, i-200):min(len(log), i+50)])
			}
		}
	}
}
