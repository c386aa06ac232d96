package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// readEnv sets what the environment lacks from a file of NAME=value lines as local writes it. A file that was not asked
// for by name need not be there.
func readEnv(path string, asked bool) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the settings file: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		name = strings.TrimPrefix(name, "export ")
		if !found || strings.ContainsAny(name, " #") || os.Getenv(name) != "" || os.Getenv(name+"_FILE") != "" {
			continue
		}
		if err := os.Setenv(name, unquote(value)); err != nil {
			return fmt.Errorf("read the settings file: %s: %w", path, err)
		}
	}
	return nil
}

// unquote takes a shell's single quotes off, as local puts them on.
func unquote(value string) string {
	if len(value) < 2 || value[0] != '\'' || value[len(value)-1] != '\'' {
		return value
	}
	return strings.ReplaceAll(value[1:len(value)-1], `'\''`, "'")
}
