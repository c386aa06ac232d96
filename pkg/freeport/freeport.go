// Package freeport gives out loopback ports for servers of tests that start later, or stop and start again: no other process
// that asks it gets the same ones meanwhile, and the kernel gives none of them to an outgoing connection by itself.
package freeport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
)

const (
	lowest  = 10_000
	highest = 32_000 // excluded; the kernel's own begin at 32,768 unless it was told otherwise
	block   = 100
	blocks  = (highest - lowest) / block
	most    = 40 // blocks of one process
)

// owner is who gives out ports. It does so from blocks of its own: the first port of a block is listened on for as long as
// the process lives, which tells all others that the block is taken.
type owner struct {
	start int // the block to look at first

	mu     sync.Mutex
	claims []net.Listener
	bases  []int // of the claimed blocks
	turn   int   // the block in use
	used   int   // its ports that were given out or passed over
}

var own = owner{start: os.Getpid() * 7}

// Next gives the first of so many consecutive ports that nobody listens on.
func Next(count int) (int, error) { return own.next(count) }

// Addr gives an address on a port that nobody listens on.
func Addr() (string, error) {
	port, err := Next(1)
	return address(port), err
}

func (o *owner) next(count int) (int, error) {
	if count < 1 || count >= block {
		return 0, fmt.Errorf("find %d consecutive free ports: 1 to %d are given at once", count, block-1)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for range 2 * most * block {
		if len(o.bases) == 0 || o.used+count > block {
			if err := o.turnOver(); err != nil {
				return 0, err
			}
		}
		first := o.bases[o.turn] + o.used
		if free(first, count) {
			o.used += count
			return first, nil
		}
		o.used++
	}
	return 0, errors.New("find free ports: somebody listens on all of them")
}

// turnOver goes on with a new block or, when there are many or all have an owner, with the one whose ports were given out
// longest ago.
func (o *owner) turnOver() error {
	o.used = 1
	if len(o.bases) < most && o.claim() {
		o.turn = len(o.bases) - 1
		return nil
	}
	if len(o.bases) == 0 {
		return errors.New("find free ports: every block has an owner")
	}
	o.turn = (o.turn + 1) % len(o.bases)
	return nil
}

func (o *owner) claim() bool {
	for n := range blocks {
		base := lowest + (o.start+len(o.bases)+n)%blocks*block
		if claim, err := net.Listen("tcp", address(base)); err == nil {
			o.claims, o.bases = append(o.claims, claim), append(o.bases, base)
			return true
		}
	}
	return false
}

func free(first, count int) bool {
	for port := first; port < first+count; port++ {
		listener, err := net.Listen("tcp", address(port))
		if err != nil {
			return false
		}
		_ = listener.Close()
	}
	return true
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
