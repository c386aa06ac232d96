package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	followEvery = 300 * time.Millisecond
	plainEvery  = 5 * time.Second // between lines where there is no terminal
	lostAfter   = time.Second     // without a word from the console
	barWidth    = 30
	// patience is how long the console may be away: it goes on with a job by itself once it is back.
	patience = 2 * time.Minute
	away     = "no answer from the console; the job is kept, and goes on when a console runs again"
)

// follow shows a job until it is over. The console may be away for a while: the job is PostgreSQL's. Somebody who does not
// wait for it is told how to look again.
func (c *console) follow(ctx context.Context, job jobView) error {
	quiet := *c
	quiet.raw = false
	shown := progress{out: c.out, terminal: terminal(c.out), began: time.Now(), silent: c.raw}
	lastWord := time.Now()
	for !job.over() {
		if time.Since(lastWord) < lostAfter {
			shown.update(&job)
		} else {
			shown.lost(&job)
		}
		select {
		case <-ctx.Done():
			shown.end()
			printf(c.out, "the job goes on: orderctl replays show %d --wait\n", job.ID)
			return errRefused
		case <-time.After(followEvery):
		}
		err := quiet.ask(ctx, http.MethodGet, fmt.Sprint("/api/replays/", job.ID), nil, nil, &job)
		refused, answered := errors.AsType[*apiError](err)
		switch {
		case err == nil:
			lastWord = time.Now()
		case ctx.Err() != nil:
		case answered && refused.status != http.StatusServiceUnavailable, time.Since(lastWord) > patience:
			shown.end()
			return fmt.Errorf("%w\n  the job is kept: orderctl replays show %d --wait looks again", err, job.ID)
		}
	}
	shown.update(&job)
	shown.end()
	if c.raw {
		if err := c.ask(ctx, http.MethodGet, fmt.Sprint("/api/replays/", job.ID), nil, nil, &job); err != nil {
			return err
		}
	}
	c.printJob(job)
	return job.verdict()
}

// progress is a bar on a terminal, else a line from time to time.
type progress struct {
	out      io.Writer
	terminal bool
	silent   bool
	began    time.Time
	last     string
	unsaid   string // came too soon after last
	at       time.Time
}

// update shows how far the job has come.
func (p *progress) update(j *jobView) {
	settled := j.settled()
	p.show(settled, j.Selected, fmt.Sprintf("%d of %d, %s, %s", settled, j.Selected, j.results(), strings.ReplaceAll(j.State, "_", " ")))
}

// lost shows how far it had come when the console was last heard.
func (p *progress) lost(j *jobView) {
	settled := j.settled()
	p.show(settled, j.Selected, fmt.Sprintf("%d of %d, %s", settled, j.Selected, away))
}

// show tells that so many of all are done, in words of the caller.
func (p *progress) show(done, all int, text string) {
	if p.silent {
		return
	}
	if p.terminal {
		full := barWidth
		if all > 0 {
			full = barWidth * min(done, all) / all
		}
		fmt.Fprintf(p.out, "\r\x1b[K[%s%s] %s  %s", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), text, time.Since(p.began).Round(time.Second))
		p.last = text
		return
	}
	p.unsaid = ""
	switch {
	case text == p.last:
	case p.last == "" || time.Since(p.at) >= plainEvery:
		fmt.Fprintln(p.out, text)
		p.last, p.at = text, time.Now()
	default:
		p.unsaid = text
	}
}

// end leaves how far it came.
func (p *progress) end() {
	if p.unsaid != "" || p.terminal && p.last != "" {
		fmt.Fprintln(p.out, p.unsaid)
	}
}

// terminal tells whether somebody looks on.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
