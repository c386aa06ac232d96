package registryserver

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/twmb/avro"
)

// level says which versions of a subject must understand which.
type level string

const (
	none               level = "NONE"
	backward           level = "BACKWARD"            // readers with the new version read what the last one wrote
	backwardTransitive level = "BACKWARD_TRANSITIVE" // and what every earlier one wrote
	forward            level = "FORWARD"             // readers with the last version read what the new one writes
	forwardTransitive  level = "FORWARD_TRANSITIVE"
	full               level = "FULL" // both
	fullTransitive     level = "FULL_TRANSITIVE"

	defaultLevel = backwardTransitive
)

var levels = []level{none, backward, backwardTransitive, forward, forwardTransitive, full, fullTransitive}

func (l level) known() bool { return slices.Contains(levels, l) }

// judgedBy picks the versions of a history that the level looks at.
func (l level) judgedBy(history []registered) []registered {
	switch l {
	case none:
		return nil
	case backwardTransitive, forwardTransitive, fullTransitive:
		return history
	default:
		return history[max(0, len(history)-1):]
	}
}

// Bounds of what a schema may be and of how much is told about one.
const (
	maxText    = 256 << 10
	maxReasons = 5
)

// parse gives the text in the form by which schemas are told apart, JSON without white space, and the schema.
func parse(text string) (string, *avro.Schema, error) {
	if len(text) > maxText {
		return "", nil, &fault{422, 42209, fmt.Sprintf("the schema has %d bytes, %d are allowed", len(text), maxText)}
	}
	value := jsontext.Value(text)
	if !value.IsValid() {
		return "", nil, &fault{422, 42201, "the schema is no JSON: syntax, a name that stands twice in an object, or no UTF-8"}
	}
	if err := value.Compact(); err != nil {
		return "", nil, &fault{422, 42201, "the schema is no JSON: " + err.Error()}
	}
	schema, err := avro.Parse(string(value))
	if err != nil {
		return "", nil, &fault{422, 42201, "the schema is no Avro: " + err.Error()}
	}
	return string(value), schema, nil
}

// incompatible gives the reasons why the level forbids the candidate beside the earlier versions; none means that it is
// allowed. An error is a check that did not come to its end.
func (l level) incompatible(ctx context.Context, candidate *avro.Schema, earlier []registered) ([]string, error) {
	var reasons []string
	for _, old := range earlier {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("check compatibility: %w", err)
		}
		schema, err := avro.Parse(old.Schema)
		if err != nil {
			return nil, fmt.Errorf("check compatibility: parse version %d: %w", old.Version, err)
		}
		if l == backward || l == backwardTransitive || l == full || l == fullTransitive {
			if err := avro.CheckCompatibility(schema, candidate); err != nil {
				reasons = append(reasons, fmt.Sprintf("a reader of the new schema cannot read what version %d wrote: %v", old.Version, err))
			}
		}
		if l == forward || l == forwardTransitive || l == full || l == fullTransitive {
			if err := avro.CheckCompatibility(candidate, schema); err != nil {
				reasons = append(reasons, fmt.Sprintf("a reader of version %d cannot read what the new schema writes: %v", old.Version, err))
			}
		}
		if len(reasons) >= maxReasons {
			break
		}
	}
	return reasons, nil
}
