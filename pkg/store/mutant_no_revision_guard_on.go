//go:build mutant_no_revision_guard

package store

// revisionGuard is missing on purpose: law 2 is broken.
const revisionGuard = ``
