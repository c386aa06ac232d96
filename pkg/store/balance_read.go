package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"orderflow/pkg/order"
)

// BalanceFilter chooses hours; a zero field chooses all.
type BalanceFilter struct {
	Source   order.Source
	From, To time.Time // hours that begin at From or later, and before To
}

// BalanceView is an hour with the offsets that do not balance; those of fault StillOpen are no faults.
type BalanceView struct {
	BalanceHour
	Faults []FaultyOffset
}

// Balance lists hours, newest first, at most limit, and the cursor of those behind them, "" at the end.
func (s *Store) Balance(ctx context.Context, f BalanceFilter, cursor string, limit int) ([]BalanceView, string, error) {
	c := conditions{}
	if f.Source != "" {
		if !slices.Contains(order.Sources, f.Source) {
			return nil, "", fmt.Errorf("%w: source: not one of %v", ErrFilter, order.Sources)
		}
		c.add("h.source = @", f.Source)
	}
	if !f.From.IsZero() {
		c.add("h.hour >= @", f.From)
	}
	if !f.To.IsZero() {
		c.add("h.hour < @", f.To)
	}
	if cursor != "" {
		at, n, err := readCursor(cursor)
		if err != nil || n < 0 || n >= int64(len(order.Sources)) {
			return nil, "", fmt.Errorf("%w: cursor: not one of ours", ErrFilter)
		}
		c.args = append(c.args, at, order.Sources[n])
		c.parts = append(c.parts, fmt.Sprintf("(h.hour, h.source) < ($%d, $%d)", len(c.args)-1, len(c.args)))
	}
	where := strings.Join(append(c.parts, "true"), " and ")
	hours, err := s.balanceHours(ctx, where+fmt.Sprintf(" order by h.hour desc, h.source desc limit %d", limit+1), c.args...)
	if err != nil {
		return nil, "", fmt.Errorf("read balance: %w", err)
	}
	next := ""
	if len(hours) > limit {
		hours = hours[:limit]
		last := hours[limit-1]
		next = cursorOf(last.Hour, int64(slices.Index(order.Sources, last.Source)))
	}
	views := make([]BalanceView, len(hours))
	for i := range hours {
		views[i].BalanceHour = hours[i]
	}
	if err := s.addFaults(ctx, views); err != nil {
		return nil, "", fmt.Errorf("read balance: %w", err)
	}
	return views, next, nil
}

// Imbalance counts the hours that something is at fault in, and gives the first of them; zero if there is none.
func (s *Store) Imbalance(ctx context.Context) (hours int, since time.Time, err error) {
	var first *time.Time
	err = s.pool.QueryRow(ctx, `select count(*), min(hour) from balance_hours where faults > 0`).Scan(&hours, &first)
	if err != nil {
		return 0, since, fmt.Errorf("count the hours that do not balance: %w", err)
	}
	if first != nil {
		since = *first
	}
	return hours, since, nil
}

func (s *Store) addFaults(ctx context.Context, views []BalanceView) error {
	sources := column(views, func(v BalanceView) string { return string(v.Source) })
	hours := column(views, func(v BalanceView) time.Time { return v.Hour })
	rows, err := s.pool.Query(ctx, `select n, partition, "offset", fault, f.order_key, accepted_by, reason, accepted_at
		from unnest($1::text[], $2::timestamptz[]) with ordinality as asked (source, hour, n) join balance_faults f using (source, hour)
		left join balance_accepted a using (source, hour, partition, "offset", fault)
		order by n, fault = 'open', partition, "offset", fault`, sources, hours)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		var f FaultyOffset
		var by, reason *string
		var at *time.Time
		if err := rows.Scan(&n, &f.Partition, &f.Offset, &f.Fault, &f.OrderKey, &by, &reason, &at); err != nil {
			return err
		}
		if by != nil {
			f.Accepted = &Acceptance{*by, value(reason), value(at)}
		}
		views[n-1].Faults = append(views[n-1].Faults, f)
	}
	return rows.Err()
}
