package main

import (
	"errors"
	"time"

	"orderflow/pkg/delivery"
	"orderflow/pkg/partner/ezr"
)

type settings struct {
	delivery.Settings
	EZR    ezr.Settings
	Limits limits
}

// limits are what EZR grants to one AppSystem, shared by all instances of this service.
type limits struct {
	MaxInFlight int           `env:"EZR_MAX_IN_FLIGHT" envDefault:"10" doc:"calls to EZR at once, of all instances together"`
	Rate        float64       `env:"EZR_RATE" envDefault:"0" doc:"calls to EZR a second, of all instances together; 0: no limit beside EZR_MAX_IN_FLIGHT"`
	Instances   int           `env:"EZR_INSTANCES" envDefault:"1" doc:"instances of this service: each takes its share of EZR_MAX_IN_FLIGHT and EZR_RATE"`
	Linger      time.Duration `env:"EZR_LINGER" envDefault:"50ms" doc:"how long an order waits for others of its shop"`
}

// Validate reports every mistake at once.
func (l *limits) Validate() error {
	var errs []error
	if l.Instances < 1 {
		errs = append(errs, errors.New("EZR_INSTANCES: at least 1"))
	}
	if l.MaxInFlight < max(l.Instances, 1) {
		errs = append(errs, errors.New("EZR_MAX_IN_FLIGHT: at least 1 for each of EZR_INSTANCES"))
	}
	if l.Rate < 0 {
		errs = append(errs, errors.New("EZR_RATE: not below 0"))
	}
	if l.Linger < 0 {
		errs = append(errs, errors.New("EZR_LINGER: not below 0"))
	}
	return errors.Join(errs...)
}

// inFlight is this instance's share; a remainder is left unused.
func (l *limits) inFlight() int { return l.MaxInFlight / l.Instances }

// rate is this instance's share in calls a second; 0 is no limit.
func (l *limits) rate() float64 { return l.Rate / float64(l.Instances) }
