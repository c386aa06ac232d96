package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
)

// Place is where a received record stands in its topic.
type Place struct {
	Partition int32
	Offset    int64
}

// Fate is what became of one received record.
type Fate struct {
	OrderKey   order.Key
	Revision   order.Revision
	State      string // the end state, or "" while it is under way
	Code       string // why it is parked, or ""
	Total      string // of the order as it stands, exact text; "" when there is none
	ReceivedAt time.Time
	PushID     string // of the push that brought the record, or ""
}

const selectFates = `select r.partition, r."offset", r.order_key, r.revision, coalesce(r.end_state, ''), coalesce(l.code, ''), coalesce(o.total::text, ''), r.received_at, r.push_id
	from unnest($2::integer[], $3::bigint[], $4::bigint[]) as asked (partition, "offset", revision)
	join received r on r.source = $1 and r.partition = asked.partition and r."offset" = asked."offset" and r.revision = asked.revision
	left join orders o on o.order_key = r.order_key
	left join lateral (select code from dead_letters d
		where d.order_key = r.order_key and d.revision = r.revision order by d.id desc limit 1) l on true`

// Fates tells what became of the records at those places of a source's received topic, whose generation stands in
// topics.yaml. A record that nothing downstream has seen yet is left out.
func (s *Store) Fates(ctx context.Context, source order.Source, generation int, places []Place) (map[Place]Fate, error) {
	partitions, offsets, revisions := make([]int32, len(places)), make([]int64, len(places)), make([]int64, len(places))
	for i, p := range places {
		partitions[i], offsets[i], revisions[i] = p.Partition, p.Offset, int64(order.NewRevision(generation, p.Offset))
	}
	rows, err := s.pool.Query(ctx, selectFates, string(source), partitions, offsets, revisions)
	if err != nil {
		return nil, fmt.Errorf("read fates: %w", err)
	}
	fates := map[Place]Fate{}
	var place Place
	var fate Fate
	_, err = pgx.ForEachRow(rows, []any{&place.Partition, &place.Offset, &fate.OrderKey, &fate.Revision, &fate.State, &fate.Code, &fate.Total, &fate.ReceivedAt, &fate.PushID}, func() error {
		fates[place] = fate
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read fates: %w", err)
	}
	return fates, nil
}
