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
		if err := s.reachable(); err != nil {
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

// reachable checks that the server's user can enter the folder: a mode 0700 folder above it, such as root's home, is the
// usual reason why initdb cannot.
func (s *Server) reachable() error {
	for dir := filepath.Dir(s.opts.Dir); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if ok && info.Mode()&0o001 == 0 && stat.Uid != s.credential.Uid {
			return fmt.Errorf("user id %d, which the server runs as, may not enter %s", s.credential.Uid, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (s *Server) loadPassword() error {
	if s.opts.Addr == "" {
		return nil
	}
	path := filepath.Join(s.opts.Dir, passwordFile)
	text, err := os.ReadFile(path) //nolint:gosec // our own file
	if errors.Is(err, os.ErrNotExist) {
		text = []byte(rand.Text())
		err = os.WriteFile(path, text, 0o600)
	}
	s.password = strings.TrimSpace(string(text))
	return err
}

func (s *Server) initdb(ctx context.Context) error {
	args := []string{"-D", s.dataDir(), "-U", userName, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"}
	if s.opts.Addr == "" {
		args = append(args, "-A", "trust")
	} else {
		file, err := s.passwordForInitdb()
		if err != nil {
			return err
		}
		defer func() { _ = os.Remove(file) }()
		args = append(args, "-A", "scram-sha-256", "--pwfile", file)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), args...) //nolint:gosec // found by Find
	cmd.Dir = s.runDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Setpgid: true}
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
		settings = append(settings, "listen_addresses=", "unix_socket_directories="+s.runDir(), "unix_socket_permissions=0700")
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
	args := []string{"-D", s.dataDir()}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args, nil
}
