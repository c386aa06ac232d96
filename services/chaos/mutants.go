package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// mutant is a build of the services in which one law is broken on purpose.
type mutant struct {
	tag  string // build tag; the broken rule stands beside the whole one
	only string // the faults that bring it to light
	law  string // that has to catch it
}

var allMutants = []mutant{
	{"mutant_commit_before_ack", "kill okkisync-0, mallupload-0", lawOneEnd},
	{"mutant_no_revision_guard", "freeze persist", lawInOrder},
	{"mutant_letter_on_outage", "answers 500", lawLetters},
	{"mutant_ledger_off", "kill okkisync", lawOneEffect},
}

// mutantDrain bounds the wait for the end of a mutant's run: what it lost never comes.
const mutantDrain = 75 * time.Second

// mutants runs the pipeline once with each law broken; true when every one was caught by the law that it breaks.
func mutants(ctx context.Context, cfg settings, root string, out io.Writer) (bool, error) {
	caught := true
	fmt.Fprintf(out, "| broken on purpose | caught by |\n|---|---|\n")
	for _, m := range allMutants {
		if cfg.Mutant != "" && cfg.Mutant != m.tag {
			continue
		}
		laws, err := m.run(ctx, cfg, root)
		if err != nil {
			return false, err
		}
		verdict, ok := m.verdict(laws)
		caught = caught && ok
		fmt.Fprintf(out, "| %s | %s |\n", m.tag, verdict)
	}
	return caught, nil
}

// verdict on the laws that a run of the mutant broke: caught only by the law that it breaks.
func (m mutant) verdict(laws []string) (text string, caught bool) {
	text = strings.Join(laws, "; ")
	if !slices.Contains(laws, m.law) {
		return "**not caught by: " + m.law + "**; " + text, false
	}
	return text, true
}

// run gives the laws that a run of the mutant breaks.
func (m mutant) run(ctx context.Context, cfg settings, root string) ([]string, error) {
	bin, remove, err := build(ctx, root, m.tag)
	if err != nil {
		return nil, err
	}
	defer remove()
	t := newTrial(cfg, root, bin, m.tag, cfg.MutantTime, "overwrite")
	t.only, t.drain = m.only, min(cfg.Drain, mutantDrain)
	rep, err := t.run(ctx)
	if err != nil {
		return nil, t.keep(err)
	}
	if cfg.Keep {
		rep.write(os.Stderr)
		t.say("evidence: %s", t.dir)
	} else {
		_ = os.RemoveAll(t.dir)
	}
	return rep.broken(), nil
}
