package bus

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"orderflow/schemas"
)

// Topic is one entry of schemas/topics.yaml, with its defaults filled in.
type Topic struct {
	Name        string        `yaml:"name"`
	Partitions  int32         `yaml:"partitions"`
	Generation  int           `yaml:"generation"` // of received topics; 0 elsewhere
	Key         string        `yaml:"key"`
	Value       string        `yaml:"value"`
	Retention   time.Duration `yaml:"retention"` // 0: for ever
	MaxBytes    int32         `yaml:"max_bytes"`
	Cleanup     string        `yaml:"cleanup"`    // delete, compact
	Timestamps  string        `yaml:"timestamps"` // CreateTime, LogAppendTime
	Producer    string        `yaml:"producer"`
	Consumers   []string      `yaml:"consumers"`
	DeadLetters string        `yaml:"dead_letters"` // where its consumers' letters go, or ""
}

// segmentFor bounds how long a broker goes on writing into one segment: it removes a segment only when the youngest record
// in it is old enough, so by default (7 days) a record might outlive its retention by a week.
const segmentFor = 24 * time.Hour

// Gone is when the last copy of a record that was written at that time is removed; false of a topic that keeps records for
// ever. Brokers look every few minutes, which is not counted.
func (t Topic) Gone(written time.Time) (time.Time, bool) {
	return written.Add(t.Retention + segmentFor), t.Retention > 0
}

// configs are the broker's settings of the topic.
func (t Topic) configs() map[string]string {
	retention := "-1"
	if t.Retention > 0 {
		retention = strconv.FormatInt(t.Retention.Milliseconds(), 10)
	}
	return map[string]string{
		"cleanup.policy":         t.Cleanup,
		"retention.ms":           retention,
		"max.message.bytes":      strconv.Itoa(int(t.MaxBytes)),
		"message.timestamp.type": t.Timestamps,
		"segment.ms":             strconv.FormatInt(segmentFor.Milliseconds(), 10),
	}
}

// Topics lists the topics of the house. The file is embedded and tested; should it be broken all the same, no service may
// run, hence the panic.
var Topics = sync.OnceValue(func() []Topic {
	topics, err := parseTopics(schemas.TopicsYAML)
	if err != nil {
		panic(fmt.Sprintf("schemas/topics.yaml: %v", err))
	}
	return topics
})

// Generation is a received topic's generation, the high bits of its revisions; 0 for any other topic.
func Generation(topic string) int {
	for _, t := range Topics() {
		if t.Name == topic {
			return t.Generation
		}
	}
	return 0
}

func parseTopics(text []byte) ([]Topic, error) {
	var file struct {
		Defaults Topic       `yaml:"defaults"`
		Topics   []yaml.Node `yaml:"topics"`
	}
	if err := strict(text, &file); err != nil {
		return nil, err
	}
	topics := make([]Topic, len(file.Topics))
	var errs []error
	for i := range file.Topics {
		topics[i] = file.Defaults
		entry, err := yaml.Marshal(&file.Topics[i])
		if err != nil {
			return nil, err
		}
		// A node's own Decode does not refuse unknown fields, so each entry is read as a document.
		if err := strict(entry, &topics[i]); err != nil {
			return nil, fmt.Errorf("topic %d: %w", i+1, err)
		}
		errs = append(errs, topics[i].check())
	}
	for i, t := range topics {
		if slices.ContainsFunc(topics[:i], func(other Topic) bool { return other.Name == t.Name }) {
			errs = append(errs, fmt.Errorf("%s: stands twice", t.Name))
		}
		if t.DeadLetters != "" && !slices.ContainsFunc(topics, func(other Topic) bool { return other.Name == t.DeadLetters }) {
			errs = append(errs, fmt.Errorf("%s: dead_letters names no topic", t.Name))
		}
	}
	return topics, errors.Join(errs...)
}

func strict(text []byte, into any) error {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	return decoder.Decode(into)
}

var (
	topicName    = regexp.MustCompile(`^[a-z][a-z0-9]*(\.[a-z][a-z0-9]*)*\.v[0-9]+$`)
	receivedName = regexp.MustCompile(`\.received\.v[0-9]+$`)
)

func (t Topic) check() error {
	var errs []error
	fault := func(bad bool, text string) {
		if bad {
			errs = append(errs, fmt.Errorf("%s: %s", t.Name, text))
		}
	}
	received := receivedName.MatchString(t.Name)
	fault(!topicName.MatchString(t.Name), "name is not lower case words and a version")
	fault(t.Partitions < 1, "partitions: at least 1")
	fault(t.MaxBytes < 1<<20, "max_bytes: at least 1 MiB")
	fault(t.Retention < 0, "retention: not negative")
	fault(t.Cleanup != "delete" && t.Cleanup != "compact", "cleanup: delete or compact")
	fault(t.Timestamps != "CreateTime" && t.Timestamps != "LogAppendTime", "timestamps: CreateTime or LogAppendTime")
	fault(t.Key == "" || t.Value == "" || t.Producer == "" || len(t.Consumers) == 0, "key, value, producer and consumers: needed")
	fault(received && t.Generation < 1, "generation: at least 1 on a received topic")
	fault(!received && t.Generation != 0, "generation: only on a received topic")
	fault(received && t.Timestamps != "LogAppendTime", "timestamps: LogAppendTime on a received topic")
	return errors.Join(errs...)
}
