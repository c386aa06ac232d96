package registryserver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// Keys of the log's records. A claim has a key of its own, so that compaction keeps every one of them; of a level only
// the newest is kept.
const (
	claimKey = "claim/" // and a random text
	levelKey = "level/" // and the subject, or nothing for the global level
)

// claim is the value of a record that registers a schema.
type claim struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int    `json:"id"`
	Schema  string `json:"schema"`
}

// setting is the value of a record that sets a level; no value takes the level back.
type setting struct {
	Level level `json:"compatibility"`
}

// version is one version of a subject.
type version struct {
	id  int
	key string // of the claim that holds it
}

// usage is one place where a schema stands.
type usage struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// state is what the log says. Its claims only ever grow.
type state struct {
	subjects map[string][]version // version n at n-1
	texts    map[int]string       // by id
	ids      map[string]int       // by text
	usages   map[int][]usage      // by id
	levels   map[string]level     // by subject; "" is the global one
	lastID   int
	versions int // of all subjects
	bytes    int // of all texts
}

func newState() *state {
	return &state{
		subjects: map[string][]version{}, texts: map[int]string{}, ids: map[string]int{}, usages: map[int][]usage{}, levels: map[string]level{},
	}
}

// apply folds one record of the log. An error is a record that nobody of ours has written.
func (s *state) apply(key string, value []byte) error {
	subject, isLevel := strings.CutPrefix(key, levelKey)
	switch {
	case isLevel && len(value) == 0:
		delete(s.levels, subject)
	case isLevel:
		var v setting
		if err := json.Unmarshal(value, &v); err != nil {
			return errors.New("the value of a level cannot be read")
		}
		if !v.Level.known() {
			return errors.New("there is no such level")
		}
		s.levels[subject] = v.Level
	case strings.HasPrefix(key, claimKey):
		var c claim
		if err := json.Unmarshal(value, &c); err != nil || c.ID < 1 || c.Subject == "" {
			return errors.New("a claim cannot be read")
		}
		s.claim(c, key)
	default:
		return errors.New("the key is of no known kind")
	}
	return nil
}

// claim takes what is claimed, unless an earlier record of the log has taken it: the version, the id for another text, or
// the text for another id.
func (s *state) claim(c claim, key string) {
	id, known := s.ids[c.Schema]
	_, taken := s.texts[c.ID]
	if c.Version != len(s.subjects[c.Subject])+1 || known && id != c.ID || !known && taken {
		return
	}
	if !known {
		s.ids[c.Schema], s.texts[c.ID] = c.ID, c.Schema
		s.lastID = max(s.lastID, c.ID)
		s.bytes += len(c.Schema)
	}
	s.versions++
	s.subjects[c.Subject] = append(s.subjects[c.Subject], version{c.ID, key})
	s.usages[c.ID] = append(s.usages[c.ID], usage{c.Subject, c.Version})
}

// holds tells whether a claim has won.
func (s *state) holds(c claim, key string) bool {
	versions := s.subjects[c.Subject]
	return c.Version <= len(versions) && versions[c.Version-1].key == key
}

// find gives the version of a subject that has that text.
func (s *state) find(subject, text string) (registered, bool) {
	id, ok := s.ids[text]
	if !ok {
		return registered{}, false
	}
	i := slices.IndexFunc(s.subjects[subject], func(v version) bool { return v.id == id })
	if i < 0 {
		return registered{}, false
	}
	return s.at(subject, i+1), true
}

// at gives a version that exists.
func (s *state) at(subject string, n int) registered {
	id := s.subjects[subject][n-1].id
	return registered{Subject: subject, Version: n, ID: id, Schema: s.texts[id]}
}

// history gives all versions of a subject, the oldest first.
func (s *state) history(subject string) []registered {
	all := make([]registered, len(s.subjects[subject]))
	for i := range all {
		all[i] = s.at(subject, i+1)
	}
	return all
}

// level is what a subject is held against: its own level, or the global one.
func (s *state) level(subject string) level {
	for _, name := range []string{subject, ""} {
		if l, ok := s.levels[name]; ok {
			return l
		}
	}
	return defaultLevel
}

// names gives the subjects in order.
func (s *state) names() []string { return slices.Sorted(maps.Keys(s.subjects)) }

// room is nil if one more schema may be registered.
func (s *state) room(text string) error {
	if s.versions >= maxVersions || s.bytes+len(text) > maxBytes {
		return &fault{403, 40301, fmt.Sprintf("the registry is full: it takes at most %d versions and %d MiB of schemas", maxVersions, maxBytes>>20)}
	}
	return nil
}
