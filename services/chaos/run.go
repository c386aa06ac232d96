package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

type settings struct {
	Minutes     float64       `env:"MINUTES" envDefault:"5" doc:"length of the run with ezr_existing overwrite"`
	ShortLength time.Duration `env:"CHAOS_2102" envDefault:"1m" doc:"length of the second run, in which EZR takes no changes; 0: none"`
	Seed        uint64        `env:"SEED" envDefault:"1" doc:"of load and faults"`
	Rate        float64       `env:"RATE" envDefault:"30" doc:"pushes a second, about"`
	Drain       time.Duration `env:"CHAOS_DRAIN" envDefault:"4m" doc:"longest wait for the end of everything"`
	Mutants     bool          `env:"MUTANTS" doc:"1: break each law on purpose instead, and want it caught"`
	MutantTime  time.Duration `env:"CHAOS_MUTANT" envDefault:"35s" doc:"length of the run of one mutant"`
	Mutant      string        `env:"CHAOS_ONLY" doc:"with MUTANTS: this one only; with OUTAGES: break this law on purpose"`
	Outages     bool          `env:"OUTAGES" doc:"1: let OKKI, EZR and PostgreSQL be away for MINUTES each, one after the other, instead"`
	Report      string        `env:"REPORT" doc:"file that takes the report, too"`
	Close       bool          `env:"CHAOS_CLOSE" doc:"1: wait after each run for the end of its last hour, at most 67 minutes, and want it closed too"`
	Keep        bool          `env:"CHAOS_KEEP" doc:"1: keep logs and journal also of a run that passed"`
}

// Validate reports every mistake at once.
func (s *settings) Validate() error {
	var errs []error
	if s.Minutes < 0 || s.Minutes > 600 {
		errs = append(errs, errors.New("MINUTES: 0 to 600"))
	}
	if s.Rate <= 0 || s.Rate > 1000 {
		errs = append(errs, errors.New("RATE: above 0, at most 1000"))
	}
	if s.Mutant != "" && !slices.ContainsFunc(allMutants, func(m mutant) bool { return m.tag == s.Mutant }) {
		errs = append(errs, errors.New("CHAOS_ONLY: no such mutant"))
	}
	if s.Outages && s.Mutants {
		errs = append(errs, errors.New("OUTAGES, MUTANTS: one of them"))
	}
	if s.Outages && s.Minutes < 0.2 {
		errs = append(errs, errors.New("MINUTES: at least 0.2 with OUTAGES, or an outage shows nothing"))
	}
	return errors.Join(errs...)
}

// run makes all trials; true when all laws held, or all mutants were caught.
func run(ctx context.Context, cfg settings) (bool, error) {
	root, err := findRoot()
	if err != nil {
		return false, err
	}
	var text bytes.Buffer
	out := io.MultiWriter(os.Stdout, &text)
	fmt.Fprintf(out, "%s, %s\n\n`%s`\n\n", time.Now().UTC().Format("2006-01-02 15:04 MST"), machine(), command(cfg))
	var passed bool
	switch {
	case cfg.Mutants:
		passed, err = mutants(ctx, cfg, root, out)
	case cfg.Outages:
		passed, err = awayInTurn(ctx, cfg, root, out)
	default:
		passed, err = trials(ctx, cfg, root, out)
	}
	if cfg.Report != "" {
		err = errors.Join(err, os.WriteFile(cfg.Report, text.Bytes(), 0o600))
	}
	return passed && err == nil, err
}

// trials runs the pipeline as it is: the long run, and a short one in which EZR takes no changes.
func trials(ctx context.Context, cfg settings, root string, out io.Writer) (bool, error) {
	bin, remove, err := build(ctx, root, "")
	if err != nil {
		return false, err
	}
	defer remove()
	passed := true
	for _, one := range []struct {
		name, existing string
		lasts          time.Duration
	}{
		{"changes are taken", "overwrite", time.Duration(cfg.Minutes * float64(time.Minute))},
		{"changes are refused", "2102", cfg.ShortLength},
	} {
		if one.lasts == 0 {
			continue
		}
		t := newTrial(cfg, root, bin, one.name, one.lasts, one.existing)
		t.closes, t.last = true, cfg.Close
		rep, err := t.run(ctx)
		if err != nil {
			return false, t.keep(err)
		}
		rep.write(out)
		if len(rep.broken()) > 0 {
			passed = false
			fmt.Fprintf(out, "evidence: %s\n\n", t.dir)
		} else if !cfg.Keep {
			_ = os.RemoveAll(t.dir)
		}
	}
	return passed, nil
}

func newTrial(cfg settings, root, bin, name string, lasts time.Duration, existing string) *trial {
	begun := time.Now()
	return &trial{
		name: name, root: root, bin: bin, seed: cfg.Seed, rate: cfg.Rate, lasts: lasts, drain: cfg.Drain, existing: existing,
		say: func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, "%7.1fs  %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
		},
	}
}

// keep says where a failed trial left its logs.
func (t *trial) keep(err error) error {
	if t.dir == "" {
		return err
	}
	return fmt.Errorf("%w (logs in %s)", err, t.dir)
}

// build makes the services, with a build tag if one is given.
func build(ctx context.Context, root, tag string) (bin string, remove func(), err error) {
	if bin, err = os.MkdirTemp("", "of-chaos-bin-"); err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(bin) }
	args := []string{"build", "-o", bin}
	if tag != "" {
		args = append(args, "-tags", tag)
	}
	names := []string{"orderctl"}
	for _, s := range serviceList {
		names = append(names, s.name)
	}
	for _, name := range names {
		args = append(args, "./services/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("build the services: %w\n%s", err, out)
	}
	return bin, remove, nil
}

// findRoot is the folder of go.work, here or above.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run it inside the repository: there is no go.work here or above")
		}
	}
}

// machine describes where the figures were measured.
func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	memory := ""
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err == nil {
			memory = fmt.Sprintf(", %d GiB", kib>>20)
		}
	}
	return fmt.Sprintf("%d cores (%s)%s, %s/%s, %s", runtime.NumCPU(), model, memory, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func command(cfg settings) string {
	text := "make chaos"
	switch {
	case cfg.Mutants:
		text += " MUTANTS=1"
	case cfg.Outages:
		text += fmt.Sprintf(" OUTAGES=1 MINUTES=%g", cfg.Minutes)
	default:
		text += fmt.Sprintf(" MINUTES=%g", cfg.Minutes)
	}
	if text += fmt.Sprintf(" SEED=%d RATE=%g", cfg.Seed, cfg.Rate); cfg.Mutant != "" {
		text += " CHAOS_ONLY=" + cfg.Mutant
	}
	return text
}
