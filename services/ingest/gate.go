package main

import (
	"sync/atomic"

	"orderflow/pkg/order"
)

// gate caps the pushes that are judged and written at once. A quarter of the slots belongs to each source alone and the
// last quarter to whoever comes first, so a sender that fills its own share never takes the others' away.
type gate struct {
	shared chan struct{}
	own    map[order.Source]chan struct{}
}

func newGate(total int) *gate {
	share := total / (len(order.Sources) + 1)
	g := &gate{shared: make(chan struct{}, total-share*len(order.Sources)), own: map[order.Source]chan struct{}{}}
	for _, s := range order.Sources {
		g.own[s] = make(chan struct{}, share)
	}
	return g
}

// enter takes a slot without waiting. leave is nil when there is none.
func (g *gate) enter(source order.Source) (leave func()) {
	for _, slots := range []chan struct{}{g.own[source], g.shared} {
		select {
		case slots <- struct{}{}:
			return func() { <-slots }
		default:
		}
	}
	return nil
}

// budget bounds the bytes of one source's bodies in memory, whatever the number of its connections.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) > b.limit {
		b.used.Add(int64(-n))
		return false
	}
	return true
}

func (b *budget) give(n int) { b.used.Add(int64(-n)) }
