package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"orderflow/pkg/boot"
)

// service is a child process, named by what it is: its executable stands beside this one.
type service struct{ name string }

// services in the order of their ops ports; a new one goes to the end, so that the others keep theirs.
var services = []service{{"ingest"}, {"validate"}, {"okkisync"}, {"mallupload"}, {"persist"}, {"sandbox"}, {"console"}, {"balance"}}

// steps are the calls of orderctl that come before any service.
var steps = [][]string{{"migrate"}, {"topics", "apply"}}

// binaries is the folder of this executable and of all the others.
func binaries() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the services: %w", err)
	}
	return filepath.Dir(self), nil
}

// checkPrograms reports every executable that is missing.
func checkPrograms(dir string) error {
	var missing []string
	for _, s := range append([]service{{"orderctl"}}, services...) {
		if info, err := os.Stat(filepath.Join(dir, s.name)); err != nil || info.IsDir() {
			missing = append(missing, s.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: not found in %s beside local: build them (make run, or go build -o bin/ ./services/...)", strings.Join(missing, ", "), dir)
	}
	return nil
}

// programs makes what is kept running of the services.
func (s *stack) programs(ctx context.Context) ([]program, error) {
	all := make([]program, len(services))
	group, ctx := errgroup.WithContext(ctx)
	for n, service := range services {
		group.Go(func() error {
			path, log := filepath.Join(s.binaries, service.name), s.state.path("logs", service.name+".log")
			reads, err := boot.SettingsOf(ctx, path)
			if err != nil {
				return err
			}
			env := s.env.of(reads, map[string]string{"OPS_ADDR": s.cfg.ops(n)})
			all[n] = program{name: service.name, path: path, env: env, log: log}
			return fresh(log)
		})
	}
	return all, group.Wait()
}

// nextOfGiven says what to do where a server that was given, and not started here, may be at fault; nil if none was.
func (s *stack) nextOfGiven() error {
	var names []string
	for name, value := range map[string]string{"KAFKA_BROKERS": s.cfg.Brokers, "DATABASE_URL": s.cfg.Database} {
		if value != "" {
			names = append(names, name)
		}
	}
	if names == nil {
		return nil
	}
	slices.Sort(names)
	all := strings.Join(names, " and ")
	return fmt.Errorf("  next: see that what %s names runs and lets you in, or unset %s: then a server of our own is started", all, all)
}

// runSteps prepares database and broker with orderctl, as one would elsewhere.
func (s *stack) runSteps(ctx context.Context) error {
	var reads []string
	for name := range s.env {
		if strings.HasPrefix(name, "KAFKA_") || strings.HasPrefix(name, "DATABASE_URL") {
			reads = append(reads, name)
		}
	}
	steps := steps
	if s.postgres != nil { // in somebody else's database, who may log in is somebody else's to say
		steps, reads = append(slices.Clone(steps), []string{"analysts", "add", analystName}), append(reads, "ANALYST_PASSWORD")
	}
	for _, args := range steps {
		cmd := exec.CommandContext(ctx, filepath.Join(s.binaries, "orderctl"), args...)
		cmd.Env = s.env.of(reads, nil)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return errors.Join(fmt.Errorf("orderctl %s: %w", strings.Join(args, " "), err), errors.New(strings.TrimSpace(string(out))), s.nextOfGiven())
		}
		if args[0] == "analysts" { // what else a login can do is worth knowing
			s.console.say("local", "%s", out)
		}
	}
	return nil
}
