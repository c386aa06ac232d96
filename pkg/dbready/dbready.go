// Package dbready opens the database of a worker and keeps the worker's readiness up to date with it: not ready before the
// database is there, migrated, and knows the received topics by their ids.
package dbready

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/store"
)

const (
	condition    = "database"
	checkEvery   = 2 * time.Second
	checkTimeout = 5 * time.Second
)

// Open waits until the database can be worked with, then watches it until the function that it returns closes it. Topics
// are the received topics whose offsets are the revisions of what this worker writes: one that is another topic than the
// recorded is an error (store.ErrTopicChanged), since its revisions would lie.
func Open(ctx context.Context, p *boot.Process, s bus.Settings, url string, topics ...string) (*store.Store, func(), error) {
	db, err := store.Open(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	if err := await(ctx, p, s, db, topics); err != nil {
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

func await(ctx context.Context, p *boot.Process, s bus.Settings, db *store.Store, topics []string) error {
	client, err := bus.NewClient(s, p.Log, nil, kgo.ClientID(p.Name+"-start"))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		err := check(ctx, client, db, topics)
		p.Health.Set(condition, err)
		if err == nil || errors.Is(err, store.ErrTopicChanged) {
			return err
		}
		p.Log.Warn("waiting for the database and the topics", zap.Error(err))
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func check(ctx context.Context, client *kgo.Client, db *store.Store, topics []string) error {
	ctx, stop := context.WithTimeout(ctx, checkTimeout)
	defer stop()
	if err := db.Ping(ctx); err != nil {
		return err
	}
	ids, err := bus.Identities(ctx, client)
	if err != nil {
		return err
	}
	found := map[string]store.Topic{}
	for _, topic := range topics {
		id, ok := ids[topic]
		if !ok {
			return fmt.Errorf("topic %s does not exist: run orderctl topics apply", topic)
		}
		found[topic] = store.Topic{ID: id, Generation: bus.Generation(topic)}
	}
	return db.CheckTopics(ctx, found)
}

func watch(ctx context.Context, p *boot.Process, db *store.Store) {
	for pause(ctx) == nil {
		asking, stop := context.WithTimeout(ctx, checkTimeout)
		err := db.Ping(asking)
		stop()
		if ctx.Err() == nil {
			p.Health.Set(condition, err)
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(checkEvery):
		return nil
	}
}
