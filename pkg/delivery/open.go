package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
	"orderflow/pkg/worker"
)

// Settings that the partner workers share.
type Settings struct {
	boot.Settings
	Bus     bus.Settings
	Store   store.Settings
	Worker  worker.Settings
	Privacy privacy.Settings
}

const (
	conditionDatabase = "database"
	checkEvery        = 2 * time.Second
	checkTimeout      = 5 * time.Second
)

// Open makes the desk of one source and partner; Prepare and Send are the caller's to set. It waits, and the process is
// not ready, until the database is there and migrated and knows the source's received topic. A topic that is another one
// than the recorded is an error: its revisions would lie. The function that it returns closes everything.
func Open(ctx context.Context, p *boot.Process, cfg Settings, source order.Source, partner string) (*Desk, func(), error) {
	keys, err := privacy.New(cfg.Privacy)
	if err != nil {
		return nil, nil, err
	}
	db, err := store.Open(ctx, cfg.Store.URL)
	if err != nil {
		return nil, nil, err
	}
	if err := await(ctx, p, cfg.Bus, db, event.Received(source)); err != nil {
		db.Close()
		return nil, nil, err
	}
	watching, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch(watching, p, db)
	}()
	desk := &Desk{
		Service: p.Name,
		Ledger:  db.Ledger(partner, p.Name, owner(p.Name, cfg.Worker.Slot)),
		Keys:    keys,
		Metrics: NewMetrics(p.Metrics, partner),
	}
	return desk, func() { stop(); <-done; db.Close() }, nil
}

// owner names this process among all that ever ran.
func owner(service, slot string) string {
	if slot == "" {
		slot = rand.Text()
	}
	return fmt.Sprintf("%s/%s/%d", service, slot, time.Now().UnixNano())
}

// await checks database and topic until both are fine.
func await(ctx context.Context, p *boot.Process, s bus.Settings, db *store.Store, topic string) error {
	client, err := bus.NewClient(s, p.Log, nil, kgo.ClientID(p.Name+"-start"))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		err := check(ctx, client, db, topic)
		p.Health.Set(conditionDatabase, err)
		if err == nil || errors.Is(err, store.ErrTopicChanged) {
			return err
		}
		p.Log.Warn("not ready to deliver", zap.Error(err))
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func check(ctx context.Context, client *kgo.Client, db *store.Store, topic string) error {
	ctx, stop := context.WithTimeout(ctx, checkTimeout)
	defer stop()
	if err := db.Ping(ctx); err != nil {
		return err
	}
	ids, err := bus.Identities(ctx, client)
	if err != nil {
		return err
	}
	id, ok := ids[topic]
	if !ok {
		return fmt.Errorf("topic %s does not exist: run orderctl topics apply", topic)
	}
	return db.CheckTopics(ctx, map[string]store.Topic{topic: {ID: id, Generation: bus.Generation(topic)}})
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
		return context.Cause(ctx)
	case <-time.After(checkEvery):
		return nil
	}
}
