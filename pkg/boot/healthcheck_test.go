package boot

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestHealthcheckAsksTheRunningProcess(t *testing.T) {
	p := &Process{Health: NewHealth(), Metrics: prometheus.NewRegistry()}
	ops, err := serveOps("127.0.0.1:0", p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ops.Close)
	_, port, err := net.SplitHostPort(ops.Addr())
	if err != nil {
		t.Fatal(err)
	}
	everywhere := &Settings{OpsAddr: "0.0.0.0:" + port}

	p.Health.Set("kafka", errors.New("away"))
	if err := healthcheck(everywhere); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("not ready: got %v, want the status 503", err)
	}
	p.Health.Set("kafka", nil)
	if err := healthcheck(everywhere); err != nil {
		t.Errorf("ready: %v", err)
	}
	ops.Close()
	if err := healthcheck(everywhere); err == nil {
		t.Error("nobody listens: want an error")
	}
}
