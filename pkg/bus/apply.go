package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Difference is one thing in which a cluster is not as topics.yaml says.
type Difference struct {
	Topic   string
	Setting string // "topic" (it is missing), "partitions", or the broker's name of a config
	Want    string
	Got     string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: %s is %q, wanted %q", d.Topic, d.Setting, d.Got, d.Want)
}

// Change is a difference that Apply has mended.
type Change Difference

func (c Change) String() string {
	if c.Setting == settingTopic {
		return c.Topic + ": created with " + c.Want + " partitions"
	}
	return fmt.Sprintf("%s: %s changed from %q to %q", c.Topic, c.Setting, c.Got, c.Want)
}

const (
	settingTopic      = "topic"
	settingPartitions = "partitions"
	brokerDefault     = -1 // replication factor
)

// Check compares the cluster with topics.yaml. Topics that are not ours are not looked at.
func Check(ctx context.Context, client *kgo.Client) ([]Difference, error) {
	present, err := describe(ctx, client)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range Topics() {
		if _, ok := present[t.Name]; ok {
			names = append(names, t.Name)
		}
	}
	configs := map[string]map[string]string{}
	if len(names) > 0 {
		if configs, err = readConfigs(ctx, kadm.NewClient(client), names); err != nil {
			return nil, err
		}
	}
	var all []Difference
	for _, t := range Topics() {
		all = append(all, t.compare(present, configs[t.Name])...)
	}
	return all, nil
}

func (t Topic) compare(present map[string]existing, configs map[string]string) []Difference {
	partitions := strconv.Itoa(int(t.Partitions))
	found, ok := present[t.Name]
	if !ok {
		return []Difference{{Topic: t.Name, Setting: settingTopic, Want: partitions}}
	}
	var all []Difference
	if got := strconv.Itoa(found.partitions); got != partitions {
		all = append(all, Difference{Topic: t.Name, Setting: settingPartitions, Want: partitions, Got: got})
	}
	wanted := t.configs()
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if configs[name] != wanted[name] {
			all = append(all, Difference{Topic: t.Name, Setting: name, Want: wanted[name], Got: configs[name]})
		}
	}
	return all
}

// Apply creates the missing topics, with the brokers' default replication, and sets the configs that differ. It never
// changes a partition count: the key decides the partition and the partition's offset is the revision, so such a
// difference stays, for Check to report. It is safe to run twice, also at once.
func Apply(ctx context.Context, client *kgo.Client) ([]Change, error) {
	admin := kadm.NewClient(client)
	differences, err := Check(ctx, client)
	if err != nil {
		return nil, err
	}
	byName := map[string]Topic{}
	for _, t := range Topics() {
		byName[t.Name] = t
	}
	var changes []Change
	for _, d := range differences {
		switch d.Setting {
		case settingPartitions:
			continue
		case settingTopic:
			err = create(ctx, admin, byName[d.Topic])
		default:
			err = setConfig(ctx, admin, d)
		}
		if err != nil {
			return changes, err
		}
		changes = append(changes, Change(d))
	}
	return changes, nil
}

// Identities gives the broker's topic id of every house topic that exists. A recreated topic has another id: its offsets
// start again, and revisions made of them would lie (design.md section 4).
func Identities(ctx context.Context, client *kgo.Client) (map[string]string, error) {
	present, err := describe(ctx, client)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, t := range Topics() {
		if found, ok := present[t.Name]; ok {
			ids[t.Name] = found.id.String()
		}
	}
	return ids, nil
}

// existing is a topic as a broker has it.
type existing struct {
	id         kadm.TopicID
	partitions int
}

// describe asks a broker, not the client's cache: what was created a moment ago must be seen.
func describe(ctx context.Context, client *kgo.Client) (map[string]existing, error) {
	answer, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	topics := map[string]existing{}
	for _, t := range answer.Topics {
		if t.Topic == nil {
			continue
		}
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, fmt.Errorf("describe topic %s: %w", *t.Topic, err)
		}
		topics[*t.Topic] = existing{id: kadm.TopicID(t.TopicID), partitions: len(t.Partitions)}
	}
	return topics, nil
}

func readConfigs(ctx context.Context, admin *kadm.Client, names []string) (map[string]map[string]string, error) {
	described, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe topic configs: %w", err)
	}
	all := map[string]map[string]string{}
	for _, resource := range described {
		if resource.Err != nil {
			return nil, fmt.Errorf("describe configs of %s: %w", resource.Name, resource.Err)
		}
		all[resource.Name] = map[string]string{}
		for _, config := range resource.Configs {
			if config.Value != nil {
				all[resource.Name][config.Key] = *config.Value
			}
		}
	}
	return all, nil
}

func create(ctx context.Context, admin *kadm.Client, t Topic) error {
	configs := map[string]*string{}
	for name, value := range t.configs() {
		configs[name] = &value
	}
	_, err := admin.CreateTopic(ctx, t.Partitions, brokerDefault, configs, t.Name)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", t.Name, err)
	}
	return nil
}

func setConfig(ctx context.Context, admin *kadm.Client, d Difference) error {
	answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: d.Setting, Value: &d.Want}}, d.Topic)
	if err != nil {
		return fmt.Errorf("set %s of %s: %w", d.Setting, d.Topic, err)
	}
	for _, answer := range answers {
		if answer.Err != nil {
			return fmt.Errorf("set %s of %s: %w", d.Setting, d.Topic, answer.Err)
		}
	}
	return nil
}
