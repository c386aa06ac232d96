package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// portsFree is how long the private PostgreSQL of a killed local may hold its port.
const portsFree = 20 * time.Second

// checkPorts reports every address that is taken, with the setting that moves it. After a stack that was killed it is
// patient for a moment.
func checkPorts(ctx context.Context, listeners []listener, patient bool) error {
	deadline := time.Now()
	if patient {
		deadline = deadline.Add(portsFree)
	}
	var errs []error
	for _, l := range listeners {
		err := tryPort(ctx, l)
		for err != nil && time.Now().Before(deadline) && pause(ctx, 50*time.Millisecond) {
			err = tryPort(ctx, l)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func tryPort(ctx context.Context, l listener) error {
	var config net.ListenConfig
	probe, err := config.Listen(ctx, "tcp", l.addr)
	if err != nil {
		return fmt.Errorf("%s: %s wants %s, which cannot be had (%w): set %s to a free address, or stop what listens there", l.setting, l.who, l.addr, err, l.setting)
	}
	return probe.Close()
}
