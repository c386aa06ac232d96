package registryserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/twmb/avro"
)

// Bounds of what one registry holds: far more than a house has, and a check against a whole history stays under a second.
const (
	maxVersions = 1000
	maxBytes    = 8 << 20
	maxLevels   = 1000
)

// registered is a schema as a version of a subject.
type registered struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int    `json:"id"`
	Schema  string `json:"schema"`
}

// register makes the text the subject's next version if its level allows that, and gives the version that already has
// the text otherwise.
func (g *Registry) register(ctx context.Context, subject, text string, schema *avro.Schema) (registered, error) {
	if r, ok := g.known(subject, text); ok {
		return r, nil // for ever, so the end of the log need not be asked
	}
	end, err := g.turn(ctx)
	if err != nil {
		return registered{}, err
	}
	defer end()
	for {
		if err := g.catchUp(ctx); err != nil {
			return registered{}, err
		}
		if r, ok := g.known(subject, text); ok {
			return r, nil
		}
		wanted, err := g.mayClaim(ctx, subject, text, schema)
		if err != nil {
			return registered{}, err
		}
		won, err := g.claim(ctx, wanted)
		if err != nil {
			return registered{}, err
		}
		if won {
			return registered(wanted), nil
		}
	}
}

// mayClaim is what to claim for the text, by the log as far as it is read.
func (g *Registry) mayClaim(ctx context.Context, subject, text string, schema *avro.Schema) (claim, error) {
	var history []registered
	var by level
	var full error
	c := claim{Subject: subject, Schema: text}
	g.look(func(s *state) {
		history, by, full = s.history(subject), s.level(subject), s.room(text)
		c.Version = len(history) + 1
		var shared bool
		if c.ID, shared = s.ids[text]; !shared {
			c.ID = s.lastID + 1
		}
	})
	if full != nil {
		return c, full
	}
	if c.ID > math.MaxInt32 {
		return c, &fault{403, 40301, "the registry is full: a record carries its id in four bytes"}
	}
	reasons, err := by.incompatible(ctx, schema, by.judgedBy(history))
	if err != nil {
		return c, err
	}
	if len(reasons) > 0 {
		return c, &fault{409, 409, fmt.Sprintf("the schema is incompatible with earlier ones of subject %q at level %s: %s", subject, by, strings.Join(reasons, "; "))}
	}
	return c, nil
}

// claim writes the claim and tells whether it won: another process may have been faster.
func (g *Registry) claim(ctx context.Context, c claim) (won bool, err error) {
	value, err := json.Marshal(c)
	if err != nil {
		return false, fmt.Errorf("write a claim: %w", err)
	}
	key := claimKey + rand.Text()
	if err := g.write(ctx, key, value); err != nil {
		return false, err
	}
	g.look(func(s *state) { won = s.holds(c, key) })
	return won, nil
}

// known gives a registration that stands.
func (g *Registry) known(subject, text string) (r registered, ok bool) {
	g.look(func(s *state) { r, ok = s.find(subject, text) })
	return r, ok
}

// setLevel sets a subject's level, or the global one for "".
func (g *Registry) setLevel(ctx context.Context, subject string, l level) error {
	end, err := g.turn(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := g.catchUp(ctx); err != nil {
		return err
	}
	var count int
	var present bool
	g.look(func(s *state) { count = len(s.levels); _, present = s.levels[subject] })
	if !present && count >= maxLevels {
		return &fault{403, 40301, fmt.Sprintf("the registry is full: it takes at most %d levels", maxLevels)}
	}
	value, err := json.Marshal(setting{l})
	if err != nil {
		return fmt.Errorf("write a level: %w", err)
	}
	return g.write(ctx, levelKey+subject, value)
}

// resetLevel takes a level back and gives what it was; ok is false if there was none.
func (g *Registry) resetLevel(ctx context.Context, subject string) (was level, ok bool, err error) {
	end, err := g.turn(ctx)
	if err != nil {
		return "", false, err
	}
	defer end()
	if err := g.catchUp(ctx); err != nil {
		return "", false, err
	}
	g.look(func(s *state) { was, ok = s.levels[subject] })
	if !ok {
		return "", false, nil
	}
	return was, true, g.write(ctx, levelKey+subject, nil)
}
