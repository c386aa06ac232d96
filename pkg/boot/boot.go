// Package boot is how a process of the house starts and stops: settings from the environment, a logger, an ops address
// with health and metrics, traces, and one exit. A service's main is its settings struct, a run function and a call of
// Main.
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

// Exit statuses of Main.
const (
	exitError    = 1 // the service failed, or did not stop in time
	exitSettings = 2
)

// Main loads cfg, runs the service until it returns or a signal or the parent's end asks it to stop, and exits. The run
// context's cause is ErrStopped then. Run returns nil on a graceful stop; a second signal ends the process at once.
func Main(name string, cfg Common, run func(ctx context.Context, p *Process) error) {
	if len(os.Args) > 1 {
		answerArguments(name, cfg)
		return
	}
	if err := Load(cfg); err != nil {
		fmt.Fprintf(os.Stderr, "%s: the settings are wrong (see %s -h):\n%v\n", name, name, err)
		os.Exit(exitSettings)
	}
	log := NewLogger(name, cfg.common().LogLevel)
	zap.RedirectStdLog(log)
	err := supervise(name, cfg.common(), log, run)
	_ = log.Sync()
	if err != nil {
		os.Exit(exitError)
	}
}

// answerArguments handles a call with arguments: a service has none but the question for its settings and the one for the
// readiness of the process that runs with the same settings.
func answerArguments(name string, cfg Common) {
	switch os.Args[1] {
	case "-h", "-help", "--help":
		Usage(os.Stdout, name, cfg)
	case "healthcheck":
		err := Load(cfg)
		if err == nil {
			err = healthcheck(cfg.common())
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(exitError)
		}
	default:
		fmt.Fprintf(os.Stderr, "%s takes no argument but -h and healthcheck; its settings come from the environment (see %s -h)\n", name, name)
		os.Exit(exitSettings)
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
	flush, err := startTraces(ctx, p, s.OTLP)
	if err != nil {
		log.Error("traces unusable", zap.Error(err))
		return err
	}
	defer flush()
	context.AfterFunc(ctx, func() { p.Health.Set("process", ErrStopped) })
	go endAfterGrace(ctx, log)
	log.Info("started", zap.String("version", p.Version), zap.String("ops", ops.Addr()))
	// An error of a run that was asked to stop and ended with its context is the stop itself.
	if err := run(ctx, p); err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled) && !errors.Is(err, ErrStopped)) {
		log.Error("stopped by an error", zap.Error(err))
		return err
	}
	log.Info("stopped")
	return nil
}

// endAfterGrace ends the process when a graceful stop takes too long.
func endAfterGrace(ctx context.Context, log *zap.Logger) {
	<-ctx.Done()
	time.Sleep(stopGrace)
	log.Warn("stop took too long, ending as it is", zap.Duration("grace", stopGrace))
	os.Exit(exitError)
}

// stopOnSignal asks for a graceful stop at the first signal and ends the process at the second.
func stopOnSignal(stop context.CancelCauseFunc) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	<-signals
	stop(ErrStopped)
	<-signals
	os.Exit(exitError)
}

// stopWithParent watches the inherited pipe, if there is one. The variable is removed at once: a process started by this
// one does not inherit the pipe, and would take some other descriptor for it.
func stopWithParent(stop context.CancelCauseFunc) error {
	text := os.Getenv(ParentPipe)
	if text == "" {
		return nil
	}
	if err := os.Unsetenv(ParentPipe); err != nil {
		return fmt.Errorf("unset %s: %w", ParentPipe, err)
	}
	fd, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return fmt.Errorf("%s: not a file descriptor", ParentPipe)
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(fd), &stat); err != nil || stat.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return fmt.Errorf("%s: descriptor %d is no pipe", ParentPipe, fd)
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

// NewLogger writes JSON lines to standard output. The level is one that Settings has checked; another counts as info.
// Nothing is sampled away: a line may be the only word on an order.
func NewLogger(name, level string) *zap.Logger {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		parsed = zapcore.InfoLevel
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.TimeKey = "time"
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.Lock(os.Stdout), parsed)
	return zap.New(core).With(zap.String("service", name))
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
