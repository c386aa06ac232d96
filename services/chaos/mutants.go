package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// mutantTags are the build tags that break a law on purpose. Each stands beside the code that it breaks.
var mutantTags = []string{"mutant_commit_before_ack", "mutant_no_revision_guard", "mutant_letter_on_outage", "mutant_ledger_off"}

// mutants runs the pipeline once with each law broken; true when every one was caught.
func mutants(ctx context.Context, cfg settings, root string, out io.Writer) (bool, error) {
	caught := true
	fmt.Fprintf(out, "| broken on purpose | caught by |\n|---|---|\n")
	for _, tag := range mutantTags {
		if cfg.Mutant != "" && cfg.Mutant != tag {
			continue
		}
		laws, err := mutant(ctx, cfg, root, tag)
		if err != nil {
			return false, err
		}
		if len(laws) == 0 {
			caught = false
			laws = []string{"**nothing**"}
		}
		fmt.Fprintf(out, "| %s | %s |\n", tag, strings.Join(laws, "; "))
	}
	return caught, nil
}

// mutant gives the laws that a run without one of the pipeline's guards breaks.
func mutant(ctx context.Context, cfg settings, root, tag string) ([]string, error) {
	bin, remove, err := build(ctx, root, tag)
	if err != nil {
		return nil, err
	}
	defer remove()
	t := newTrial(cfg, root, bin, tag, cfg.MutantTime, "overwrite")
	rep, err := t.run(ctx)
	if err != nil {
		return nil, t.keep(err)
	}
	if cfg.Keep {
		rep.write(os.Stderr)
	} else {
		_ = os.RemoveAll(t.dir)
	}
	return rep.broken(), nil
}
