package store_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"orderflow/pkg/order"
	"orderflow/pkg/store"
)

func TestNewestValidated(t *testing.T) {
	s := openShelf(t)
	s.apply(validated("icbu:P1", 5, "a"), validated("icbu:P1", 7, "b"), refused("icbu:P1", 9, "c", 0), validated("mall:S:C", 3, "a"), refused("icbu:P2", 4, "a", 0))
	found, err := s.store.NewestValidated(t.Context(), []order.Key{"icbu:P1", "icbu:P1", "icbu:P2", "mall:S:C", "icbu:nobody"})
	want := map[order.Key]order.Revision{"icbu:P1": rev(7), "mall:S:C": rev(3)}
	if err != nil || !maps.Equal(found, want) {
		t.Errorf("%v, %v, wanted %v", found, err, want)
	}
	if found, err := s.store.NewestValidated(t.Context(), nil); err != nil || len(found) != 0 {
		t.Errorf("of none: %v, %v", found, err)
	}
}

// What the ledger would call superseded, and nothing else, is older than the newest at the partner.
func TestNewestAtPartner(t *testing.T) {
	s, _ := open(t)
	a, b := s.Ledger("okki", "okkisync", "a"), s.Ledger("okki", "okkisync", "b")
	const ended, refusedOnly, doubtful, claimed = order.Key("icbu:ended"), order.Key("icbu:refused"), order.Key("icbu:doubtful"), order.Key("icbu:claimed")
	settle := func(key order.Key, revision order.Revision, ending store.Ending) {
		t.Helper()
		grants, err := a.Claim(t.Context(), []store.Intent{{OrderKey: key, Revision: revision, Digest: fmt.Sprint(revision)}})
		if err != nil || grants[0].Verdict != store.Call {
			t.Fatalf("%s: %+v, %v", key, grants, err)
		}
		if ending == "" {
			return
		}
		_, err = a.Settle(t.Context(), []store.Settlement{{OrderKey: key, Revision: revision, Attempt: grants[0].Attempt, Ending: ending}})
		if err != nil {
			t.Fatal(err)
		}
	}
	settle(ended, 5, store.Delivered)
	settle(ended, 7, store.Delivered)
	settle(ended, 9, store.Refused)
	settle(refusedOnly, 5, store.Refused)
	settle(doubtful, 5, store.Unknown)
	settle(claimed, 5, "")
	keys := []order.Key{ended, refusedOnly, doubtful, claimed, "icbu:nobody"}
	found, err := s.NewestAtPartner(t.Context(), "okki", keys)
	want := map[order.Key]order.Revision{ended: 7, doubtful: 5, claimed: 5}
	if err != nil || !maps.Equal(found, want) {
		t.Errorf("%v, %v, wanted %v", found, err, want)
	}
	if found, err := s.NewestAtPartner(t.Context(), "ezr", keys); err != nil || len(found) != 0 {
		t.Errorf("at another partner: %v, %v", found, err)
	}
	for _, key := range []order.Key{ended, refusedOnly, doubtful} {
		grants, err := b.Claim(t.Context(), []store.Intent{{OrderKey: key, Revision: 4, Digest: "older"}})
		if err != nil {
			t.Fatal(err)
		}
		if superseded := grants[0].Verdict == store.Done && grants[0].Delivery.Outcome == "superseded"; superseded != (want[key] > 4) {
			t.Errorf("%s: the ledger says %+v", key, grants[0])
		}
	}
}

// Large tables are never read as a whole, whatever the planner thinks of their size.
func TestNewestLooksUpByKey(t *testing.T) {
	s := openShelf(t)
	for table, sql := range map[string]string{"orders": store.NewestValidatedSQL, "deliveries": store.NewestAtPartnerSQL} {
		args := []any{[]string{"icbu:P1", "icbu:P2"}}
		if strings.Contains(sql, "$2") {
			args = append(args, "okki")
		}
		rows, err := s.conn.Query(t.Context(), "explain "+sql, args...)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if text := strings.Join(plan, "\n"); err != nil || strings.Contains(text, "Seq Scan") || !strings.Contains(text, table+"_pkey") {
			t.Errorf("%s: %v\n%s", table, err, text)
		}
	}
}
