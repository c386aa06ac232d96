package main

import (
	"context"
	"errors"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/event"
	"orderflow/pkg/fact"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// writer is what persist needs of pkg/store's Writer; tests stand in for it where a database cannot be made to fail.
type writer interface {
	Apply(ctx context.Context, facts []store.Fact) []error
	AddLetter(ctx context.Context, l *store.Letter) error
}

// keeper turns messages into facts and has them written.
type keeper struct {
	writer  writer
	log     *zap.Logger
	skipped prometheus.Counter
}

func newKeeper(w writer, p *boot.Process) *keeper {
	k := &keeper{writer: w, log: p.Log, skipped: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "orderflow_persist_letters_unindexed_total",
		Help: "Dead letters that could not be stored in any form; they remain in their topic.",
	})}
	p.Metrics.MustRegister(k.skipped)
	return k
}

// handle is a worker.BatchHandler. Letters are written apart from the rest: nothing about them may become a letter again.
func (k *keeper) handle(ctx context.Context, in []event.Message) []worker.Result {
	results := make([]worker.Result, len(in))
	var facts, letters []store.Fact
	var factOf, letterOf []int
	for i := range in {
		if passesOver(&in[i]) {
			continue
		}
		if slices.Contains(letterTopics, in[i].Topic) {
			letters, letterOf = append(letters, letterFact(in[i])), append(letterOf, i)
			continue
		}
		read, err := fact.Read(in[i])
		if err != nil {
			results[i].Err = err
			continue
		}
		facts, factOf = append(facts, read), append(factOf, i)
	}
	if len(facts) > 0 {
		for n, err := range k.writer.Apply(ctx, facts) {
			results[factOf[n]].Err = verdict(ctx, err)
		}
	}
	if len(letters) > 0 {
		for n, err := range k.keepLetters(ctx, letters) {
			results[letterOf[n]].Err = err
		}
	}
	return results
}

// verdict tells the loop whose fault an error of the database is.
func verdict(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case store.Classify(err) == store.RowData:
		return worker.Permanent(worker.DBData, errors.New(store.Describe(err)))
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return &worker.OutageError{Err: errors.New(store.Describe(err))}
	}
}
