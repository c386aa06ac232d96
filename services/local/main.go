// Command local runs all of orderflow on one machine: an embedded broker, a private PostgreSQL, stand-ins of the partners
// and every service as a child process, with a demo. It is what `make run` starts; interfaces.md section 2 is its
// contract. State lies in .local of the current folder.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"orderflow/pkg/boot"
)

func main() {
	var cfg settings
	if len(os.Args) > 1 {
		help(&cfg)
		return
	}
	if err := boot.Load(&cfg); err != nil {
		fmt.Fprintf(os.Stderr, "local: the settings are wrong (see local -h):\n%v\n", err)
		os.Exit(2)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctx, stop := context.WithCancel(context.Background())
	out := newConsole(os.Stdout)
	go func() {
		<-signals
		out.say("local", "stopping (once more to end at once)")
		stop()
		awaitSecond(signals)
		os.Exit(1) // the services end with their pipe
	}()
	err := run(ctx, cfg, out)
	if ctx.Err() != nil {
		err = nil // stopped on request, whatever was under way
	}
	out.close()
	if err != nil {
		fmt.Fprintf(os.Stderr, "local: %v\n", err)
		os.Exit(1)
	}
}

// awaitSecond waits for a signal that means another one: those who send to a process and to its group send twice.
func awaitSecond(signals <-chan os.Signal) {
	for echo := time.After(time.Second); ; {
		select {
		case <-signals:
		case <-echo:
			<-signals
			return
		}
	}
}

func help(cfg *settings) {
	fmt.Println("local runs all of orderflow on this machine; it takes no arguments and reads the environment.")
	fmt.Println("What a service reads beside this (see bin/SERVICE -h) is handed on to it.")
	fmt.Println()
	_ = boot.Table(os.Stdout, cfg)
}
