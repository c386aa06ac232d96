//go:build !mutant_commit_before_ack

package worker

// commitBeforeAck breaks law 1 on purpose where the build tag of that name is set: a test of the crash harness.
const commitBeforeAck = false
