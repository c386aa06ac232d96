package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sync/errgroup"

	"orderflow/pkg/pgserver"
	"orderflow/pkg/registryserver"
)

// stack is one running orderflow.
type stack struct {
	cfg      settings
	console  *console
	state    *state
	binaries string
	env      environment
	broker   *kfake.Cluster         // nil: the brokers are somebody else's
	postgres *pgserver.Server       // nil: the database is somebody else's
	registry *registryserver.Server // nil: the schema registry is somebody else's
}

// run brings everything up, keeps it up until ctx ends, and takes it down.
func run(ctx context.Context, cfg settings, c *console) error {
	s := &stack{cfg: cfg, console: c, env: newEnvironment()}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	defer s.stopBackends()
	defer os.Remove(s.state.path("env"))
	if err := s.startBackends(ctx); err != nil {
		return err
	}
	if err := s.runSteps(ctx); err != nil {
		return err
	}
	if err := s.startRegistry(); err != nil {
		return err
	}
	return s.serve(ctx)
}

// prepare takes the folder and finds out whether this stack can run at all.
func (s *stack) prepare(ctx context.Context) (err error) {
	if s.binaries, err = binaries(); err != nil {
		return err
	}
	if err := checkPrograms(s.binaries); err != nil {
		return err
	}
	if s.state, err = openState(ctx); err != nil {
		return err
	}
	if err := checkPorts(ctx, s.cfg.listeners(services), s.state.used); err != nil {
		return err
	}
	generated, err := loadSecrets(s.state.path("secrets"))
	if err != nil {
		return err
	}
	for name, value := range generated {
		s.env.standard(name, value)
	}
	if err := s.env.invite(); err != nil {
		return err
	}
	s.env.standard("OKKI_URL", httpURL(s.cfg.Sandbox)+"/router/rest")
	s.env.standard("EZR_URL", httpURL(s.cfg.Sandbox))
	// A static member takes its partitions back at once after a restart.
	s.env.standard("WORKER_SLOT", "0")
	for name, value := range map[string]string{
		"INGEST_ADDR": s.cfg.Ingest, "CONSOLE_ADDR": s.cfg.Console, "SANDBOX_ADDR": s.cfg.Sandbox, "OPS_ADDR": s.cfg.Ops,
		"INGEST_URL": httpURL(s.cfg.Ingest), "CONSOLE_URL": httpURL(s.cfg.Console), "SANDBOX_URL": httpURL(s.cfg.Sandbox),
	} {
		s.env[name] = value
	}
	var watched []string // by the console: what takes, carries and counts orders
	for n, service := range services {
		s.env[opsName(service)] = s.cfg.ops(n)
		if !slices.Contains([]string{"sandbox", "console"}, service.name) {
			watched = append(watched, service.name+"="+httpURL(s.cfg.ops(n)))
		}
	}
	s.env["WORKER_OPS"] = strings.Join(watched, ",")
	delete(s.env, "KAFKA_ADDR") // told again when something listens there
	delete(s.env, "POSTGRES_ADDR")
	delete(s.env, "REGISTRY_ADDR")
	return nil
}

// given tells whoever sourced .local/env, and forgot, why nothing was started.
const given = "%s is set: using that server, starting none (unset it if it comes from a sourced .local/env)"

// startBackends starts the broker and the database that were not given.
func (s *stack) startBackends(ctx context.Context) (err error) {
	if s.cfg.Brokers == "" {
		if s.broker, err = startBroker(s.cfg.Kafka, s.state.path("kafka")); err != nil {
			return err
		}
		_, port, _ := net.SplitHostPort(s.cfg.Kafka)
		s.env["KAFKA_ADDR"], s.env["KAFKA_BROKERS"] = s.cfg.Kafka, strings.TrimPrefix(httpURL(s.cfg.Kafka), "http://")
		s.console.say("local", "embedded broker on port %s", port)
	} else {
		s.console.say("local", given, "KAFKA_BROKERS")
	}
	if s.cfg.Database == "" {
		s.postgres, err = startPostgres(ctx, s.console, s.cfg.Postgres, s.state.path("postgres"), s.state.path("logs", "postgres.log"))
		if err != nil {
			return err
		}
		s.env["POSTGRES_ADDR"], s.env["DATABASE_URL"] = s.cfg.Postgres, s.postgres.URL(databaseName)
		s.env["ANALYST_DATABASE_URL"] = analystURL(s.env["DATABASE_URL"], s.env.value("ANALYST_PASSWORD"))
		s.console.say("local", "private PostgreSQL on %s", s.cfg.Postgres)
	} else {
		delete(s.env, "ANALYST_PASSWORD")
		s.console.say("local", given, "DATABASE_URL")
	}
	return nil
}

func (s *stack) stopBackends() {
	if s.registry != nil {
		s.registry.Close()
	}
	if s.postgres != nil {
		stopPostgres(s.postgres)
	}
	if s.broker != nil {
		s.broker.Close()
	}
}

// serve keeps the services running until ctx ends or one of them can never run.
func (s *stack) serve(ctx context.Context) error {
	programs, err := s.programs(ctx)
	if err != nil {
		return err
	}
	// Nothing is ever written to the pipe: its end is the message.
	inherited, held, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make the services' lifeline: %w", err)
	}
	defer held.Close()
	defer inherited.Close()
	keeper := &keeper{console: s.console, pipe: inherited, lock: s.state.kin}

	group, ctx := errgroup.WithContext(ctx)
	tails := []*tail{{name: registryName, path: s.state.path("logs", registryName+".log")}}
	for _, p := range programs {
		group.Go(func() error { return keeper.keep(ctx, p) })
		tails = append(tails, &tail{name: p.name, path: p.log})
	}
	if s.postgres != nil {
		group.Go(func() error { keepPostgres(ctx, s.console, s.postgres); return nil })
	}
	group.Go(func() error { return s.introduce(ctx) })

	showing, stopShowing := context.WithCancel(context.Background())
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		follow(showing, s.console, s.cfg.Show, tails)
	}()
	err = group.Wait()
	stopShowing()
	<-shown
	return err
}

// introduce waits until all services answer, tells scripts and people how to reach them, and shows the demo.
func (s *stack) introduce(ctx context.Context) error {
	if !s.awaitReady(ctx) {
		return nil
	}
	if err := writeFile(s.state.path("env"), s.env.assignments(published())); err != nil {
		return err
	}
	if s.cfg.Demo {
		if err := s.demo(ctx); err != nil && ctx.Err() == nil {
			s.console.say("local", "the demo did not come to its end: %v", err)
		}
	}
	s.console.print(s.addresses())
	return nil
}

// published are the settings that .local/env tells, in its order.
func published() []string {
	names := []string{
		"INGEST_ADDR", "CONSOLE_ADDR", "SANDBOX_ADDR", "REGISTRY_ADDR", "KAFKA_ADDR", "POSTGRES_ADDR", "OPS_ADDR",
		"INGEST_URL", "CONSOLE_URL", "SANDBOX_URL", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL", "DATABASE_URL", "ANALYST_DATABASE_URL",
	}
	for _, service := range services {
		names = append(names, opsName(service))
	}
	for _, s := range secrets {
		names = append(names, s.name)
	}
	for _, p := range people {
		names = append(names, p.setting)
	}
	return append(names, "OKKI_URL", "OKKI_SIGN_METHOD", "EZR_URL", "EZR_SIGN",
		"KAFKA_TLS_CA", "KAFKA_TLS_CERT", "KAFKA_TLS_KEY", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USER", "KAFKA_SASL_PASSWORD")
}

func opsName(s service) string { return strings.ToUpper(s.name) + "_OPS_ADDR" }

// addresses is what people want to know when everything is up.
func (s *stack) addresses() string {
	rows := [][2]string{
		{"pushes", s.env["INGEST_URL"] + "  (/icbu/okki/orders, /fenbeitong/{token}/procurement-orders, /api/morder/thirdOrdAdd)"},
		{"console", s.env["CONSOLE_URL"] + "  (where is my order, dead letters; " + s.env.logins() + ")"},
		{"partners", s.env["SANDBOX_URL"] + "  (stand-ins of OKKI and EZR; /_sandbox/orders shows what they took)"},
		{"Kafka", s.env["KAFKA_BROKERS"]},
		{"schemas", s.env.value("SCHEMA_REGISTRY_URL") + "  (the schema registry of orders.v1, as Confluent's)"},
		{"PostgreSQL", s.cfg.Postgres + "  (after `source .local/env`: psql \"$DATABASE_URL\"; analysts, who read the views only: psql \"$ANALYST_DATABASE_URL\")"},
		{"health", "http://" + s.cfg.Ops + "/readyz and the next ports, one a service: " + serviceNames()},
		{"settings", filepath.Join(stateDir, "env") + "  (source it: secrets, addresses; then e.g. bin/orderctl send FILE)"},
		{"logs", filepath.Join(stateDir, "logs")},
	}
	if s.postgres == nil {
		rows[5][1] = "yours  (DATABASE_URL)"
	}
	if s.registry == nil {
		rows[4][1] = "yours  (SCHEMA_REGISTRY_URL)"
	}
	var b strings.Builder
	b.WriteString("\norderflow is up. Ctrl-C ends it; its data stays in " + stateDir + " (make clean removes it).\n\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "  %-11s %s\n", row[0], row[1])
	}
	b.WriteString("\n")
	return b.String()
}

func serviceNames() string {
	var names []string
	for _, s := range services {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}
