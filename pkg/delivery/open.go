package delivery

import (
	"context"
	"crypto/rand"
	"fmt"
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

// Settings that the partner workers share.
type Settings struct {
	boot.Settings
	Bus     bus.Settings
	Store   store.Settings
	Worker  worker.Settings
	Privacy privacy.Settings
}

// Open makes the desk of one source and partner; Prepare and Send are the caller's to set. It waits for the database, see
// dbready.Open. The function that it returns closes everything.
func Open(ctx context.Context, p *boot.Process, cfg Settings, source order.Source, partner string) (*Desk, func(), error) {
	keys, err := privacy.New(cfg.Privacy)
	if err != nil {
		return nil, nil, err
	}
	db, closeStore, err := dbready.Open(ctx, p, cfg.Bus, cfg.Store.URL, event.Received(source))
	if err != nil {
		return nil, nil, err
	}
	desk := &Desk{
		Service: p.Name,
		Ledger:  db.Ledger(partner, p.Name, owner(p.Name, cfg.Worker.Slot)),
		Keys:    keys,
		Metrics: NewMetrics(p.Metrics, partner),

		MaxAttempts: cfg.Worker.MaxAttempts,
	}
	return desk, closeStore, nil
}

// owner names this process among all that ever ran.
func owner(service, slot string) string {
	if slot == "" {
		slot = rand.Text()
	}
	return fmt.Sprintf("%s/%s/%d", service, slot, time.Now().UnixNano())
}
