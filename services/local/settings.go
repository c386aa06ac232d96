package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
)

// settings of local itself. Everything else in its environment that a service reads is handed on to that service.
type settings struct {
	Addresses
	Brokers  string `env:"KAFKA_BROKERS" doc:"use these brokers; empty: an embedded one is started"`
	Database string `env:"DATABASE_URL" doc:"use this PostgreSQL; empty: a private one is started"`
	Schemas  string `env:"SCHEMA_REGISTRY_URL" doc:"use this schema registry; empty: one is started, its state in the brokers' registry.v1"`
	Demo     bool   `env:"DEMO" envDefault:"1" doc:"push the examples of all three sources and show what becomes of them; 0: do not"`
	Show     string `env:"SHOW_LOGS" envDefault:"warn" doc:"what is shown of the services' logs: all, warn (and worse) or none; the files in .local/logs have everything"`
}

// Addresses are what local and its services listen on.
type Addresses struct {
	Ingest   string `env:"INGEST_ADDR" envDefault:"127.0.0.1:8080" doc:"where ingest takes the pushes"`
	Console  string `env:"CONSOLE_ADDR" envDefault:"127.0.0.1:8090" doc:"where the console serves its JSON API"`
	Sandbox  string `env:"SANDBOX_ADDR" envDefault:"127.0.0.1:8099" doc:"where the stand-ins of OKKI and EZR listen"`
	Registry string `env:"REGISTRY_ADDR" envDefault:"127.0.0.1:8081" doc:"where the embedded schema registry listens"`
	Kafka    string `env:"KAFKA_ADDR" envDefault:"127.0.0.1:9092" doc:"where the embedded broker listens"`
	Postgres string `env:"POSTGRES_ADDR" envDefault:"127.0.0.1:5433" doc:"where the private PostgreSQL listens"`
	Ops      string `env:"OPS_ADDR" envDefault:"127.0.0.1:9101" doc:"the first of consecutive ports, one a service, for /healthz, /readyz and /metrics"`
}

// listener is one address that is about to be listened on, and the setting that moves it.
type listener struct{ setting, addr, who string }

// What SHOW_LOGS takes.
const (
	showAll  = "all"
	showWarn = "warn"
	showNone = "none"
)

// Validate reports every mistake at once.
func (s *settings) Validate() error {
	var errs []error
	if !slices.Contains([]string{showAll, showWarn, showNone}, s.Show) {
		errs = append(errs, errors.New("SHOW_LOGS: not one of all, warn, none"))
	}
	return errors.Join(errs...)
}

// Validate reports every mistake at once.
func (a *Addresses) Validate() error {
	var errs []error
	for _, l := range []listener{
		{"INGEST_ADDR", a.Ingest, ""},
		{"CONSOLE_ADDR", a.Console, ""},
		{"SANDBOX_ADDR", a.Sandbox, ""},
		{"REGISTRY_ADDR", a.Registry, ""},
		{"KAFKA_ADDR", a.Kafka, ""},
		{"POSTGRES_ADDR", a.Postgres, ""},
		{"OPS_ADDR", a.Ops, ""},
	} {
		host, port, err := net.SplitHostPort(l.addr)
		if n, portErr := strconv.Atoi(port); err != nil || host == "" || portErr != nil || n < 1 || n > 65535 {
			errs = append(errs, fmt.Errorf("%s: not host:port, such as 127.0.0.1:8080", l.setting))
		}
	}
	return errors.Join(errs...)
}

// ops is the ops address of the nth service.
func (a *Addresses) ops(n int) string {
	host, port, _ := net.SplitHostPort(a.Ops) // both checked by Validate
	first, _ := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(first+n))
}

// listeners are all the addresses that this stack will listen on.
func (s *settings) listeners(services []service) []listener {
	all := []listener{{"INGEST_ADDR", s.Ingest, "ingest"}, {"CONSOLE_ADDR", s.Console, "console"}, {"SANDBOX_ADDR", s.Sandbox, "sandbox"}}
	if s.Schemas == "" {
		all = append(all, listener{"REGISTRY_ADDR", s.Registry, "the schema registry"})
	}
	if s.Brokers == "" {
		all = append(all, listener{"KAFKA_ADDR", s.Kafka, "the broker"})
	}
	if s.Database == "" {
		all = append(all, listener{"POSTGRES_ADDR", s.Postgres, "PostgreSQL"})
	}
	for n, service := range services {
		all = append(all, listener{"OPS_ADDR", s.ops(n), service.name + "'s health and metrics"})
	}
	return all
}
