// Command persist keeps what happened in PostgreSQL: orders and their lines, one row per received record, the timeline,
// and an index of all dead letters with an encrypted copy; payloads and personal data go again when their retention has
// passed. It reads the validated documents, the deliveries and every dead-letter topic; what these amount to does not
// depend on the order in which they come (pkg/store).
package main

import (
	"context"
	"time"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/dbready"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

const service = "persist"

const (
	maxBatch = 500 // orders a transaction: more only makes it slower to come back
	inFlight = 2   // one batch is mapped and encrypted while the database works on the other
	linger   = 2 * time.Millisecond
	timeout  = time.Minute
)

type settings struct {
	boot.Settings
	Bus     bus.Settings
	Store   store.Settings
	Privacy privacy.Settings
	Kept    privacy.RetentionSettings
	Worker  worker.Settings
}

func main() {
	var cfg settings
	boot.Main(service, &cfg, func(ctx context.Context, p *boot.Process) error { return run(ctx, p, cfg) })
}

func run(ctx context.Context, p *boot.Process, cfg settings) error {
	keys, err := privacy.New(cfg.Privacy)
	if err != nil {
		return err
	}
	kept, err := privacy.ParseRetention(cfg.Kept.Text)
	if err != nil {
		return err
	}
	db, stop, err := dbready.Open(ctx, p, cfg.Bus, cfg.Store.URL, receivedTopics()...)
	if err != nil {
		return err
	}
	defer stop()
	defer newExpirer(db, kept, p).start(ctx)() // ends before the database is closed under it
	w := worker.Worker{
		Service: service, Topics: topics(), Handle: newKeeper(store.NewWriter(db, keys), p).handle,
		MaxBatch: maxBatch, InFlight: inFlight, Linger: linger, Timeout: timeout,
		Settings: cfg.Worker, Bus: cfg.Bus, Process: p,
	}
	return w.Run(ctx)
}

// letterTopics are the dead-letter topics of all workers, our own included.
var letterTopics = []string{
	event.DeadLetters("validate"), event.DeadLetters("okkisync"), event.DeadLetters("mallupload"), event.DeadLetters(service),
}

func topics() []string {
	all := append([]string{event.Deliveries}, letterTopics...)
	for _, source := range order.Sources {
		all = append(all, event.Validated(source))
	}
	return all
}

// receivedTopics are those whose offsets are the revisions of what is stored.
func receivedTopics() []string {
	var all []string
	for _, source := range order.Sources {
		all = append(all, event.Received(source))
	}
	return all
}
