package store_test

import (
	"slices"
	"testing"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/published"
	"orderflow/pkg/store"
)

// A key id says nothing about the key: what another key of the same id sealed, or made pseudonyms with, is found, and so are
// values that were moved or damaged; whatever our keys wrote, first or not, is sound.
func TestVerify(t *testing.T) {
	s := openShelf(t)
	s.stock(3)
	s.apply(buyerAt("icbu:V0", 80, "alibaba"))
	both, onlyNew, _ := rotatedKeys(t)
	for _, err := range store.NewWriter(s.store, both).Apply(t.Context(), []store.Fact{validated("icbu:V1", 90, "a")}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check := store.Rotation{Store: s.store, Keys: both}
	told := 0
	check.Progress = func(done int) { told = done }
	const rows = 3*3 + 2 + 1 // the content key is one
	if n, err := check.Sealed(t.Context()); n != rows || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	if v, err := check.Verify(t.Context()); err != nil || v.Rows != rows || v.Unreadable+v.Strange != 0 || told != rows {
		t.Fatalf("%+v, told %d, %v", v, told, err)
	}
	// What an earlier release wrote did not tell platforms apart, and is sound until a rotation makes it anew.
	s.rows(`update orders set buyer_pseudonym = '` + s.keys.Pseudonym(privacy.FormerBuyer, "member17") + `' where order_key = 'icbu:V0'`)
	if v, err := check.Verify(t.Context()); err != nil || v.Unreadable+v.Strange != 0 {
		t.Errorf("a former pseudonym: %+v %v", v, err)
	}
	if v, err := (&store.Rotation{Store: s.store, Keys: onlyNew}).Verify(t.Context()); err != nil || v.Unreadable != rows-1 {
		t.Errorf("without the old key: %+v %v", v, err)
	}

	wrong := keysOf(t, oneKey("k2", 9)+","+oneKey("k", 5), oneKey("p2", 6)+","+oneKey("p", 5))
	strange := keysOf(t, oneKey("k2", 6)+","+oneKey("k", 5), oneKey("p2", 9))
	for _, err := range append(store.NewWriter(s.store, wrong).Apply(t.Context(), []store.Fact{validated("icbu:V2", 92, "a")}),
		store.NewWriter(s.store, strange).Apply(t.Context(), []store.Fact{validated("icbu:V3", 93, "a")})...) {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.rows(`update dead_letters d set payload = (select payload from dead_letters where id = 2) where id = 1`)
	v, err := check.Verify(t.Context())
	if err != nil || v.Rows != rows+2 || v.Unreadable != 2 || v.Strange != 1 {
		t.Errorf("%+v %v", v, err)
	}
	slices.Sort(v.Examples)
	if want := []string{"letter 1", "order icbu:V2", "order icbu:V3 (pseudonyms)"}; !slices.Equal(v.Examples, want) {
		t.Errorf("examples %v, want %v", v.Examples, want)
	}
	if pending, err := check.Pending(t.Context()); err != nil || pending != 3*3+2 {
		t.Errorf("%d rows are to be rotated by their key ids, %v", pending, err)
	}
}

// buyerAt is a push of the buyer that every platform calls member17, with the same phone.
func buyerAt(key order.Key, n int64, channel string) store.Fact {
	f := validated(key, n, "a")
	f.Validated.Order.Channel, f.Validated.Order.Personal.Account = channel, "member17"
	return f
}

// The same id at another platform is somebody else, the same phone is not: in PostgreSQL, after a rotation too, as in orders.v1.
func TestBuyersOfTwoPlatforms(t *testing.T) {
	s := openShelf(t)
	both, _, _ := rotatedKeys(t)
	facts := []store.Fact{buyerAt("icbu:B1", 1, "alibaba"), buyerAt("mall:S:B1", 2, "taobao"), buyerAt("mall:S:B2", 3, "taobao"), buyerAt("mall:S:B3", 4, "jd")}
	s.apply(facts...)
	for _, keys := range []*privacy.Keys{s.keys, both} {
		s.want(`select count(distinct buyer_pseudonym), count(distinct phone_pseudonym) from analytics.orders`, "3 1")
		for _, f := range facts {
			r := published.New(&f.Validated.Order, event.Meta{}, keys, epoch)
			s.want(`select buyer_pseudonym, phone_pseudonym from orders where order_key = '`+string(f.Meta.OrderKey)+`'`, r.BuyerPseudonym+" "+r.PhonePseudonym)
		}
		if _, err := (&store.Rotation{Store: s.store, Keys: both}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
