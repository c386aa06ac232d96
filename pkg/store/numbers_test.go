package store_test

import (
	"fmt"
	"strings"
	"testing"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

const numbersSQL = `select array_to_string(numbers, ' ') from orders order by order_key`

func numbered(f store.Fact, numbers ...string) store.Fact {
	if f.Letter != nil {
		f.Letter.Excerpt.Numbers = numbers
	} else {
		f.Validated.Order.Numbers = numbers
	}
	return f
}

// An order is found by every number of every push, whatever became of the push and whatever came after it.
func TestNumbersOfEveryPushAreKept(t *testing.T) {
	s := openShelf(t)
	s.apply(numbered(refused("icbu:P1", 1, "a", 0), "P1", "OKKI1", "T1"))
	s.want(numbersSQL, "OKKI1 P1 T1")
	s.apply(numbered(validated("icbu:P1", 2, "b"), "P1", "OKKI2"))
	s.want(numbersSQL, "OKKI1 OKKI2 P1 T1")
	s.apply(numbered(refused("icbu:P1", 3, "c", 0), "P1", "OKKI3"))
	s.apply(delivery("icbu:P1", 2, "b", event.Delivered))
	s.want(numbersSQL, "OKKI1 OKKI2 OKKI3 P1 T1")
	s.apply(numbered(validated("icbu:P1", 1, "a"), "P1", "OKKI1", "T9")) // replayed, superseded
	s.want(numbersSQL, "OKKI1 OKKI2 OKKI3 P1 T1 T9")
	s.want(statesSQL, "delivered 2 2 101.10")
	for _, number := range []string{"P1", "OKKI1", "OKKI2", "OKKI3", "T1", "T9"} {
		if found, err := s.store.OrdersByNumber(t.Context(), number); err != nil || len(found) != 1 || found[0].Key != "icbu:P1" {
			t.Errorf("%s found %+v (%v)", number, found, err)
		}
	}
	// What changes nothing writes nothing.
	before := s.rows(`select version from orders`)
	s.apply(numbered(refused("icbu:P1", 3, "c", 0), "P1", "OKKI3"))
	s.want(`select version from orders`, before...)
}

// An order whose document nobody has seen is found by the number in its key.
func TestNumberOfTheKey(t *testing.T) {
	s := openShelf(t)
	s.apply(delivery(order.NewKey(order.Mall, nil, "S1", "C:店/1"), 1, "a", event.Delivered))
	s.want(numbersSQL, "C:店/1")
	s.apply(numbered(refused(order.NewKey(order.ICBU, []byte("body"), ""), 2, "a", 0), "OKKI1"))
	s.want(numbersSQL, "OKKI1", "C:店/1")
}

// A sender that gives an order ever new numbers neither fills the row nor pushes out those that the order has now.
func TestNumbersAreBounded(t *testing.T) {
	s := openShelf(t)
	long := strings.Repeat("店", order.MaxKeyPart)
	s.apply(numbered(validated("icbu:P1", 1, "a"), "P1", long, "a\x1fb", "", strings.Repeat("x", 4*order.MaxKeyPart+1)))
	s.want(numbersSQL, "P1 "+long)
	for n := range int64(40) {
		s.apply(numbered(refused("icbu:P1", n+2, "a", 0), fmt.Sprint("R", n)))
	}
	s.want(`select array_length(numbers, 1) from orders`, "32")
	s.apply(numbered(validated("icbu:P1", 100, "b"), "P1", "NOW"))
	s.want(`select array_length(numbers, 1), numbers @> array['P1', 'NOW'] from orders`, "32 true")
}
