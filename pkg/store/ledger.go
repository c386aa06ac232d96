package store

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
)

// Ledger is a partner worker's account of its deliveries, table deliveries: claim before a call, settle after it
// (design.md section 5). It is what makes effects happen in order and at most once as far as the partner lets us know.
//
// Claim and Settle are one round trip each, whatever the size of the batch: a statement that takes an advisory lock per
// order, and one that decides and writes under these locks, both in one implicit transaction. The locks serialise two
// processes on one order even before its first row exists, and, unlike a decision taken on the client's side of an open
// transaction, a frozen process never holds them. They are taken in one order, so two batches cannot deadlock.
type Ledger struct {
	// Lease is how long a claim lives without being settled. Only PostgreSQL's clock is asked about it.
	Lease time.Duration

	store                   *Store
	pool                    *pgxpool.Pool
	partner, service, owner string
}

// DefaultLease bounds how long an order waits after its worker died in the middle of a call.
const DefaultLease = 30 * time.Second

// Ledger opens the ledger of one partner. Service is the name in the timeline; owner names this process among all that
// ever ran and must not be used by a second one.
func (s *Store) Ledger(partner, service, owner string) *Ledger {
	return &Ledger{Lease: DefaultLease, store: s, pool: s.pool, partner: partner, service: service, owner: owner}
}

// ContentKey is the key that the digests of intents are to be under.
func (l *Ledger) ContentKey(ctx context.Context, keys *privacy.Keys) (*privacy.ContentKey, error) {
	return l.store.ContentKey(ctx, keys)
}

// Intent is a wish to deliver one revision of an order.
type Intent struct {
	OrderKey order.Key
	Revision order.Revision
	Digest   string // of the content, under ContentKey
	Plain    string // the same as earlier releases wrote it, without a key: their rows are put under Digest first; "": there are none
	Total    string // exact text of a decimal, or ""
	Request  []byte // encrypted; given where nothing brings the record back in its place, as after a replay

	// Newer is a greater revision of the order that the caller has at hand and will deliver next, or 0.
	Newer order.Revision
	// Held says that no call may be made yet, for a reason outside the ledger; what needs no call is still decided.
	Held bool
}

// Verdict is what a worker has to do about an intent.
type Verdict string

// The verdicts.
const (
	Call      Verdict = "call"      // make the call, before Grant.Deadline, and settle
	Done      Verdict = "done"      // no call; publish Grant.Delivery: it was settled before, is a duplicate or superseded
	Busy      Verdict = "busy"      // another owner holds the order, or an older unresolved revision comes first; wait
	Unsettled Verdict = "unsettled" // first send Grant.Earlier once more, settle that, then claim again
	Held      Verdict = "held"      // a call would be due, but Intent.Held forbids it; nothing was written
)

// Grant answers an Intent.
type Grant struct {
	Verdict  Verdict
	Attempt  int       // number of this claim, to settle with
	Deadline time.Time // no request may be written after it: under half the lease, by this process's monotonic clock

	// MaybeTaken says that an earlier call with the same content may have been taken: only then does the partner's
	// "exists already" mean success.
	MaybeTaken bool
	// HoldsOther says that the partner took this order with another content before: its "exists already" means that one,
	// whatever an unknown call may have done.
	HoldsOther bool
	// Keep says that a late call of an older revision may come and overwrite what is sent now: a Delivered settlement
	// shall leave its Request, so that it can be sent again.
	Keep     bool
	Delivery event.Delivery // for Done
	Earlier  *Earlier       // for Unsettled
}

// Earlier is an older revision whose call ended with an unknown outcome; it is claimed for the caller.
type Earlier struct {
	Revision order.Revision
	Digest   string
	Attempt  int
	Request  []byte // encrypted, as it was settled
}

// Ending is how a claim ended.
type Ending string

// The endings. Refused and Conflict park the order as a letter; Unknown and NotTaken leave the order to a later claim.
const (
	Delivered Ending = "delivered"
	Refused   Ending = "refused"
	Conflict  Ending = "conflict"  // the partner holds the order with another content
	Unknown   Ending = "unknown"   // the call may or may not have been taken
	NotTaken  Ending = "not_taken" // no call was made, or the partner surely did not act on it
)

// Settlement says how a claim ended.
type Settlement struct {
	OrderKey order.Key
	Revision order.Revision
	Attempt  int
	Ending   Ending
	Code     string // the partner's own code
	Took     time.Duration
	Request  []byte // encrypted; with Unknown, so that it can be resolved by whoever comes next, and where Grant.Keep asks for it
}

// Settled answers a Settlement.
type Settled struct {
	Status   Status
	Delivery event.Delivery // to be published, where a delivery was Kept, now or before: an outcome once told stays
}

// Status is what became of a settlement.
type Status string

// The statuses.
const (
	Kept  Status = "kept"  // written down
	Again Status = "again" // delivered, but an older call may have come after it: claim and send once more
	Lost  Status = "lost"  // the claim is no longer ours; the next one tells what became of the order
)

// callShare of the lease is left for calls; the rest covers a request that is under way when it ends.
const callShare = 0.45

// keptFor is how long a settled row's request is kept for a late call: what a frozen worker is expected to come back in.
const keptFor = `interval '1 hour'`

// wasDelivered tells of a row that it ended as delivered, even if it is being sent once more.
const wasDelivered = `coalesce(d.outcome in ('delivered', 'duplicate'), false)`

// locks takes the locks of a batch of orders until the end of its transaction. Their numbers must be sorted.
const lockOrders = `select pg_advisory_xact_lock(n) from unnest($1::bigint[]) as n`

// ledgerLock is the number of the lock of one order in one partner's ledger.
func ledgerLock(partner, key string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("deliveries\x00" + partner + "\x00" + key))
	return int64(h.Sum64())
}

// queueLocks adds the locking of orders to a batch, as its first statement. Two orders with one number merely wait for
// each other. Every version of this program must use the same numbers.
func (l *Ledger) queueLocks(batch *pgx.Batch, keys []string) error {
	numbers := make([]int64, len(keys))
	for i, key := range keys {
		numbers[i] = ledgerLock(l.partner, key)
	}
	slices.Sort(numbers)
	batch.Queue(lockOrders, slices.Compact(numbers))
	sorted := slices.Sorted(slices.Values(keys))
	if i := firstRepeat(sorted); i >= 0 {
		return fmt.Errorf("order %s stands twice in one batch", sorted[i])
	}
	return nil
}

func firstRepeat[T cmp.Ordered](sorted []T) int {
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return i
		}
	}
	return -1
}
