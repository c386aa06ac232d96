package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lawBalance is what the service balance has to say of the same run: it counts by other ways than this program.
const lawBalance = "every hour balances, and nothing in it is open"

// hourCount is one hour of one source as the balance counted it.
type hourCount struct {
	name                           string
	received, open, faults, unsure int64
	start                          time.Time
	state                          string // open, frozen or closed
	complete                       bool   // as analysts were told last
	closedAt                       time.Time
}

// counted is nil once the balance has counted so many records, and nothing of them is open or at fault.
func counted(ctx context.Context, pool *pgxpool.Pool, written int64) error {
	var received, open, faults, unsure int64
	err := pool.QueryRow(ctx, `select coalesce(sum(received), 0)::bigint, coalesce(sum(open), 0)::bigint, coalesce(sum(faults), 0)::bigint,
		coalesce(sum(unsure), 0)::bigint from balance_hours`).Scan(&received, &open, &faults, &unsure)
	if err != nil {
		return err
	}
	if received != written || open > 0 || faults > 0 || unsure > 0 {
		return fmt.Errorf("%d records are written; the balance has counted %d, %d of these open, %d at fault, %d not sure", written, received, open, faults, unsure)
	}
	return nil
}

// asker is a connection, or a pool of them.
type asker interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func hourCounts(ctx context.Context, db asker) (hours []hourCount, err error) {
	rows, err := db.Query(ctx, `select source || ' ' || to_char(hour at time zone 'UTC', 'YYYY-MM-DD HH24"h"'), received, open, faults, unsure, hour, state, complete,
		coalesce(closed_at, 'epoch') from balance_hours order by hour, source`)
	if err != nil {
		return nil, err
	}
	var h hourCount
	_, err = pgx.ForEachRow(rows, []any{&h.name, &h.received, &h.open, &h.faults, &h.unsure, &h.start, &h.state, &h.complete, &h.closedAt}, func() error {
		hours = append(hours, h)
		return nil
	})
	return hours, err
}

func (e *evidence) readBalance(ctx context.Context, conn *pgx.Conn) error {
	var err error
	if e.hours, err = hourCounts(ctx, conn); err != nil {
		return err
	}
	rows, err := conn.Query(ctx, `select fault || ' at ' || source || '.received.v1/' || partition || '/' || "offset" || ' ' || order_key from balance_faults order by 1`)
	if err != nil {
		return err
	}
	e.unbalanced, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}

// balanced: the balance accounts for every record that was received, and names none.
func (c *checker) balanced() ruling {
	r := ruling{law: lawBalance}
	var received int64
	for _, h := range c.hours {
		received += h.received
		if h.open > 0 || h.faults > 0 || h.unsure > 0 {
			r.broken("%s: %d received, %d open, %d at fault, %d not sure", h.name, h.received, h.open, h.faults, h.unsure)
		}
	}
	r.held = int(received)
	if received != int64(len(c.received)) {
		r.broken("the hours have %d records, Kafka has %d", received, len(c.received))
	}
	r.violations = append(r.violations, c.unbalanced...)
	return r
}
