//go:build !mutant_persist_skip

package main

import "orderflow/pkg/event"

// passesOver drops everything about one received record where a build tag says so: a test of the balance.
func passesOver(*event.Message) bool { return false }
