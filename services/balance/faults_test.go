package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

// Every way in which an offset can go wrong, in the open hour: one check finds it and names it.
func TestOneCheckFindsAndNames(t *testing.T) {
	at := noon.Add(10 * time.Minute)
	cases := []struct {
		name   string
		source order.Source
		how    part
		after  func(h *house, m event.Message)
		want   string // of three orders, the middle one at fault
		fault  store.Fault
	}{
		{"a row is deleted", order.Mall, whole, func(h *house, m event.Message) {
			h.exec(`delete from received where source = 'mall' and partition = $1 and "offset" = $2`, m.Partition, m.Offset)
		}, "received 3 ended 2 open 0 missing 1 faults 1", store.NoRow},
		{"a row is there twice", order.Mall, whole, func(h *house, m event.Message) {
			h.exec(`insert into received select source, partition, "offset", order_key, revision + 1, push_id, content_digest, received_at, validated_at, content,
				content_other, outcome, outcome_other, outcome_at, outcome_code, end_state, updated_at from received where partition = $1 and "offset" = $2`, m.Partition, m.Offset)
		}, "received 3 ended 3 open 0 missing 0 faults 1", store.TwoRows},
		{"a row is there for an offset that is not", order.Mall, whole, func(h *house, m event.Message) {
			h.exec(`update received set "offset" = "offset" + 100000 where partition = $1 and "offset" = $2`, m.Partition, m.Offset)
		}, "received 3 ended 2 open 0 missing 1 faults 2", store.NoRow},
		{"persist passes over all of a record", order.Procurement, noPersist, nil, "received 3 ended 2 open 0 missing 1 faults 2", store.NoRow},
		{"persist passes over a document", order.Mall, noDocument, nil, "received 3 ended 3 open 0 missing 0 faults 1", store.NotStored},
		{"persist passes over an outcome", order.ICBU, noEnd, nil, "received 3 ended 2 open 0 missing 1 faults 1", store.NoEnd},
		{"orders.v1 lacks a record", order.Procurement, noRecord, nil, "received 3 ended 3 open 0 missing 0 faults 1", store.NotPublished},
		{"orders.v1 has a record twice", order.Mall, recordTwice, nil, "received 3 ended 3 open 0 missing 0 faults 1", store.PublishedTwice},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := openHouse(t)
			h.now = at.Add(time.Minute)
			h.run(whole, h.push(c.source, at, "1")...)
			bad := h.push(c.source, at, "2")[0]
			h.run(c.how, bad)
			h.run(whole, h.push(c.source, at, "3")...)
			if c.after != nil {
				h.check()
				h.named()
				c.after(h, bad)
			}
			h.check()
			h.want(c.source, at, "open "+c.want)
			switch {
			case c.how == noPersist:
				h.named(place(store.NoOrder, bad), place(c.fault, bad))
			case c.want[len(c.want)-1] == '2':
				stray := bad
				stray.Offset += 100000
				h.named(place(c.fault, bad), place(store.StrayRow, stray))
			default:
				h.named(place(c.fault, bad))
			}
			if h.logs.FilterMessage("the hour does not balance").Len() == 0 {
				t.Error("nothing in the log")
			}
		})
	}
}

// While a service is away its records are under way, however old they are: nothing is called missing.
func TestWhatIsUnderWayIsNotMissing(t *testing.T) {
	at := noon.Add(10 * time.Minute)
	for _, away := range []string{"validate", "mallupload", "persist"} {
		t.Run(away, func(t *testing.T) {
			h := openHouse(t)
			h.now = at
			h.run(whole, h.push(order.Mall, at, "1")...)
			h.check()
			m := h.push(order.Mall, at, "2")[0]
			switch away {
			case "mallupload":
				h.transact(true, h.made(whole, m)...)
				h.store(noEnd, m)
				h.commit("validate")
				h.commit("persist")
			case "persist":
				h.transact(true, h.made(whole, m)...)
				h.deliver(whole, m)
				h.commit("validate")
				h.commit("mallupload")
			}
			for range 3 {
				h.check()
			}
			h.want(order.Mall, at, "open received 2 ended 1 open 1 missing 0 faults 0")
			h.now = noon.Add(time.Hour + 2*time.Minute)
			h.check()
			h.want(order.Mall, at, "frozen received 2 ended 1 open 1 missing 0 faults 0")
			h.named(place(store.StillOpen, m))

			// It is told to be incomplete when it has been so for long, and complete when the service is back.
			h.now = noon.Add(2*time.Hour + 2*time.Minute)
			h.check()
			h.check()
			if told := h.told(order.Mall, at); len(told) != 1 || told[0].Complete || told[0].Open != 1 {
				t.Fatalf("told %+v", told)
			}
			switch away {
			case "validate":
				h.run(whole, m)
			case "mallupload":
				h.deliver(whole, m)
				h.store(whole, m)
			case "persist":
				h.store(whole, m)
			}
			h.commitAll()
			h.check()
			h.want(order.Mall, at, "closed received 2 ended 2 open 0 missing 0 faults 0")
			if told := h.told(order.Mall, at); len(told) != 2 || !told[1].Complete || told[1].Revision != 2 {
				t.Fatalf("told %+v", told)
			}
			h.named()
		})
	}
}

// A transaction that was cut leaves records that no reader sees and no service counts.
func TestAbortedTransactionsDoNotCount(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(-time.Minute)
	m := h.push(order.Mall, at, "1")[0]
	h.transact(false, h.made(whole, m)...)
	h.run(whole, m)
	h.transact(false, h.made(whole, m)...)
	h.now = noon.Add(3 * time.Minute)
	h.check()
	h.want(order.Mall, at, "closed received 1 ended 1 open 0 missing 0 faults 0")
}

// A closed hour is answered from PostgreSQL when Kafka's records are gone, and still watched.
func TestFrozenHoursOutliveTheRecords(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(-time.Minute)
	pushed := h.push(order.Mall, at, "1", "2", "3")
	h.run(whole, pushed...)
	h.now = noon.Add(3 * time.Minute)
	h.check()
	h.want(order.Mall, at, "closed received 3 ended 3 open 0 missing 0 faults 0")

	gone := kadm.Offsets{}
	for _, m := range pushed {
		gone.Add(kadm.Offset{Topic: m.Topic, Partition: m.Partition, At: m.Offset + 1, LeaderEpoch: -1})
	}
	if _, err := h.admin.DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	h.restart()
	h.now = noon.Add(5 * time.Hour)
	h.run(whole, h.push(order.Mall, h.now, "4")...)
	h.check()
	h.want(order.Mall, at, "closed received 3 ended 3 open 0 missing 0 faults 0")
	h.want(order.Mall, h.now, "open received 1 ended 1 open 0 missing 0 faults 0")
	h.exec(`delete from received where "offset" = $1 and partition = $2`, pushed[1].Offset, pushed[1].Partition)
	h.check()
	h.want(order.Mall, at, "closed received 3 ended 2 open 0 missing 1 faults 1")
	h.named(place(store.NoRow, pushed[1]))
	told := h.told(order.Mall, at)
	if len(told) != 2 || !told[0].Complete || told[1].Complete || told[1].Revision != 2 || told[1].Missing != 1 {
		t.Errorf("told %+v", told)
	}
}

// A letter that is mended long after its hour was told to be complete corrects it: under the next number, and once.
func TestALateReplayCorrectsTheHour(t *testing.T) {
	h := openHouse(t)
	at := noon.Add(-time.Minute)
	h.run(whole, h.push(order.Procurement, at, "1")...)
	m := h.push(order.Procurement, at, "2")[0]
	h.run(refusal, m)
	h.now = noon.Add(3 * time.Minute)
	h.check()
	h.now = noon.Add(40 * time.Hour) // beyond the hours that every check counts
	h.check()
	h.run(whole, m)
	h.check()
	h.check()
	told := h.told(order.Procurement, at)
	if len(told) != 2 || told[0].Parked != 1 || told[0].Published != 1 || told[1].Parked != 0 || told[1].Published != 2 || told[1].Persisted != 2 || !told[1].Complete || told[1].Revision != 2 {
		t.Errorf("told %+v", told)
	}
}

// Whoever pushes while the hour changes falls into exactly one hour, even with the clock of a sender that goes back.
func TestEveryOffsetIsInOneHour(t *testing.T) {
	h := openHouse(t)
	var all int64
	for n, minute := range []int{-70, -61, -59, -10, -1, 0, 1, -2, 5, 61, 59, 62, 180} {
		h.run(whole, h.push(order.Mall, noon.Add(time.Duration(minute)*time.Minute), fmt.Sprint(n%4))...)
		all++
		h.now = noon.Add(time.Duration(minute)*time.Minute + time.Second)
		h.check()
	}
	h.now = noon.Add(6 * time.Hour)
	h.check()
	hours, err := h.db.BalanceHours(t.Context(), order.Mall, noon.Add(-keep))
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	next := map[int32]int64{}
	for _, hour := range hours {
		sum += hour.Tally.Received
		for _, r := range hour.Ranges {
			if r.First != next[r.Partition] {
				t.Errorf("partition %d of %s begins at %d, the hour before it ended at %d", r.Partition, hour.Hour, r.First, next[r.Partition])
			}
			next[r.Partition] = r.End
		}
	}
	if sum != all {
		t.Errorf("%d records in all hours, wanted %d", sum, all)
	}
}
