//go:build mutant_letter_on_outage

package worker

// letterOnOutage breaks law 3 on purpose: the first failure of the world is blamed on the record.
const letterOnOutage = true
