package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/freeport"
	"orderflow/pkg/pgserver"
	"orderflow/pkg/registryserver"
	"orderflow/pkg/sender"
)

// Secrets of the stack: they protect nothing.
const (
	icbuSecrets       = "12345678=chaos-icbu-secret"
	procurementTokens = "chaos-procurement-token"
	mallApps          = "EZP=chaos-mall-token"
	receiptKeys       = "chaos=Y2hhb3MtcmVjZWlwdC1rZXktb2YtMzItYnl0ZXMhISE="
)

// services of the stack. Partner workers run twice, so that a frozen one is overtaken by the other.
var serviceList = []struct {
	name  string
	slots int
}{
	{"sandbox", 0}, {"ingest", 0}, {"validate", 1}, {"okkisync", 2}, {"mallupload", 2}, {"persist", 1}, {"balance", 0},
}

const (
	databaseName  = "orderflow"
	readyWithin   = 3 * time.Minute
	serviceGrace  = 9 * time.Second
	migrateWithin = 2 * time.Minute
)

// stack is the whole pipeline in processes of its own.
type stack struct {
	dir      string
	cluster  *cluster
	postgres *database
	registry *registryserver.Server
	services map[string]*child // by name, and slot where there are several: "okkisync-1"
	ops      map[string]string
	ingest   string // base URLs
	sandbox  string
	secrets  sender.Secrets
	lifeline [2]*os.File
}

// startStack brings up brokers, database, topics and every service from the binaries in bin, and waits until all are
// ready. The settings are set beside those of every run. What it returns has to be ended even after an error.
func startStack(ctx context.Context, root, bin, dir string, settings map[string]string) (*stack, error) {
	s := &stack{
		dir: dir, services: map[string]*child{}, ops: map[string]string{},
		secrets: sender.Secrets{ICBU: icbuSecrets, Procurement: procurementTokens, Mall: mallApps},
	}
	var err error
	if s.lifeline[0], s.lifeline[1], err = os.Pipe(); err != nil {
		return s, err
	}
	var group errgroup.Group
	group.Go(func() (err error) { s.cluster, err = startCluster(ctx, root, dir); return err })
	group.Go(func() (err error) { s.postgres, err = startDatabase(ctx, dir); return err })
	if err := group.Wait(); err != nil {
		return s, err
	}
	if s.registry, err = registryserver.Start("127.0.0.1:0", bus.Settings{Brokers: s.cluster.addrs}, zap.NewNop()); err != nil {
		return s, err
	}
	env, err := s.environment()
	if err != nil {
		return s, err
	}
	maps.Copy(env, settings)
	for _, args := range [][]string{{"migrate"}, {"topics", "apply"}} {
		if err := s.once(ctx, filepath.Join(bin, "orderctl"), env, args...); err != nil {
			return s, err
		}
	}
	for _, service := range serviceList {
		for slot := range max(1, service.slots) {
			if err := s.startService(ctx, bin, service.name, slot, service.slots, env); err != nil {
				return s, err
			}
		}
	}
	for name, addr := range s.ops {
		if err := eventually(ctx, readyWithin, name+" is ready", func() error { return ready(ctx, addr) }); err != nil {
			return s, fmt.Errorf("%w\n%s", err, tail(s.services[name].log, 10))
		}
	}
	return s, s.cluster.awaitInSync(ctx)
}

func (s *stack) startService(ctx context.Context, bin, service string, slot, slots int, env map[string]string) error {
	path := filepath.Join(bin, service)
	reads, err := boot.SettingsOf(ctx, path)
	if err != nil {
		return err
	}
	name := service
	if slots > 1 {
		name = fmt.Sprintf("%s-%d", service, slot)
	}
	ops, err := freeport.Addr()
	if err != nil {
		return err
	}
	own := map[string]string{"OPS_ADDR": ops, "WORKER_SLOT": fmt.Sprint(slot)}
	var entries []string
	for _, setting := range reads {
		value, ok := own[setting]
		if !ok {
			value, ok = env[setting]
		}
		if ok {
			entries = append(entries, setting+"="+value)
		}
	}
	slices.Sort(entries)
	s.ops[name] = own["OPS_ADDR"]
	s.services[name] = &child{
		name: name, args: []string{path}, env: entries, log: filepath.Join(s.dir, name+".log"), pipe: s.lifeline[0],
	}
	return s.services[name].start()
}

// environment is every setting of every service.
//
//nolint:gosec // the keys protect nothing
func (s *stack) environment() (map[string]string, error) {
	ingest, errIngest := freeport.Addr()
	sandbox, errSandbox := freeport.Addr()
	s.ingest, s.sandbox = "http://"+ingest, "http://"+sandbox
	return map[string]string{
		"KAFKA_BROKERS": strings.Join(s.cluster.addrs, ","), "DATABASE_URL": s.postgres.url(), "SCHEMA_REGISTRY_URL": s.registry.URL(),
		"INGEST_ADDR": ingest, "SANDBOX_ADDR": sandbox,
		"ICBU_SECRETS": icbuSecrets, "PROCUREMENT_TOKENS": procurementTokens, "MALL_APPS": mallApps,
		"OKKI_URL": s.sandbox + "/router/rest", "OKKI_APP_KEY": "23456789", "OKKI_APP_SECRET": "chaos-okki-secret",
		"OKKI_TARGET_APP_KEY": "34567890", "OKKI_SIGN_METHOD": "hmac-sha256",
		"EZR_URL": s.sandbox, "EZR_APP_ID": "EZE", "EZR_TOKEN": "chaos-ezr-token", "EZR_APP_SYSTEM": "orderflow-chaos",
		"EZR_INSTANCES":   "2",
		"PAYLOAD_KEYS":    "chaos=Y2hhb3MtcGF5bG9hZC1rZXktb2YtMzItYnl0ZXMhISE=",
		"PSEUDONYM_KEYS":  "chaos=Y2hhb3MtcHNldWRvbnlta2V5LW9mLTMyLWJ5dGVzISE=",
		"RECEIPT_KEYS":    receiptKeys,
		"RETRY_AFTER_MAX": "10s",
		"BALANCE_EVERY":   "2s",
		"BALANCE_GRACE":   balanceGrace.String(),
	}, errors.Join(errIngest, errSandbox)
}

func (s *stack) once(ctx context.Context, program string, env map[string]string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, migrateWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "KAFKA_BROKERS=" + env["KAFKA_BROKERS"], "DATABASE_URL=" + env["DATABASE_URL"]}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return nil
}

// heal undoes whatever was done to any process and waits until all of them are ready.
func (s *stack) heal(ctx context.Context) error {
	for _, c := range s.services {
		c.heal()
	}
	for _, node := range s.cluster.nodes {
		node.heal()
	}
	if err := s.postgres.heal(ctx); err != nil {
		return err
	}
	if err := s.cluster.awaitInSync(ctx); err != nil {
		return err
	}
	for name, addr := range s.ops {
		if err := eventually(ctx, readyWithin, name+" is ready again", func() error { return ready(ctx, addr) }); err != nil {
			return err
		}
	}
	return nil
}

// end takes everything down.
func (s *stack) end() {
	if s.lifeline[1] != nil {
		_ = s.lifeline[1].Close()
	}
	var group errgroup.Group
	for _, c := range s.services {
		if c.over != nil {
			group.Go(func() error { c.end(serviceGrace); return nil })
		}
	}
	_ = group.Wait()
	if s.registry != nil {
		s.registry.Close()
	}
	if s.cluster != nil {
		s.cluster.end()
	}
	if s.postgres != nil {
		s.postgres.end()
	}
	if s.lifeline[0] != nil {
		_ = s.lifeline[0].Close()
	}
}

// database is a private PostgreSQL that can be killed and frozen.
type database struct {
	server *pgserver.Server
	frozen *freezer
}

func startDatabase(ctx context.Context, dir string) (*database, error) {
	server, err := pgserver.New(ctx, pgserver.Options{Dir: filepath.Join(dir, "pg"), Disposable: true})
	if err != nil {
		return nil, err
	}
	d := &database{server: server}
	if err := server.Start(ctx); err != nil {
		return d, err
	}
	return d, server.CreateDatabase(ctx, databaseName)
}

func (d *database) url() string { return d.server.URL(databaseName) }

func (d *database) kill() error { return d.server.Kill() }

func (d *database) freeze() (err error) {
	d.frozen, err = freeze(d.server.PID())
	return err
}

func (d *database) heal(ctx context.Context) error {
	if d.frozen != nil {
		d.frozen.thaw()
		d.frozen = nil
	}
	return d.server.Start(ctx)
}

func (d *database) end() {
	if d.frozen != nil {
		d.frozen.thaw()
	}
	_ = d.server.Stop()
}
