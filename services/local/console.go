package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// console writes lines for people to the terminal, from its own goroutine: a terminal that is held (or a pipe that nobody
// reads) must not hold the supervision of the services. When too many lines wait, newer ones are dropped and counted.
type console struct {
	lines   chan string
	done    chan struct{}
	mu      sync.Mutex
	closed  bool
	dropped int
}

const consoleQueue = 4096

func newConsole(w io.Writer) *console {
	c := &console{lines: make(chan string, consoleQueue), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for line := range c.lines {
			_, _ = io.WriteString(w, line)
		}
	}()
	return c
}

// say writes one or more lines with the speaker's name before each.
func (c *console) say(who, format string, args ...any) {
	var b strings.Builder
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		fmt.Fprintf(&b, "%-10s | %s\n", who, strings.TrimRight(line, "\n"))
	}
	c.print(b.String())
}

// print writes text as it is.
func (c *console) print(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if c.dropped > 0 {
		text = fmt.Sprintf("(%d lines left out: the terminal did not take them)\n%s", c.dropped, text)
	}
	select {
	case c.lines <- text:
		c.dropped = 0
	default:
		c.dropped++
	}
}

// closeWithin bounds the wait for a terminal that does not take its lines.
const closeWithin = 500 * time.Millisecond

// close lets what waits be written and ends the goroutine.
func (c *console) close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.lines)
	}
	c.mu.Unlock()
	select {
	case <-c.done:
	case <-time.After(closeWithin):
	}
}
