// Command chaos proves the promise of design.md section 2 on the worst day. It runs the whole pipeline as real processes,
// over three brokers of a real Apache Kafka, a real PostgreSQL and stand-ins of the partners, pushes orders of all three
// sources, and meanwhile kills and freezes everything by a seeded script. When all is healed and drained, a checker that
// shares no code with the pipeline holds what senders were told, the topics, PostgreSQL and the partners against the
// laws. It is what `make chaos` runs; the README beside it has its reports.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"orderflow/pkg/boot"
)

func main() {
	if guardFrozen() {
		return
	}
	var cfg settings
	if len(os.Args) > 1 {
		fmt.Println("chaos takes no arguments and reads the environment.")
		_ = boot.Table(os.Stdout, &cfg)
		return
	}
	if err := boot.Load(&cfg); err != nil {
		fmt.Fprintf(os.Stderr, "chaos: the settings are wrong (see chaos -h):\n%v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	go spawner()
	passed, err := run(ctx, cfg)
	if err != nil {
		fmt.Fprintf(os.Stderr, "chaos: %v\n", err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}
