package store_test

import (
	"fmt"
	"strings"
	"testing"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// hall is the ledger of EZR and what persist writes about one sale.
type hall struct {
	*shelf
	ezr  *store.Ledger
	sale order.Key
	base int64 // offsets of its records count from here
}

func (h *hall) call(n int64, digest string) store.Grant {
	h.Helper()
	grants, err := h.ezr.Claim(h.Context(), []store.Intent{{OrderKey: h.sale, Revision: rev(h.base + n), Digest: digest}})
	if err != nil || grants[0].Verdict != store.Call {
		h.Fatalf("claim: %+v, %v", grants, err)
	}
	return grants[0]
}

func (h *hall) settle(n int64, digest string, ending store.Ending) {
	h.Helper()
	s := store.Settlement{OrderKey: h.sale, Revision: rev(h.base + n), Attempt: h.call(n, digest).Attempt, Ending: ending, Request: []byte("sealed")}
	if ending != store.Unknown {
		s.Request = nil
	}
	if _, err := h.ezr.Settle(h.Context(), []store.Settlement{s}); err != nil {
		h.Fatal(err)
	}
}

func (h *hall) exec(sql string, args ...any) {
	h.Helper()
	if _, err := h.conn.Exec(h.Context(), sql, args...); err != nil {
		h.Fatal(err)
	}
}

// replaying says that the letters of the sale were sent home.
func (h *hall) replaying() {
	h.Helper()
	h.exec(`update dead_letters set sent_replays = sent_replays + 1, state = 'replaying' where order_key = $1`, h.sale)
}

// ago lets an hour pass since anything was heard of the sale.
func (h *hall) ago() {
	h.Helper()
	h.exec(`update orders set updated_at = updated_at - interval '61 minutes' where order_key = $1`, h.sale)
	h.exec(`update deliveries set claimed_at = claimed_at - interval '61 minutes' where order_key = $1`, h.sale)
}

func (h *hall) validated(n int64, digest string) store.Fact {
	return validated(h.sale, h.base+n, digest)
}

func (h *hall) parked(n int64, digest, stage string) store.Fact {
	return letter(h.sale, h.base+n, digest, stage, event.Validated(order.Mall), "partner_rejected", 0)
}

func (h *hall) refused(n int64, digest string) store.Fact {
	return refused(h.sale, h.base+n, digest, 0)
}

func (h *hall) delivery(n int64, digest string, outcome event.Outcome) store.Fact {
	return delivery(h.sale, h.base+n, digest, outcome)
}

func TestSales(t *testing.T) {
	s := openShelf(t)
	var base int64
	for name, c := range map[string]struct {
		set  func(h *hall)
		want store.SaleState
	}{
		"nobody knows it":   {func(*hall) {}, store.SaleUnknown},
		"passed validation": {func(h *hall) { h.apply(h.validated(1, "A")) }, store.SaleOpen},
		"is a return itself": {func(h *hall) {
			f := h.validated(1, "A")
			f.Validated.Order.Kind, f.Validated.Order.OriginalNo = order.Return, "7"
			h.apply(f)
		}, store.SaleUnknown},
		"its call is under way": {func(h *hall) {
			h.call(1, "A")
		}, store.SaleOpen},
		"its call ended unknown": {func(h *hall) { h.settle(1, "A", store.Unknown) }, store.SaleOpen},
		"its call was not taken": {func(h *hall) { h.settle(1, "A", store.NotTaken) }, store.SaleOpen},
		"delivered, as the ledger knows alone": {func(h *hall) {
			h.settle(1, "A", store.Delivered)
		}, store.SaleTaken},
		"delivered, as persist knows": {func(h *hall) {
			h.apply(h.validated(1, "A"), h.delivery(1, "A", event.Delivered))
		}, store.SaleTaken},
		"delivered before, the newer one under way": {func(h *hall) {
			h.settle(1, "A", store.Delivered)
			h.apply(h.validated(1, "A"), h.validated(2, "B"))
		}, store.SaleTaken},
		"delivered before, the newer one parked": {func(h *hall) {
			h.settle(1, "A", store.Delivered)
			h.settle(2, "B", store.Refused)
			h.apply(h.validated(2, "B"), h.parked(2, "B", "mallupload"))
		}, store.SaleTaken},
		"held by the partner with another content": {func(h *hall) {
			h.settle(1, "A", store.Conflict)
			h.apply(h.validated(1, "A"), h.parked(1, "A", "mallupload"))
		}, store.SaleTaken},
		"refused by the partner, the letter on its way": {func(h *hall) {
			h.settle(1, "A", store.Refused)
			h.apply(h.validated(1, "A"))
		}, store.SaleOpen},
		"refused by the partner": {func(h *hall) {
			h.settle(1, "A", store.Refused)
			h.apply(h.validated(1, "A"), h.parked(1, "A", "mallupload"))
		}, store.SaleParked},
		"refused by validate": {func(h *hall) { h.apply(h.refused(1, "A")) }, store.SaleParked},
		"refused by validate, pushed again": {func(h *hall) {
			h.apply(h.refused(1, "A"), h.validated(2, "B"))
		}, store.SaleOpen},
		"refused, a newer one claimed that persist has not heard of": {func(h *hall) {
			h.apply(h.validated(1, "A"), h.parked(1, "A", "mallupload"))
			h.settle(2, "B", store.NotTaken)
		}, store.SaleOpen},
		"given up after unknown calls": {func(h *hall) {
			h.settle(1, "A", store.Unknown)
			h.apply(h.validated(1, "A"), h.parked(1, "A", "mallupload"))
		}, store.SaleParked},
		"its letter is being replayed": {func(h *hall) {
			h.apply(h.validated(1, "A"), h.parked(1, "A", "mallupload"))
			h.replaying()
		}, store.SaleOpen},
		"its replay failed": {func(h *hall) {
			h.apply(h.validated(1, "A"), h.parked(1, "A", "mallupload"))
			h.replaying()
			h.apply(letter(h.sale, h.base+1, "A", "mallupload", event.Validated(order.Mall), "partner_rejected", 1))
		}, store.SaleParked},
		"its replay is under way": {func(h *hall) {
			h.apply(h.validated(1, "A"), h.parked(1, "A", "mallupload"))
			h.call(1, "A")
		}, store.SaleOpen},
		"nothing heard of it for an hour": {func(h *hall) {
			h.apply(h.validated(1, "A"))
			h.settle(1, "A", store.NotTaken)
			h.ago()
		}, store.SaleUnknown},
		"tried again within the hour": {func(h *hall) {
			h.apply(h.validated(1, "A"))
			h.ago()
			h.settle(1, "A", store.NotTaken)
		}, store.SaleOpen},
		"parked long ago": {func(h *hall) {
			h.apply(h.refused(1, "A"))
			h.ago()
		}, store.SaleParked},
		"discarded": {func(h *hall) {
			h.apply(h.refused(1, "A"))
			var id int64
			if err := h.conn.QueryRow(h.Context(), `select id from dead_letters where order_key = $1`, h.sale).Scan(&id); err != nil {
				h.Fatal(err)
			}
			if err := h.Discard(h.Context(), id, "anna", "a test"); err != nil {
				h.Fatal(err)
			}
		}, store.SaleParked},
		"only persist could not store it": {func(h *hall) { h.apply(h.parked(1, "A", "persist")) }, store.SaleOpen},
		"superseded by one that persist has not heard of": {func(h *hall) {
			h.apply(h.validated(1, "A"), h.delivery(1, "A", event.Superseded))
		}, store.SaleOpen},
		"delivered to another partner": {func(h *hall) {
			h.ezr = h.store.Ledger("okki", "okkisync", "a")
			h.settle(1, "A", store.Delivered)
			h.ezr = h.store.Ledger("ezr", "mallupload", "a")
		}, store.SaleUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			base += 10
			h := &hall{s, s.store.Ledger("ezr", "mallupload", "a"), order.Key(fmt.Sprint("mall:S1:", base)), base}
			c.set(h)
			states, err := h.ezr.Sales(t.Context(), []order.Key{"mall:S1:nobody", h.sale, h.sale})
			if err != nil || states[h.sale] != c.want || states["mall:S1:nobody"] != store.SaleUnknown {
				t.Errorf("%v, %v, wanted %q", states, err, c.want)
			}
		})
	}
}

// However the tables grow, sales are looked up by key.
func TestSalesAreLookedUpByKey(t *testing.T) {
	s := openShelf(t)
	if _, err := s.conn.Exec(t.Context(), `
		insert into orders (order_key, source, revision, validated, state, received_at, updated_at, version)
			select 'mall:S1:' || n, 'mall', n, true, 'validated', now(), now(), 1 from generate_series(1, 20000) n`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.Exec(t.Context(), `
		insert into deliveries (partner, order_key, revision, digest, state, outcome, owner, claimed_at)
			select 'ezr', 'mall:S1:' || n, n, 'd', 'settled', 'delivered', 'a', now() from generate_series(1, 20000) n`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.conn.Exec(t.Context(), `
		insert into dead_letters (service, code, origin_topic, origin_partition, origin_offset, first_failed_at, failed_at,
			dlq_topic, dlq_partition, dlq_offset, state, updated_at, order_key, revision)
			select 'mallupload', 'c', 't', 0, n, now(), now(), 'd', 0, n, 'open', now(), 'mall:S1:' || n, n from generate_series(1, 20000) n`); err != nil {
		t.Fatal(err)
	}
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = fmt.Sprint("mall:S1:", i*7)
	}
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			if _, err := s.conn.Exec(t.Context(), "analyze"); err != nil {
				t.Fatal(err)
			}
		}
		plan := strings.Join(s.rows("explain "+store.SalesQuery, "ezr", keys, "persist"), "\n")
		if strings.Contains(plan, "Seq Scan") {
			t.Errorf("analyzed %v:\n%s", analyzed, plan)
		}
	}
}

func TestSalesReportADatabaseThatIsAway(t *testing.T) {
	server := pgtest.Server(t)
	s, err := store.Open(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ledger("ezr", "mallupload", "a").Sales(t.Context(), []order.Key{"mall:S1:1"}); err == nil || store.Classify(err) != store.Outage {
		t.Errorf("sales: %v", err)
	}
}
