//go:build !mutant_letter_on_outage

package worker

// letterOnOutage breaks law 3 on purpose where the build tag of that name is set: a test of the crash harness.
const letterOnOutage = false
