package main

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/store"
)

// freezing are the requests at which a console may freeze: those by which letters are sent, and looked for after a crash.
var freezing = []kmsg.Key{kmsg.InitProducerID, kmsg.Produce, kmsg.Produce, kmsg.EndTxn, kmsg.EndTxn, kmsg.ListOffsets, kmsg.Fetch}

// frozenConsole is a console that works on a job until it freezes at one of its requests to Kafka. One that is never thawed
// has died; one that is goes on where it stood, and does not know what happened meanwhile.
type frozenConsole struct {
	at      kmsg.Key     // the kind of request
	left    atomic.Int64 // how many more of that kind, until it freezes
	arrives bool         // the request at which it freezes still reaches the broker; its answer reaches nobody
	frozen  chan struct{}
	thawed  chan struct{}
	thaw    func()
	ended   chan struct{}
}

// head is how long the rest of the world waits for a console to freeze. One that takes longer, since another one froze within
// a transaction that the service must wait for, works on meanwhile; whether it does decides nothing.
const head = time.Second

// freeze has a console work on the job until its nth request of a kind, or to its end where there are fewer.
func (y *yard) freeze(run *store.ReplayRun, at kmsg.Key, n int, arrives bool) *frozenConsole {
	c := &frozenConsole{at: at, arrives: arrives, frozen: make(chan struct{}), thawed: make(chan struct{}), ended: make(chan struct{})}
	c.left.Store(int64(n))
	c.thaw = sync.OnceFunc(func() { close(c.thawed) })
	r := y.crashing()
	r.open = func(options ...kgo.Opt) (*kgo.Client, error) { return y.open(append(options, kgo.Dialer(c.dial))...) }
	go func() {
		defer close(c.ended)
		r.job(context.Background(), run)
	}()
	select {
	case <-c.frozen:
	case <-c.ended:
	case <-time.After(head):
	}
	return c
}

func (c *frozenConsole) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return &frozenConn{conn, c}, err
}

// hold keeps a console that is frozen where it is.
func (c *frozenConsole) hold() {
	select {
	case <-c.frozen:
		<-c.thawed
	default:
	}
}

type frozenConn struct {
	net.Conn
	console *frozenConsole
}

// Write gets a whole request: its length in four bytes, then its key in two.
func (f *frozenConn) Write(request []byte) (n int, err error) {
	f.console.hold()
	now := len(request) > 6 && binary.BigEndian.Uint16(request[4:]) == uint16(f.console.at) && f.console.left.Add(-1) == 0
	if now && f.console.arrives {
		if n, err = f.Conn.Write(request); err != nil {
			return n, err
		}
	}
	if now {
		close(f.console.frozen)
		<-f.console.thawed
	}
	if n > 0 {
		return n, nil
	}
	return f.Conn.Write(request)
}

func (f *frozenConn) Read(answer []byte) (int, error) {
	n, err := f.Conn.Read(answer)
	f.console.hold()
	return n, err
}
