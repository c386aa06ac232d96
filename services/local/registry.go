package main

import (
	"fmt"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/registryserver"
)

// registryName is the registry's name in the log files and on the terminal.
const registryName = "registry"

// startRegistry serves a schema registry from this process, its state in the embedded broker or in the given ones, unless
// a registry was given.
func (s *stack) startRegistry() error {
	if s.cfg.Schemas != "" {
		s.console.say("local", given, "SCHEMA_REGISTRY_URL")
		return nil
	}
	kafka := bus.Settings{Brokers: []string{s.env["KAFKA_BROKERS"]}}
	if s.broker == nil {
		if err := boot.Load(&kafka); err != nil {
			return fmt.Errorf("the settings of Kafka are wrong: %w", err)
		}
	}
	log, err := s.fileLogger(registryName)
	if err != nil {
		return err
	}
	if s.registry, err = registryserver.Start(s.cfg.Registry, kafka, log); err != nil {
		return err
	}
	s.env["REGISTRY_ADDR"], s.env["SCHEMA_REGISTRY_URL"] = s.cfg.Registry, httpURL(s.cfg.Registry)
	s.console.say("local", "schema registry on %s", s.cfg.Registry)
	return nil
}

// fileLogger writes lines like a service's into a log file like a service's.
func (s *stack) fileLogger(name string) (*zap.Logger, error) {
	path := s.state.path("logs", name+".log")
	if err := fresh(path); err != nil {
		return nil, err
	}
	config := zap.NewProductionConfig()
	config.OutputPaths, config.Sampling, config.DisableStacktrace = []string{path}, nil, true
	config.EncoderConfig.TimeKey, config.EncoderConfig.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	log, err := config.Build(zap.Fields(zap.String("service", name)))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return log, nil
}
