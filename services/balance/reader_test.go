package main

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
)

// A transaction that nobody ends holds readers back, and no hour can close: the balance says where, and goes on by itself.
func TestATransactionThatHangsIsTold(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(time.Minute)
	h.now = at
	h.run(whole, h.push(order.Mall, at, "1")...)
	h.check()
	if err := h.client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := bus.Produce(t.Context(), h.client, h.record(h.push(order.Mall, at, "2")[0])); err != nil {
		t.Fatal(err)
	}
	h.check() // it may be under way
	h.balance.reader.movedAt = time.Now().Add(-stuckAfter)
	if err := h.balance.check(t.Context()); err == nil || !strings.Contains(err.Error(), "orders.v1, partition ") || !strings.Contains(err.Error(), "a transaction that nobody ends") {
		t.Errorf("the check says %v", err)
	}
	if err := h.client.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	h.check()
	h.named()
}

// Whatever stands in orders.v1 that validate did not write is counted, and fills no log.
func TestForeignRecordsAreCounted(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(time.Minute)
	h.now = at
	for range maxLogged + 2 {
		h.transact(true, event.Message{Topic: event.Orders, Key: "mall:S:1", Value: []byte("neither headers nor a schema")})
	}
	h.run(whole, h.push(order.Mall, at, "1")...)
	h.check()
	h.named()
	h.want(order.Mall, at, "open received 1 ended 1 open 0 missing 0 faults 0")
	if n := h.logs.FilterMessage("record cannot be counted").Len(); n != maxLogged {
		t.Errorf("%d lines in the log", n)
	}
	if n := testutil.ToFloat64(h.balance.metrics.foreign); n != maxLogged+2 {
		t.Errorf("%v counted", n)
	}
}
