package store_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// PostgreSQL keeps the plan that it made when the table was empty. It has to be one that looks rows up by their keys, or
// every batch costs as much as the table is long.
func TestLedgerReadsTheSameHoweverLongItIs(t *testing.T) {
	const rounds, size, perOrder = 40, 100, 8
	url := pgtest.New(t)
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	ledger := db.Ledger("okki", "okkisync", "a")
	for round := range rounds {
		intents, settlements := make([]store.Intent, size), make([]store.Settlement, size)
		for i := range intents {
			intents[i] = store.Intent{OrderKey: order.Key(fmt.Sprintf("icbu:%d-%d", round, i)), Revision: 1, Digest: "hmac.A", Plain: "A"}
		}
		grants, err := ledger.Claim(t.Context(), intents)
		if err != nil {
			t.Fatal(err)
		}
		for i := range grants {
			settlements[i] = store.Settlement{OrderKey: intents[i].OrderKey, Revision: 1, Attempt: grants[i].Attempt, Ending: store.Delivered}
		}
		if _, err := ledger.Settle(t.Context(), settlements); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	awaitStatistics(t, conn)
	var read int64
	err = conn.QueryRow(t.Context(), `select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables
		where relname = 'deliveries'`).Scan(&read)
	if t.Logf("%d rows read for %d orders", read, rounds*size); err != nil || read == 0 || read > rounds*size*perOrder {
		t.Errorf("%d rows read for %d orders, %v", read, rounds*size, err)
	}
}
