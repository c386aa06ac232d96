package freeport

import (
	"net"
	"testing"
)

// close gives the blocks back, as the end of a process does.
func (o *owner) close() {
	for _, claim := range o.claims {
		_ = claim.Close()
	}
}

// Two processes that look at the same ports first, and listen on none of them yet, get different ones.
func TestPortsOfTwoProcesses(t *testing.T) {
	one, two := &owner{start: 17}, &owner{start: 17}
	t.Cleanup(one.close)
	t.Cleanup(two.close)
	given := map[int]bool{}
	for n := range 3 * block {
		for _, o := range []*owner{one, two} {
			count := 1 + n%3
			first, err := o.next(count)
			if err != nil {
				t.Fatal(err)
			}
			for port := first; port < first+count; port++ {
				if given[port] || port < lowest || port >= highest {
					t.Fatalf("port %d was given out already, or lies outside", port)
				}
				given[port] = true
			}
		}
	}
}

// A process that asks for thousands of ports leaves blocks to others, and begins anew with its own; what somebody listens on
// is passed over.
func TestPortsOfOneProcessComeAgain(t *testing.T) {
	o := &owner{start: 90}
	t.Cleanup(o.close)
	first, err := o.next(1)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", address(first))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for n := range 2 * most * block {
		switch port, err := o.next(1); {
		case err != nil:
			t.Fatal(err)
		case port == first:
			t.Fatalf("port %d, which is taken, was given out as number %d", port, n)
		}
	}
	if len(o.claims) != most {
		t.Errorf("it has %d blocks, want %d", len(o.claims), most)
	}
	if _, err := o.next(block); err == nil {
		t.Error("more ports than a block has were found")
	}
}
