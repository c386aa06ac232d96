package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// AcceptedFault is what an acceptance is about: this fault at this place, in the hour where it was found.
type AcceptedFault struct {
	Hour      time.Time
	Partition int32
	Offset    int64
	Fault     Fault
	OrderKey  order.Key
}

// acceptFaults leaves out a stray order, which no record brought: its place is not its own, and nothing but removing it is right.
const acceptFaults = `insert into balance_accepted (source, hour, partition, "offset", fault, order_key, accepted_by, reason)
	select source, hour, partition, "offset", fault, order_key, $4, $5 from balance_faults
	where source = $1 and partition = $2 and "offset" = $3 and fault not in ('open', 'stray_order')
	on conflict do nothing returning hour, partition, "offset", fault, order_key`

// AcceptFaults accepts, in the name of a person, all differences that are named at the place of one received record: they no
// longer keep their hour from being complete. It says so in the audit, and gives what was accepted; ErrNotFound when nothing
// is named there, or all of it was accepted before.
func (s *Store) AcceptFaults(ctx context.Context, source order.Source, partition int32, offset int64, by, reason string) (accepted []AcceptedFault, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, acceptFaults, source, partition, offset, by, reason)
		if err != nil {
			return err
		}
		if accepted, err = pgx.CollectRows(rows, pgx.RowToStructByPos[AcceptedFault]); err != nil {
			return err
		}
		if len(accepted) == 0 {
			return ErrNotFound
		}
		for _, f := range accepted {
			object := fmt.Sprintf("%s at %s/%d/%d of %s", f.Fault, source, partition, offset, f.OrderKey)
			if err := addAudit(ctx, tx, AuditEntry{Who: by, Action: "accept", Object: object, Reason: reason}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("accept a difference: %w", err)
	}
	return accepted, nil
}

// AcceptedFaults gives what was accepted in the hours of a source from a time on.
func (s *Store) AcceptedFaults(ctx context.Context, source order.Source, from time.Time) ([]AcceptedFault, error) {
	accepted, err := query(ctx, s, `select hour, partition, "offset", fault, order_key from balance_accepted where source = $1 and hour >= $2`,
		pgx.RowToStructByPos[AcceptedFault], source, from)
	if err != nil {
		return nil, fmt.Errorf("read accepted differences: %w", err)
	}
	return accepted, nil
}

// Accept takes what a person accepted out of the faults of a tally, as far as it is named, and counts it apart.
func (t *Tally) Accept(hour time.Time, named []FaultyOffset, accepted []AcceptedFault) {
	t.Accepted = 0
	for _, a := range accepted {
		for _, f := range named {
			if a.Hour.Equal(hour) && a.Partition == f.Partition && a.Offset == f.Offset && a.Fault == f.Fault {
				t.Accepted++
				break
			}
		}
	}
	t.Faults -= t.Accepted
}
