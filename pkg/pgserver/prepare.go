package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// passwordFile keeps the generated password beside the cluster, readable by this process's user only.
const passwordFile = "password"

// prepare makes the folders and, the first time, the cluster. A cluster that was cut short while it was made is made anew.
func (s *Server) prepare(ctx context.Context) error {
	if err := os.MkdirAll(s.opts.Dir, 0o711); err != nil { //nolint:gosec // the server's user must pass through
		return err
	}
	if s.credential != nil {
		if err := os.Chmod(s.opts.Dir, 0o711); err != nil { //nolint:gosec // as above
			return err
		}
		if err := s.openHandle(); err != nil {
			return err
		}
	}
	if err := s.owned(s.runDir()); err != nil {
		return err
	}
	if err := s.loadPassword(); err != nil {
		return err
	}
	done := filepath.Join(s.opts.Dir, "initialised")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if err := os.RemoveAll(s.dataDir()); err != nil {
		return err
	}
	if err := s.owned(s.dataDir()); err != nil {
		return err
	}
	if err := s.initdb(ctx); err != nil {
		return err
	}
	return os.WriteFile(done, nil, 0o600)
}

// handlePath is where a child finds the descriptor that it inherits as its first one.
const handlePath = "/proc/self/fd/3"

// openHandle opens the folder for the server's user, who often may not enter the folders above it (root's home, a folder
// of mode 0700): it goes in through an inherited descriptor instead, which nothing above the folder can forbid.
func (s *Server) openHandle() (err error) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return fmt.Errorf("hand the folder to the server's user: %w", err)
	}
	s.handle, err = os.Open(s.opts.Dir)
	return err
}

// handed is the path of something inside the folder as the server's user can reach it.
func (s *Server) handed(path string) string {
	if s.handle == nil {
		return path
	}
	return handlePath + strings.TrimPrefix(path, s.opts.Dir)
}

// command makes a call of one of the server's programs, as the server's user and with nothing of our environment.
func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Setpgid: true}
	if s.handle != nil {
		cmd.ExtraFiles = []*os.File{s.handle}
	}
	return cmd
}

func (s *Server) loadPassword() error {
	if s.opts.Addr == "" {
		return nil
	}
	path := filepath.Join(s.opts.Dir, passwordFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		text = []byte(rand.Text())
		err = os.WriteFile(path, text, 0o600)
	}
	s.password = strings.TrimSpace(string(text))
	return err
}

func (s *Server) initdb(ctx context.Context) error {
	args := []string{"-D", s.handed(s.dataDir()), "-U", userName, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"}
	if s.opts.Addr == "" {
		args = append(args, "-A", "trust")
	} else {
		file, err := s.passwordForInitdb()
		if err != nil {
			return err
		}
		defer func() { _ = os.Remove(file) }()
		args = append(args, "-A", "scram-sha-256", "--pwfile", s.handed(file))
	}
	cmd := s.command(ctx, "initdb", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, lastLine(out))
	}
	return nil
}

// passwordForInitdb writes the password where the server's user can read it, for the time of initdb.
func (s *Server) passwordForInitdb() (string, error) {
	path := filepath.Join(s.runDir(), passwordFile)
	if err := os.WriteFile(path, []byte(s.password), 0o600); err != nil {
		return "", err
	}
	if s.credential == nil {
		return path, nil
	}
	return path, os.Chown(path, int(s.credential.Uid), int(s.credential.Gid))
}

// arguments of the postgres program.
func (s *Server) arguments() ([]string, error) {
	settings := []string{"log_line_prefix=%m [%p] ", "timezone=UTC", "log_timezone=UTC", "default_toast_compression=lz4"}
	if s.opts.Addr == "" {
		settings = append(settings, "listen_addresses=", "unix_socket_directories="+s.handed(s.runDir()), "unix_socket_permissions=0700")
	} else {
		host, port, err := net.SplitHostPort(s.opts.Addr)
		if err != nil {
			return nil, err
		}
		settings = append(settings, "listen_addresses="+host, "port="+port, "unix_socket_directories=")
	}
	if s.opts.Disposable {
		settings = append(settings, "fsync=off", "full_page_writes=off")
	}
	args := []string{"-D", s.handed(s.dataDir())}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args, nil
}
