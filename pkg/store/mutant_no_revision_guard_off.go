//go:build !mutant_no_revision_guard

package store

// revisionGuard keeps an older revision from overwriting a newer one. A build tag takes it away, to test the crash harness.
const revisionGuard = `when greatest(head.revision, pending.newer) > a.revision then 'superseded'`
