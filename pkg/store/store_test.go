package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// open returns a store on a fresh, migrated database, and the database's URL.
func open(t testing.TB) (*store.Store, string) {
	t.Helper()
	url := pgtest.New(t)
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, url
}

func TestMigrateFromSeveralPlacesAtOnce(t *testing.T) {
	url := pgtest.New(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := store.Migrate(t.Context(), url); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPingAsksForTheMigration(t *testing.T) {
	s, err := store.Open(t.Context(), pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "orderctl migrate") {
		t.Errorf("Ping of an empty database: %v", err)
	}
}

func TestTopics(t *testing.T) {
	s, _ := open(t)
	one := map[string]store.Topic{"icbu.received.v1": {ID: "AAAA", Generation: 1}}
	if err := s.CheckTopics(t.Context(), one); err == nil || !strings.Contains(err.Error(), "orderctl topics apply") {
		t.Errorf("check before recording: %v", err)
	}
	for range 2 {
		if err := s.RecordTopics(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CheckTopics(t.Context(), one); err != nil {
		t.Errorf("check of the recorded topic: %v", err)
	}
	for name, other := range map[string]store.Topic{"id": {ID: "BBBB", Generation: 1}, "generation": {ID: "AAAA", Generation: 2}} {
		again := map[string]store.Topic{"icbu.received.v1": other}
		if err := s.CheckTopics(t.Context(), again); !errors.Is(err, store.ErrTopicChanged) {
			t.Errorf("check of another %s: %v", name, err)
		}
		if err := s.RecordTopics(t.Context(), again); !errors.Is(err, store.ErrTopicChanged) {
			t.Errorf("record of another %s: %v", name, err)
		}
	}
	if err := s.CheckTopics(t.Context(), one); err != nil {
		t.Errorf("check after refused records: %v", err)
	}
}
