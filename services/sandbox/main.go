// Command sandbox stands in for the two partners: OKKI's gateway at /router/rest and EZR at /api/morder/thirdOrdAdd. It
// keeps their documented contracts (protocols 2.3, 2.4 and 4) and fails on demand; interfaces.md section 4 is its manual.
// What it takes is kept in memory and is gone with the process.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/partner/ezr"
	"orderflow/pkg/partner/okki"
)

type settings struct {
	boot.Settings
	Addr string `env:"SANDBOX_ADDR" envDefault:"127.0.0.1:8099" doc:"address of both partners and of /_sandbox"`
	OKKI okki.Credentials
	EZR  ezr.Credentials
}

func main() {
	var cfg settings
	boot.Main("sandbox", &cfg, func(ctx context.Context, p *boot.Process) error { return run(ctx, p, cfg) })
}

func run(ctx context.Context, p *boot.Process, cfg settings) error {
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return fmt.Errorf("SANDBOX_ADDR: %w", err)
	}
	server := &http.Server{
		Handler:           newSandbox(cfg.OKKI, cfg.EZR).handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // a stop ends what hangs on demand
	}
	p.Health.Set("listening", nil)
	p.Log.Info("serving", zap.String("addr", listener.Addr().String()))
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-stopped
}
