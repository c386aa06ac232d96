//go:build mutant_commit_before_ack

package worker

// commitBeforeAck breaks law 1 on purpose: a record is finished before Kafka has what came of it.
const commitBeforeAck = true
