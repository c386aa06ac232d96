package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"time"

	"orderflow/pkg/pgserver"
)

const (
	databaseName = "orderflow"
	// aptWithin bounds the installation of PostgreSQL.
	aptWithin = 5 * time.Minute
	// postgresStart is how long a first start is tried: the server of a killed local may still be writing its last pages.
	postgresStart = 60 * time.Second
	// postgresStop bounds the wait for a clean stop; a server that takes longer stops by itself once this process is gone.
	postgresStop = 1200 * time.Millisecond
)

// startPostgres runs the private PostgreSQL with its data in dir, and makes the database.
func startPostgres(ctx context.Context, c *console, addr, dir, log string) (*pgserver.Server, error) {
	options := pgserver.Options{Dir: dir, Addr: addr, LogFile: log}
	server, err := pgserver.New(ctx, options)
	if errors.Is(err, pgserver.ErrNotInstalled) {
		if err := installPostgres(ctx, c, err); err != nil {
			return nil, err
		}
		server, err = pgserver.New(ctx, options)
	}
	if err != nil {
		return nil, err
	}
	trying, cancel := context.WithTimeout(ctx, postgresStart)
	defer cancel()
	for {
		err := server.Start(trying)
		if err == nil {
			break
		}
		if !pause(trying, time.Second) {
			return nil, fmt.Errorf("%w (see %s)", err, log)
		}
	}
	if err := server.CreateDatabase(ctx, databaseName); err != nil {
		return nil, err
	}
	if err := server.CloseMaintenance(ctx); err != nil { // to the analyst
		return nil, err
	}
	return server, nil
}

// analystName logs in to the private PostgreSQL as an analyst does.
const analystName = "analyst"

// analystURL is the database's URL for the analyst.
func analystURL(owner, password string) string {
	u, err := url.Parse(owner)
	if err != nil {
		return "" // never: the server's own
	}
	u.User = url.UserPassword(analystName, password)
	return u.String()
}

// installPostgres installs the server programs where this process may.
func installPostgres(ctx context.Context, c *console, missing error) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%w; or give a running one in DATABASE_URL", missing)
	}
	c.say("local", "PostgreSQL is missing: installing it with apt-get, which takes a minute")
	ctx, cancel := context.WithTimeout(ctx, aptWithin)
	defer cancel()
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", "postgresql"}} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = []string{
			"DEBIAN_FRONTEND=noninteractive", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
			"http_proxy=" + os.Getenv("http_proxy"), "https_proxy=" + os.Getenv("https_proxy"),
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w; apt-get %s: %w\n%s", missing, args[0], err, out)
		}
	}
	return nil
}

// keepPostgres starts the server again when it dies.
func keepPostgres(ctx context.Context, c *console, server *pgserver.Server) {
	wait := backoffMin
	for {
		started := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-server.Done():
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) >= healthyAfter {
			wait = backoffMin
		}
		c.say("local", "PostgreSQL ended, starting it again in %v", wait)
		if !pause(ctx, wait) {
			return
		}
		wait = min(2*wait, backoffMax)
		if err := server.Start(ctx); err != nil && ctx.Err() == nil {
			c.say("local", "PostgreSQL: %v", err)
		}
	}
}

// stopPostgres stops the server cleanly, without waiting for ever.
func stopPostgres(server *pgserver.Server) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Stop()
	}()
	select {
	case <-stopped:
	case <-time.After(postgresStop):
	}
}
