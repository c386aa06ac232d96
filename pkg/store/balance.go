package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"orderflow/pkg/order"
)

// HourState is how final an hour of the balance is.
type HourState string

// The states of an hour.
const (
	HourOpen   HourState = "open"   // its offset ranges may still grow
	HourFrozen HourState = "frozen" // the ranges are final, and something is still under way
	HourClosed HourState = "closed" // nothing was under way any more; figures change by a correction only
)

// BalanceHour is one hour of receipt of one source as the balance process saw it last.
type BalanceHour struct {
	Source     order.Source
	Hour       time.Time // its start
	State      HourState
	Ranges     []OffsetRange // by partition
	Tally      Tally
	CheckedAt  time.Time
	Revision   int    // of the completeness record that was written last; 0: none
	Told       []byte // digest of what it said
	ToldAt     time.Time
	Complete   bool   // as it said
	Pending    []byte // what revision + 1 says, while it is not known to be written
	Generation int    // of the received topic
}

// OffsetRange is what a partition received in an hour: the offsets from First up to, but not, End.
type OffsetRange struct {
	Partition  int32
	First, End int64
}

// Tally counts the received offsets of an hour. Received is the length of the offset ranges and nothing else, and every
// received offset is counted in exactly one of Delivered, Persisted, Duplicate, Superseded, Parked, Discarded, Open and
// Missing; beside that, in Refused or Validated once the verdict is known.
type Tally struct {
	Received int64

	Refused   int64 // a letter of validate says so, and it has not passed since
	Validated int64 // PostgreSQL or orders.v1 says so
	Published int64 // stands in orders.v1

	Delivered  int64
	Persisted  int64 // ended by being stored: its source has no partner
	Duplicate  int64 // equal content was there before
	Superseded int64
	Parked     int64 // in a dead-letter topic, whether it was refused or failed later
	Discarded  int64 // given up by a named person
	Open       int64 // under way: some service is not past it yet, or it was not asked long enough
	Missing    int64 // every service is past it, and no row tells how it ended

	Faults   int64 // offsets at fault, the missing ones included: one may count twice
	Accepted int64 // differences that a person accepted: they are no faults any more
	Unsure   int64 // orders.v1 and PostgreSQL differ, and the later of the two may be on its way
	Sums     []Sum // of what was published, by currency
}

// Sum adds up the totals of published records. Each revision of an order is a record of its own.
type Sum struct {
	Currency string `json:"currency"` // ISO 4217; "" for records whose value could not be read
	Records  int64  `json:"records"`
	Total    string `json:"total"` // exact; orders without a total add nothing
}

// Balanced tells whether nothing is at fault. Open orders are no fault.
func (t *Tally) Balanced() bool { return t.Faults == 0 }

// Settled tells whether nothing is under way any more, and nothing at fault.
func (t *Tally) Settled() bool { return t.Open == 0 && t.Faults == 0 && t.Unsure == 0 }

// Fault is why an offset does not balance.
type Fault string

// The faults. Open is none: it names what an hour still waits for.
const (
	NoRow          Fault = "no_row"          // every service is past it, and received has no row
	NoEnd          Fault = "no_end"          // every service is past it, and its row has no end state
	TwoRows        Fault = "two_rows"        // received has several rows for it
	StrayRow       Fault = "stray_row"       // received has a row for an offset that its topic does not have
	NotPublished   Fault = "not_published"   // it passed validation, and orders.v1 lacks it
	PublishedTwice Fault = "published_twice" // orders.v1 has it more than once
	NotStored      Fault = "not_stored"      // orders.v1 has it, and PostgreSQL does not know that it passed validation
	NoOrder        Fault = "no_order"        // orders has no row of its order
	OldOrder       Fault = "old_order"       // its order's row stands at an older revision, or at none that passed validation
	AmountsDiffer  Fault = "amounts_differ"  // its order's row has other amounts, or another currency, than orders.v1
	LinesDiffer    Fault = "lines_differ"    // its order's lines are others, by number and amounts, than those in orders.v1
	StrayOrder     Fault = "stray_order"     // an order's row claims a revision that no record brought
	StillOpen      Fault = "open"
)

// FaultyOffset is a received offset that does not balance.
type FaultyOffset struct {
	Partition int32
	Offset    int64
	Fault     Fault
	OrderKey  order.Key   // "" where neither PostgreSQL nor Kafka has the record any more
	Accepted  *Acceptance `db:"-"`
}

// Acceptance says who accepted a difference, and why.
type Acceptance struct {
	By, Reason string
	At         time.Time
}

// balanceLock is the advisory lock of the one process that balances.
const balanceLock = 0x62616c616e6365 // "balance"

// ErrHeld says that another process balances already.
var ErrHeld = errors.New("another process balances")

// BalanceHold is the right to balance. It ends with its connection, so that it never outlives its holder.
type BalanceHold struct{ conn *pgxpool.Conn }

// HoldBalance takes the right to balance, or gives ErrHeld.
func (s *Store) HoldBalance(ctx context.Context) (*BalanceHold, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("hold balance: %w", err)
	}
	hold := &BalanceHold{conn}
	var ours bool
	// The server finds out within half a minute that a holder's machine is gone.
	err = conn.QueryRow(ctx, `select pg_try_advisory_lock($1) from (select set_config('tcp_keepalives_idle', '10', false),
		set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '4', false)) settings`, balanceLock).Scan(&ours)
	if err != nil {
		hold.Release()
		return nil, fmt.Errorf("hold balance: %w", err)
	}
	if !ours {
		conn.Release()
		return nil, ErrHeld
	}
	return hold, nil
}

// Check tells whether the right is still ours.
func (h *BalanceHold) Check(ctx context.Context) error {
	if err := h.conn.Ping(ctx); err != nil {
		return fmt.Errorf("keep balance: %w", err)
	}
	return nil
}

// Release gives the right back, and ends the connection: should the server not answer, it is back when that is noticed.
func (h *BalanceHold) Release() {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	_, _ = h.conn.Exec(ctx, `select pg_advisory_unlock($1)`, int64(balanceLock))
	_ = h.conn.Conn().Close(ctx)
	h.conn.Release()
}

// Now is the server's time, by which rows are stamped.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	if err := s.pool.QueryRow(ctx, `select clock_timestamp()`).Scan(&now); err != nil {
		return now, fmt.Errorf("ask the time: %w", err)
	}
	return now, nil
}
