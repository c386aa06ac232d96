package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"orderflow/pkg/boot"
)

// TestMain lets this binary play every part: under the name local it is local itself, under a service's name it is a fake
// service, so that what local does to processes is tested with real processes and nothing else.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); {
	case name == "local":
		main()
	case name == "orderctl":
		playOrderctl()
	case slices.Contains(services, service{name}):
		playService(name)
	default:
		code := m.Run()
		if dir, err := bin(); err == nil {
			_ = os.RemoveAll(dir)
		}
		os.Exit(code)
	}
}

// playOrderctl writes down its call and says what it was.
func playOrderctl() {
	fmt.Println("orderctl was told:", strings.Join(os.Args[1:], " "))
	f, err := os.OpenFile("orderctl.calls", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, strings.Join(os.Args[1:], " "), os.Getenv("DATABASE_URL") != "", os.Getenv("ICBU_SECRETS") != "")
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// behaviour is what every fake reads, beside a secret of its own.
type behaviour struct {
	Text string `env:"FAKE_BEHAVE" doc:"NAME=deaf or NAME=broken: a service that does not stop, or cannot start"`
}

type fake struct {
	boot.Settings
	Behave behaviour
}

type fakeIngest struct {
	boot.Settings
	Behave  behaviour
	Secrets string `env:"ICBU_SECRETS,required" doc:"secrets"`
}

type fakeValidate struct {
	boot.Settings
	Behave   behaviour
	Registry string `env:"SCHEMA_REGISTRY_URL,required" doc:"registry"`
}

type fakeConsole struct {
	boot.Settings
	Behave behaviour
	Users  string `env:"CONSOLE_USERS,required" doc:"users"`
}

type fakePersist struct {
	boot.Settings
	Behave   behaviour
	Database string `env:"DATABASE_URL,required" doc:"database"`
	Slot     string `env:"WORKER_SLOT" doc:"slot"`
}

func playService(name string) {
	behave, _ := strings.CutPrefix(os.Getenv("FAKE_BEHAVE"), name+"=")
	if behave == "broken" && len(os.Args) == 1 {
		fmt.Println("the fake's settings are wrong")
		os.Exit(exitSettings)
	}
	run := func(ctx context.Context, p *boot.Process) error { return play(ctx, p, name, behave) }
	switch name {
	case "ingest":
		boot.Main(name, &fakeIngest{}, run)
	case "validate":
		boot.Main(name, &fakeValidate{}, run)
	case "console":
		boot.Main(name, &fakeConsole{}, run)
	case "persist":
		boot.Main(name, &fakePersist{}, run)
	default:
		boot.Main(name, &fake{}, run)
	}
}

// play writes down pid and environment, and on SIGUSR1 more log than a pipe could hold.
func play(ctx context.Context, p *boot.Process, name, behave string) error {
	if behave == "deaf" {
		ctx = context.WithoutCancel(ctx)
	}
	if err := writeFile(name+".env", []byte(strings.Join(os.Environ(), "\n"))); err != nil {
		return err
	}
	if err := writeFile(name+".pid", []byte(strconv.Itoa(os.Getpid()))); err != nil {
		return err
	}
	chat := make(chan os.Signal, 1)
	signal.Notify(chat, syscall.SIGUSR1)
	p.Health.Set("fake", nil)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-chat:
			for range 2000 {
				p.Log.Warn(strings.Repeat("chat ", 200))
			}
			if err := writeFile(name+".chatted", nil); err != nil {
				return err
			}
		}
	}
}
