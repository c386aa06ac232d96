// Package boot is how a process of the house starts and stops: settings from the environment, a logger, an ops address
// with health and metrics, and one exit. A service's main is its settings struct, a run function and a call of Main.
package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Process is what a service gets from its house: who it is and what it reports to.
type Process struct {
	Name    string
	Version string
	Log     *zap.Logger
	Health  *Health
	Metrics *prometheus.Registry
}

// ErrStopped is the cause of the context given to run once the process was asked to stop.
var ErrStopped = errors.New("stopping")

// ParentPipe is the environment variable with the number of an inherited file descriptor; the process ends when that
// pipe does, so that no service outlives the parent that started it, however the parent died.
const ParentPipe = "ORDERFLOW_PARENT_PIPE"

// stopGrace bounds a graceful stop; after it the process ends as it is, and Kafka redelivers what it held.
const stopGrace = 8 * time.Second

// Main loads cfg, runs the service until it returns or a signal or the parent's end asks it to stop, and exits. The run
// context's cause is ErrStopped then. Run returns nil on a graceful stop.
func Main(name string, cfg Common, run func(ctx context.Context, p *Process) error) {
	for _, arg := range os.Args[1:] {
		if arg == "-h" || arg == "--help" || arg == "-help" {
			Usage(os.Stdout, name, cfg)
			return
		}
	}
	if err := Load(cfg); err != nil {
		fmt.Fprintf(os.Stderr, "%s: the settings are wrong (see %s -h):\n%v\n", name, name, err)
		os.Exit(2)
	}
	log, err := newLogger(name, cfg.common().LogLevel)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: LOG_LEVEL: %v\n", name, err)
		os.Exit(2)
	}
	err = supervise(name, cfg.common(), log, run)
	_ = log.Sync()
	if err != nil {
		os.Exit(1)
	}
}

func supervise(name string, s *Settings, log *zap.Logger, run func(context.Context, *Process) error) error {
	ctx, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	go stopOnSignal(stop)
	if err := stopWithParent(stop); err != nil {
		log.Error("parent pipe unusable", zap.Error(err))
		return err
	}
	p := &Process{Name: name, Version: version(), Log: log, Health: NewHealth(), Metrics: newRegistry()}
	ops, err := serveOps(s.OpsAddr, p)
	if err != nil {
		log.Error("ops address unusable", zap.Error(err))
		return err
	}
	defer ops.Close()
	log.Info("started", zap.String("version", p.Version), zap.String("ops", ops.Addr()))
	go func() {
		<-ctx.Done()
		time.Sleep(stopGrace)
		log.Warn("stop took too long, ending as it is", zap.Duration("grace", stopGrace))
		os.Exit(1)
	}()
	if err := run(ctx, p); err != nil && !errors.Is(err, context.Canceled) {
		log.Error("stopped by an error", zap.Error(err))
		return err
	}
	log.Info("stopped")
	return nil
}

// stopOnSignal asks for a graceful stop at the first signal and ends the process at the second.
func stopOnSignal(stop context.CancelCauseFunc) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
	stop(ErrStopped)
	<-signals
	os.Exit(1)
}

// stopWithParent watches the inherited pipe, if there is one.
func stopWithParent(stop context.CancelCauseFunc) error {
	text := os.Getenv(ParentPipe)
	if text == "" {
		return nil
	}
	fd, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return fmt.Errorf("%s: not a file descriptor", ParentPipe)
	}
	syscall.CloseOnExec(int(fd))
	pipe := os.NewFile(uintptr(fd), "parent pipe")
	go func() {
		buffer := make([]byte, 1)
		for {
			if _, err := pipe.Read(buffer); err != nil {
				stop(ErrStopped)
				return
			}
		}
	}()
	return nil
}

func newLogger(name, level string) (*zap.Logger, error) {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, errors.New("not one of debug, info, warn, error")
	}
	cfg := zap.NewProductionConfig()
	cfg.Level = zap.NewAtomicLevelAt(parsed)
	cfg.EncoderConfig.TimeKey = "time"
	cfg.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	cfg.DisableStacktrace = true
	cfg.DisableCaller = true
	cfg.OutputPaths = []string{"stdout"}
	log, err := cfg.Build()
	if err != nil {
		return nil, err
	}
	return log.With(zap.String("service", name)), nil
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return info.Main.Version
}
