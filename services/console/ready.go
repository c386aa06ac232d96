package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/boot"
	"orderflow/pkg/store"
)

const (
	checkEvery   = 2 * time.Second
	checkTimeout = 5 * time.Second
)

// watch keeps the readiness up to date with PostgreSQL and Kafka until ctx ends. Both are looked at in every round, so that
// the first word on readiness is the whole truth.
func watch(ctx context.Context, health *boot.Health, db *store.Store, client *kgo.Client) {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, checkTimeout)
		kafka := make(chan error, 1)
		go func() { kafka <- client.Ping(asking) }()
		errDB := db.Ping(asking)
		var errKafka error
		select {
		case errKafka = <-kafka:
		case <-asking.Done(): // behind a frozen broker the client may wait longer than it was told to
			errKafka = asking.Err()
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		if errKafka != nil {
			errKafka = fmt.Errorf("kafka does not answer: %w", errKafka)
		}
		health.Set("database", errDB)
		health.Set("kafka", errKafka)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
