package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Topic is the identity of a Kafka topic: a topic that was deleted and made again has another id. Generation is that of
// topics.yaml, 0 where a topic has none.
type Topic struct {
	ID         string
	Generation int
}

// RecordTopics writes down which topics this database belongs to, by name. A topic that is recorded under another id is
// an error and nothing is written: see CheckTopics for why.
func (s *Store) RecordTopics(ctx context.Context, topics map[string]Topic) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		recorded, err := recordedTopics(ctx, tx)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(topics)) {
			topic := topics[name]
			if old, ok := recorded[name]; ok {
				if old != topic {
					return topicError(name, old, topic)
				}
				continue
			}
			_, err := tx.Exec(ctx, `insert into topics (name, topic_id, generation) values ($1, $2, $3)
				on conflict (name) do nothing`, name, topic.ID, topic.Generation)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record topics: %w", err)
	}
	return nil
}

// ErrTopicChanged says that a topic is not the one that this database was filled from.
var ErrTopicChanged = errors.New("topic is not the recorded one")

// CheckTopics compares topics with the recorded ones. A worker with a database must not start on another topic of the
// same name: its offsets start at 0 again, and every new push would look older than what is stored. Topics that were never
// recorded are an error too. A received topic's generation belongs to its identity.
func (s *Store) CheckTopics(ctx context.Context, topics map[string]Topic) error {
	recorded, err := recordedTopics(ctx, s.pool)
	if err != nil {
		return fmt.Errorf("check topics: %w", err)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		old, ok := recorded[name]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("%s: never recorded in this database: run orderctl topics apply", name))
		case old != topics[name]:
			errs = append(errs, topicError(name, old, topics[name]))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("check topics: %w", errors.Join(errs...))
	}
	return nil
}

func topicError(name string, old, now Topic) error {
	return fmt.Errorf("%s: %w: recorded id %s generation %d, the cluster has id %s generation %d: it was deleted and made again, or this is another cluster; "+
		"give the topic its next version and generation, or use the database that belongs to this cluster",
		name, ErrTopicChanged, old.ID, old.Generation, now.ID, now.Generation)
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func recordedTopics(ctx context.Context, db querier) (map[string]Topic, error) {
	rows, err := db.Query(ctx, "select name, topic_id, generation from topics")
	if err != nil {
		return nil, err
	}
	recorded := map[string]Topic{}
	var name string
	var topic Topic
	_, err = pgx.ForEachRow(rows, []any{&name, &topic.ID, &topic.Generation}, func() error {
		recorded[name] = topic
		return nil
	})
	return recorded, err
}
