package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

const (
	conditionDatabase = "database"
	checkEvery        = 2 * time.Second
	checkTimeout      = 5 * time.Second
)

// openStore opens the database and waits, not ready, until it is there, migrated, and knows the received topics. A topic
// that is another one than the recorded is an error: its revisions would lie. The function that it returns closes the
// store.
func openStore(ctx context.Context, p *boot.Process, cfg settings) (*store.Store, func(), error) {
	db, err := store.Open(ctx, cfg.Store.URL)
	if err != nil {
		return nil, nil, err
	}
	if err := await(ctx, p, cfg.Bus, db); err != nil {
		db.Close()
		return nil, nil, err
	}
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch(watching, p, db)
	}()
	return db, func() { stop(); <-done; db.Close() }, nil
}

func await(ctx context.Context, p *boot.Process, s bus.Settings, db *store.Store) error {
	client, err := bus.NewClient(s, p.Log, nil, kgo.ClientID(p.Name+"-start"))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		err := check(ctx, client, db)
		p.Health.Set(conditionDatabase, err)
		if err == nil || errors.Is(err, store.ErrTopicChanged) {
			return err
		}
		p.Log.Warn("not ready to persist", zap.Error(err))
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func check(ctx context.Context, client *kgo.Client, db *store.Store) error {
	ctx, stop := context.WithTimeout(ctx, checkTimeout)
	defer stop()
	if err := db.Ping(ctx); err != nil {
		return err
	}
	ids, err := bus.Identities(ctx, client)
	if err != nil {
		return err
	}
	received := map[string]store.Topic{}
	for _, source := range order.Sources {
		topic := event.Received(source)
		id, ok := ids[topic]
		if !ok {
			return fmt.Errorf("topic %s does not exist: run orderctl topics apply", topic)
		}
		received[topic] = store.Topic{ID: id, Generation: bus.Generation(topic)}
	}
	return db.CheckTopics(ctx, received)
}

// watch keeps the readiness up to date with the database.
func watch(ctx context.Context, p *boot.Process, db *store.Store) {
	for pause(ctx) == nil {
		asking, stop := context.WithTimeout(ctx, checkTimeout)
		err := db.Ping(asking)
		stop()
		if ctx.Err() == nil {
			p.Health.Set(conditionDatabase, err)
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(checkEvery):
		return nil
	}
}
