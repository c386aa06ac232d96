package boot

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// healthcheckTimeout bounds the question; a container engine asks again.
const healthcheckTimeout = 3 * time.Second

// healthcheck asks the process that runs with the same settings whether it is ready. It is the command of a container's
// health check: the image holds the service's binary and nothing else.
func healthcheck(s *Settings) error {
	host, port, err := net.SplitHostPort(s.OpsAddr)
	if err != nil {
		return fmt.Errorf("OPS_ADDR: not host:port")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthcheckTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", answer.Status)
	}
	return nil
}
