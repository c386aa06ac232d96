package main

import (
	"testing"
	"time"

	"orderflow/pkg/order"
)

const lastHour = "closed received 4 ended 4 open 0 missing 0 faults 0"

// A house without faults: every offset is accounted for, the hour closes after its grace, and is told to be complete with
// exact sums.
func TestAnHourThatBalancesIsToldComplete(t *testing.T) {
	h := openHouse(t)
	before := noon.Add(-30 * time.Minute)
	h.run(whole, h.push(order.Mall, before, "1", "2", "3")...)
	h.run(refusal, h.push(order.Mall, before, "4")...)
	h.run(whole, h.push(order.Procurement, before, "7")...)
	h.now = noon.Add(time.Minute)
	h.check()
	h.want(order.Mall, before, "open received 4 ended 4 open 0 missing 0 faults 0")
	if told := h.told(order.Mall, before); len(told) != 0 {
		t.Errorf("told too early: %+v", told)
	}
	h.now = noon.Add(2 * time.Minute)
	h.check()
	h.check()
	h.want(order.Mall, before, lastHour)
	h.want(order.Procurement, before, "closed received 1 ended 1 open 0 missing 0 faults 0")
	told := h.told(order.Mall, before)
	if len(told) != 1 {
		t.Fatalf("told %+v", told)
	}
	c := told[0]
	if c.Revision != 1 || !c.Complete || c.Received != 4 || c.Validated != 3 || c.Published != 3 || c.Refused != 1 || c.Parked != 1 || c.Delivered != 3 ||
		len(c.Sums) != 1 || c.Sums[0] != (sum{"CNY", 3, "30.15"}) && c.Sums[0] != (sum{"CNY", 3, "30.15000000"}) {
		t.Errorf("told %+v", c)
	}
	h.named()
}
