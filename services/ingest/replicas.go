package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	minInSyncConfig = "min.insync.replicas"
	configsEvery    = time.Minute
)

// inSyncRule knows how many replicas of our topics have to be in sync for a write to be taken.
type inSyncRule struct {
	least map[string]int // by topic; a topic that Kafka did not describe is held to nothing
	asked time.Time
}

// refresh asks Kafka for the topics' configuration, once a minute. What was known stays when it does not tell, since a
// client may be allowed to write and not to read configurations.
func (r *inSyncRule) refresh(ctx context.Context, client *kgo.Client) {
	if time.Since(r.asked) < configsEvery {
		return
	}
	request := kmsg.NewPtrDescribeConfigsRequest()
	for _, topic := range ourTopics() {
		asked := kmsg.NewDescribeConfigsRequestResource()
		asked.ResourceType, asked.ResourceName, asked.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{minInSyncConfig}
		request.Resources = append(request.Resources, asked)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return
	}
	r.asked = time.Now()
	for _, resource := range response.Resources {
		if kerr.ErrorForCode(resource.ErrorCode) != nil {
			continue
		}
		for _, config := range resource.Configs {
			if config.Name != minInSyncConfig || config.Value == nil {
				continue
			}
			if least, err := strconv.Atoi(*config.Value); err == nil {
				if r.least == nil {
					r.least = map[string]int{}
				}
				r.least[resource.ResourceName] = least
			}
		}
	}
}

// check names the first partition that takes no push. As in Kafka itself, a partition with fewer replicas than the rule
// asks for needs all of them and no more.
func (r *inSyncRule) check(topic string, partitions []kmsg.MetadataResponseTopicPartition) error {
	for _, p := range partitions {
		need := min(r.least[topic], len(p.Replicas))
		if p.Leader < 0 {
			return fmt.Errorf("topic %s: partition %d has no leader", topic, p.Partition)
		}
		if len(p.ISR) < need {
			return fmt.Errorf("topic %s: partition %d takes no pushes, %d of the %d replicas that a write needs are in sync", topic, p.Partition, len(p.ISR), need)
		}
	}
	return nil
}
