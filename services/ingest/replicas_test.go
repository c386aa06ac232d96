package main

import (
	"net/http"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

func TestTooFewReplicasInSync(t *testing.T) {
	const topic = "icbu.received.v1"
	three := func(inSync ...int32) kmsg.MetadataResponseTopicPartition {
		return kmsg.MetadataResponseTopicPartition{Leader: 1, Replicas: []int32{1, 2, 3}, ISR: inSync}
	}
	second := func(p kmsg.MetadataResponseTopicPartition) []kmsg.MetadataResponseTopicPartition {
		p.Partition = 1
		return []kmsg.MetadataResponseTopicPartition{three(1, 2, 3), p}
	}
	leaderless := three()
	leaderless.Leader = -1
	single := kmsg.MetadataResponseTopicPartition{Leader: 1, Replicas: []int32{1}, ISR: []int32{1}}
	for name, c := range map[string]struct {
		least      int
		partitions []kmsg.MetadataResponseTopicPartition
		says       string
	}{
		"all in sync":               {2, second(three(1, 2, 3)), ""},
		"as many as needed":         {2, second(three(1, 3)), ""},
		"one too few":               {2, second(three(1)), "topic icbu.received.v1: partition 1 takes no pushes, 1 of the 2 replicas that a write needs are in sync"},
		"all are needed":            {3, second(three(1, 2)), "topic icbu.received.v1: partition 1 takes no pushes, 2 of the 3 replicas that a write needs are in sync"},
		"no leader":                 {2, second(leaderless), "topic icbu.received.v1: partition 1 has no leader"},
		"fewer replicas than asked": {2, second(single), ""},
		"Kafka does not tell":       {0, second(three(1)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			rule := inSyncRule{least: map[string]int{topic: c.least}}
			says := ""
			if err := rule.check(topic, c.partitions); err != nil {
				says = err.Error()
			}
			if says != c.says {
				t.Errorf("%q, want %q", says, c.says)
			}
		})
	}
}

// Kafka is asked what it wants, for every topic that pushes go to.
func TestInSyncRuleIsKafkas(t *testing.T) {
	in := start(t)
	topic := event.Received(order.Mall)
	two := "2"
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	resource.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: minInSyncConfig, Value: &two}}
	request.Resources = append(request.Resources, resource)
	client := in.broker.Client()
	if _, err := request.RequestWith(in.broker.Context(), client); err != nil {
		t.Fatal(err)
	}
	var rule inSyncRule
	rule.refresh(in.broker.Context(), client)
	if rule.least[topic] != 2 || len(rule.least) != len(ourTopics()) {
		t.Errorf("the rule is %v", rule.least)
	}
	if status := in.get("/readyz").status; status != http.StatusOK {
		t.Errorf("/readyz with a replica of one: %d", status)
	}
}
