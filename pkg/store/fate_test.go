package store_test

import (
	"reflect"
	"testing"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

func TestFates(t *testing.T) {
	s, url := open(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	insert := func(key string, partition int32, offset int64, generation int, state any) {
		t.Helper()
		_, err := conn.Exec(t.Context(), `insert into received (source, partition, "offset", order_key, revision, received_at, end_state, updated_at)
			values ('mall', $1, $2, $3, $4, $6, $5, now())`, partition, offset, key, int64(order.NewRevision(generation, offset)), state, epoch)
		if err != nil {
			t.Fatal(err)
		}
	}
	insert("mall:S1:1", 0, 7, 1, "delivered")
	insert("mall:S1:2", 1, 7, 1, "parked")
	insert("mall:S1:3", 2, 9, 1, nil)
	insert("mall:S1:1", 0, 7, 2, "duplicate") // the same place in the topic's next generation
	for _, sql := range []string{
		`insert into orders (order_key, source, revision, validated, state, total, received_at, updated_at, version)
			values ('mall:S1:1', 'mall', 1, true, 'delivered', 450.00, now(), now(), 1)`,
		`insert into dead_letters (service, code, order_key, revision, origin_topic, origin_partition, origin_offset, first_failed_at,
			failed_at, dlq_topic, dlq_partition, dlq_offset, state, updated_at)
			select 'validate', 'sum_mismatch', order_key, revision, 'mall.received.v1', 1, 7, now(), now(), 'validate.dlq.v1', 0, 0, 'open', now()
			from received where order_key = 'mall:S1:2'`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Fates(t.Context(), order.Mall, 1, []store.Place{{0, 7}, {1, 7}, {2, 9}, {3, 1}})
	for place, fate := range got {
		fate.ReceivedAt = fate.ReceivedAt.UTC()
		got[place] = fate
	}
	want := map[store.Place]store.Fate{
		{0, 7}: {OrderKey: "mall:S1:1", Revision: order.NewRevision(1, 7), State: "delivered", Total: "450.00", ReceivedAt: epoch},
		{1, 7}: {OrderKey: "mall:S1:2", Revision: order.NewRevision(1, 7), State: "parked", Code: "sum_mismatch", ReceivedAt: epoch},
		{2, 9}: {OrderKey: "mall:S1:3", Revision: order.NewRevision(1, 9), ReceivedAt: epoch},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("fates %+v (%v)\nwant %+v", got, err, want)
	}
	if got, err := s.Fates(t.Context(), order.ICBU, 1, []store.Place{{0, 7}}); err != nil || len(got) != 0 {
		t.Errorf("another source's records: %+v %v", got, err)
	}
}
