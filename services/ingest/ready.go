package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/boot"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// Pace of the look at Kafka. Red comes after two failures in a row, so that one lost answer drains no load balancer.
const (
	probeEvery   = time.Second
	probeTimeout = 1500 * time.Millisecond
	redAfter     = 2
)

const conditionKafka = "kafka"

// readiness tells whether Kafka can be written to: it asks for the leaders of our topics, and whether enough replicas are
// in sync for a write, every second. A freeze shows within four seconds, which is when the first push hears of it too.
type readiness struct {
	client  *kgo.Client
	health  *boot.Health
	green   atomic.Bool
	failing int // failures in a row, of the watch loop alone
	inSync  inSyncRule
}

func newReadiness(client *kgo.Client, health *boot.Health) *readiness {
	return &readiness{client: client, health: health}
}

// kafka tells whether Kafka was there a moment ago.
func (r *readiness) kafka() bool { return r.green.Load() }

// watch looks at Kafka until ctx ends. One question is asked at a time: behind a frozen broker it may wait far beyond its
// own deadline, since the client opens connections without one, so silence counts as failure by the clock here.
func (r *readiness) watch(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	silence := time.NewTimer(probeTimeout)
	defer silence.Stop()
	answers := make(chan error, 1)
	for {
		go func() { answers <- r.probe(ctx) }()
		for asked := true; asked; {
			silence.Reset(probeTimeout)
			select {
			case <-ctx.Done():
				return
			case err := <-answers:
				r.settle(err)
				asked = false
			case <-silence.C:
				r.settle(errSilent)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

var errSilent = errors.New("kafka does not answer")

func (r *readiness) settle(err error) {
	if err == nil {
		r.failing = 0
	} else if r.failing++; r.failing < redAfter && r.green.Load() {
		return
	}
	r.green.Store(err == nil)
	r.health.Set(conditionKafka, err)
}

// probe asks any broker who leads the partitions that we write to, and which of their replicas are in sync.
func (r *readiness) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r.inSync.refresh(ctx, r.client)
	request := kmsg.NewPtrMetadataRequest()
	for _, topic := range ourTopics() {
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = kmsg.StringPtr(topic)
		request.Topics = append(request.Topics, asked)
	}
	response, err := request.RequestWith(ctx, r.client)
	if err != nil {
		return errSilent
	}
	for _, topic := range response.Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return fmt.Errorf("topic %s: %w", deref(topic.Topic), err)
		}
		if err := r.inSync.check(deref(topic.Topic), topic.Partitions); err != nil {
			return err
		}
	}
	return nil
}

func ourTopics() []string {
	topics := []string{event.Quarantine}
	for _, s := range order.Sources {
		topics = append(topics, event.Received(s))
	}
	return topics
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
