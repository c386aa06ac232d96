// Package schemas is the ground floor: the contracts that outlive a deploy, embedded so that every process carries the
// ones it was built with. It has no dependencies and no logic.
package schemas

import "embed"

// TopicsYAML is the list of Kafka topics, topics.yaml; pkg/bus reads it.
//
//go:embed topics.yaml
var TopicsYAML []byte

// Migrations holds the numbered forward-only PostgreSQL migrations under postgres/, for goose.
//
//go:embed postgres/*.sql
var Migrations embed.FS

// Examples holds real pushes under examples/<source>/: golden input of the tests and of the demo. good-*.json pass
// validate, bad-<code>[-...].json are refused with that code; a mall file is a whole batch, with dates of 2019 that
// mall.ShiftDates moves into the allowed year.
//
//go:embed all:examples
var Examples embed.FS

// Events holds the schemas of what travels under events/: NAME.avsc is the Avro schema that services write with, NAME/1.avsc,
// NAME/2.avsc and so on are the versions that were ever released and never change again (SHA256SUMS), and
// <source>.validated.json are the JSON Schemas of the validated topics.
//
//go:embed events
var Events embed.FS

// OrderSchema is the Avro schema of orders.v1.
//
//go:embed events/order.avsc
var OrderSchema string

// CompletenessSchema is the Avro schema of orders.completeness.v1.
//
//go:embed events/completeness.avsc
var CompletenessSchema string
