package event

import (
	"strings"

	"orderflow/pkg/order"
)

// Topics that belong to no single source or service; the others are named by the functions below. A test holds all of
// them against schemas/topics.yaml.
const (
	Quarantine = "quarantine.v1"
	Deliveries = "deliveries.v1"
	Orders     = "orders.v1"   // the analysts' topic
	Registry   = "registry.v1" // of the embedded schema registry

	Completeness = "orders.completeness.v1" // whether an hour of it is complete
)

// Received is the topic of a source's pushes as they came.
func Received(source order.Source) string { return string(source) + ".received.v1" }

// Validated is the topic of a source's normalised documents.
func Validated(source order.Source) string { return string(source) + ".validated.v1" }

// DeadLetters is a worker's dead-letter topic.
func DeadLetters(service string) string { return service + ".dlq.v1" }

// Replay is the topic by which dead letters come home to a worker.
func Replay(service string) string { return service + ".replay.v1" }

// Type is the CloudEvents type of a topic's messages: its name without the version.
func Type(topic string) string {
	if i := strings.LastIndex(topic, ".v"); i > 0 {
		topic = topic[:i]
	}
	return "orderflow." + topic
}
