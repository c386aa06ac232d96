package main

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
)

// environment is every setting of the stack by its name: what local was given, and what it made up for the rest.
type environment map[string]string

// passed on to every service beside its settings: what Go and the system need.
var passed = []string{
	"PATH", "HOME", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GODEBUG", "GOTRACEBACK", "GORACE",
}

// newEnvironment starts from this process's own environment, where NAME_FILE counts as NAME being given.
func newEnvironment() environment {
	e := environment{}
	for _, entry := range os.Environ() {
		if name, value, found := strings.Cut(entry, "="); found && value != "" {
			e[name] = value
		}
	}
	return e
}

// standard sets what was not given.
func (e environment) standard(name, value string) {
	if e[name] == "" && e[name+"_FILE"] == "" {
		e[name] = value
	}
}

// value is a setting's value, from its file if it was given by one; "" when it cannot be read, which the services report.
func (e environment) value(name string) string {
	if path := e[name+"_FILE"]; e[name] == "" && path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			return ""
		}
		return strings.TrimRight(string(content), "\r\n")
	}
	return e[name]
}

// of is the environment of a service that reads the given settings: those, and nothing else of ours.
func (e environment) of(settings []string, own map[string]string) []string {
	names := slices.Clone(passed)
	for _, name := range settings {
		names = append(names, name, name+"_FILE")
	}
	all := map[string]string{}
	for _, name := range names {
		if value, ok := e[name]; ok {
			all[name] = value
		}
	}
	maps.Copy(all, own)
	var entries []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		entries = append(entries, name+"="+all[name])
	}
	return entries
}

// httpURL is the address at which a listener on addr is reached from this machine.
func httpURL(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// assignments writes the named settings, those that have a value, as a file for a shell to `source`. Sourcing it exports
// them; each is a plain NAME=value line for other readers.
func (e environment) assignments(names []string) []byte {
	var b bytes.Buffer
	b.WriteString("# The running stack, for a shell to source. It holds secrets.\nset -a\n")
	for _, name := range names {
		if value := e.value(name); value != "" {
			fmt.Fprintf(&b, "%s=%s\n", name, quote(value))
		}
	}
	b.WriteString("set +a\n")
	return b.Bytes()
}

// plain are the characters that mean nothing to a shell in an assignment.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=+,@%?-"

func quote(value string) string {
	if strings.Trim(value, plain) == "" {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
