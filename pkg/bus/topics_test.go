package bus

import (
	"slices"
	"strings"
	"testing"
	"time"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// Every name that the code can build must stand in topics.yaml, and nothing may stand there that no code names.
func TestTopicsAreThoseOfPkgEvent(t *testing.T) {
	want := []string{event.Quarantine, event.Deliveries, event.Orders, event.Completeness, event.Registry}
	for _, source := range order.Sources {
		want = append(want, event.Received(source), event.Validated(source))
	}
	for _, service := range []string{"validate", "okkisync", "mallupload", "persist"} {
		want = append(want, event.DeadLetters(service), event.Replay(service))
	}
	var got []string
	for _, topic := range Topics() {
		got = append(got, topic.Name)
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("pkg/event names %s, topics.yaml does not", name)
		}
	}
	for _, topic := range Topics() {
		if !slices.Contains(want, topic.Name) {
			t.Errorf("topics.yaml has %s, pkg/event does not know it", topic.Name)
		}
	}
}

func TestDefaultsAreFilledIn(t *testing.T) {
	i := slices.IndexFunc(Topics(), func(topic Topic) bool { return topic.Name == event.Received(order.Mall) })
	if i < 0 {
		t.Fatal("mall's received topic is missing")
	}
	topic := Topics()[i]
	if topic.Partitions < 1 || topic.Retention != 14*24*time.Hour || topic.MaxBytes != 4<<20 || topic.Timestamps != "LogAppendTime" {
		t.Errorf("%+v", topic)
	}
	if Generation(topic.Name) != 1 || Generation(event.Deliveries) != 0 || Generation("no.such.v1") != 0 {
		t.Error("generations are not those of topics.yaml")
	}
}

func TestParseTopicsRefuses(t *testing.T) {
	const defaults = "defaults: {partitions: 1, retention: 1h, max_bytes: 4194304, cleanup: delete, timestamps: CreateTime}\ntopics:\n"
	const rest = ", key: k, value: v, producer: p, consumers: [c]}\n"
	cases := map[string]struct{ yaml, want string }{
		"an unknown field":           {"  - {name: a.v1, partition: 3" + rest, "field partition not found"},
		"a name twice":               {"  - {name: a.v1" + rest + "  - {name: a.v1" + rest, "stands twice"},
		"a name without a version":   {"  - {name: abc" + rest, "lower case words and a version"},
		"no partitions":              {"  - {name: a.v1, partitions: 0" + rest, "partitions: at least 1"},
		"an unreadable retention":    {"  - {name: a.v1, retention: 14 days" + rest, "cannot unmarshal"},
		"an unknown cleanup":         {"  - {name: a.v1, cleanup: burn" + rest, "cleanup"},
		"no generation":              {"  - {name: a.received.v1, timestamps: LogAppendTime" + rest, "generation: at least 1"},
		"a generation elsewhere":     {"  - {name: a.v1, generation: 1" + rest, "only on a received topic"},
		"the sender's clock":         {"  - {name: a.received.v1, generation: 1" + rest, "LogAppendTime on a received topic"},
		"a dead-letter topic adrift": {"  - {name: a.v1, dead_letters: b.v1" + rest, "names no topic"},
		"no consumers":               {"  - {name: a.v1, key: k, value: v, producer: p}\n", "consumers"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := parseTopics([]byte(defaults + c.yaml)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, wanted %q in it", err, c.want)
			}
		})
	}
}
