//go:build mutant_persist_skip

package main

import (
	"sync"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

var first struct {
	sync.Mutex
	key      order.Key
	revision order.Revision
}

// passesOver drops everything about the first received record that this process hears of.
func passesOver(m *event.Message) bool {
	meta, err := m.Meta()
	if err != nil {
		return false
	}
	first.Lock()
	defer first.Unlock()
	if first.key == "" {
		first.key, first.revision = meta.OrderKey, meta.Revision
	}
	return meta.OrderKey == first.key && meta.Revision == first.revision
}
