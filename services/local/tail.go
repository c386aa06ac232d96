package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// tailEvery is how often the log files are looked at: they are for people.
const tailEvery = 200 * time.Millisecond

// tail follows a program's log file and shows what is worth it.
type tail struct {
	name string
	path string
	file *os.File
	rest []byte // an unfinished line
}

// fresh sets a program's last log aside, so that the file begins with this run.
func fresh(path string) error {
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set the last log aside: %w", err)
	}
	return nil
}

// follow shows the lines of the logs until ctx ends, and then what is left of them.
func follow(ctx context.Context, c *console, show string, tails []*tail) {
	for more := true; more; {
		more = pause(ctx, tailEvery)
		for _, t := range tails {
			for _, line := range t.read() {
				if text, ok := render(line, show); ok {
					c.say(t.name, "%s", text)
				}
			}
		}
	}
}

// read returns the whole lines that were added since.
func (t *tail) read() [][]byte {
	if t.file == nil {
		f, err := os.Open(t.path)
		if err != nil {
			return nil // not started yet
		}
		t.file = f
	}
	added, err := io.ReadAll(io.LimitReader(t.file, 1<<20))
	if err != nil || len(added) == 0 {
		return nil
	}
	lines := bytes.Split(append(t.rest, added...), []byte("\n"))
	t.rest = bytes.Clone(lines[len(lines)-1])
	return lines[:len(lines)-1]
}

// render makes a line of a service's log readable. What is no log line, a panic for example, is always shown.
func render(line []byte, show string) (string, bool) {
	if show == showNone || len(bytes.TrimSpace(line)) == 0 {
		return "", false
	}
	var fields map[string]any
	if json.Unmarshal(line, &fields) != nil {
		return string(line), true
	}
	level, _ := fields["level"].(string)
	if show == showWarn && (level == "info" || level == "debug") {
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s %v", strings.ToUpper(level), fields["msg"])
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		switch key {
		case "level", "msg", "time", "service":
		default:
			fmt.Fprintf(&b, "  %s=%v", key, fields[key])
		}
	}
	return b.String(), true
}
