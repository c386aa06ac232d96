package published

import (
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"pgregory.net/rapid"

	"orderflow/pkg/order"
	"orderflow/pkg/registry"
	"orderflow/pkg/source"
	"orderflow/schemas"
)

// open gives an encoder and a decoder over a registry of the test.
func open(t testing.TB) (*Encoder, *Decoder) {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	client, err := registry.New(registry.Settings{URL: fake.URL()})
	if err != nil {
		t.Fatal(err)
	}
	id, err := client.Register(t.Context(), Subject, schemas.OrderSchema)
	if err != nil {
		t.Fatal(err)
	}
	return NewEncoder(id), NewDecoder(client)
}

var anyText = rapid.StringN(0, 30, -1)

func drawAmount(t *rapid.T) decimal.NullDecimal {
	if rapid.Bool().Draw(t, "absent") {
		return decimal.NullDecimal{}
	}
	digits := rapid.OneOf(
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,2})?`),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,8})?`),
		rapid.StringMatching(`-?[1-9][eE][+-]?[0-9]`),
	).Draw(t, "amount")
	amount, err := order.ParseAmount(digits)
	if err != nil {
		return decimal.NullDecimal{}
	}
	return decimal.NullDecimal{Decimal: amount, Valid: true}
}

// drawTime gives an instant of the four-digit years, as exact as the topic keeps it, or none.
func drawTime(t *rapid.T) time.Time {
	if rapid.IntRange(0, 3).Draw(t, "no time") == 0 {
		return time.Time{}
	}
	return time.UnixMicro(rapid.Int64Range(-62135596799e6, 253402300799e6).Draw(t, "time")).UTC()
}

func drawRecord(t *rapid.T) Record {
	r := Record{
		OrderKey: order.Key(anyText.Draw(t, "key")), Source: rapid.SampledFrom(order.Sources).Draw(t, "source"),
		Revision: order.Revision(rapid.Int64().Draw(t, "revision")), EventID: anyText.Draw(t, "id"),
		Kind:    rapid.SampledFrom([]order.Kind{order.Sale, order.Return, order.ServiceContract, order.Purchase}).Draw(t, "kind"),
		OrderNo: anyText.Draw(t, "number"), OriginalOrderNo: anyText.Draw(t, "original"), Shop: anyText.Draw(t, "shop"),
		Channel: anyText.Draw(t, "channel"), Status: anyText.Draw(t, "status"), Currency: "CNY",
		Total: drawAmount(t), Paid: drawAmount(t), Discount: drawAmount(t), ListPrice: drawAmount(t),
		BuyerPseudonym: anyText.Draw(t, "buyer"), PhonePseudonym: anyText.Draw(t, "phone"), CompanyPseudonym: anyText.Draw(t, "company"),
		Province: anyText.Draw(t, "province"), City: anyText.Draw(t, "city"), PlacedAt: drawTime(t), PaidAt: drawTime(t),
		ReceivedAt: time.UnixMicro(rapid.Int64Range(0, 1<<51).Draw(t, "received")).UTC(), PublishedAt: time.UnixMicro(1).UTC(),
		ReplayJob: anyText.Draw(t, "job"), Warnings: rapid.SliceOfN(anyText, 0, 3).Draw(t, "warnings"), Lines: []Line{},
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "lines") {
		r.Lines = append(r.Lines, Line{
			LineNo: i + 1, LineID: anyText.Draw(t, "line"), Product: anyText.Draw(t, "product"), Name: anyText.Draw(t, "name"),
			Quantity: drawAmount(t), UnitPrice: drawAmount(t), ListPrice: drawAmount(t), Discount: drawAmount(t), Amount: drawAmount(t),
		})
	}
	return r
}

// same compares records by value: 1.50 is 1.5.
func same(a, b Record) bool {
	canonical := func(r Record) Record {
		fix := func(amounts ...*decimal.NullDecimal) {
			for _, a := range amounts {
				if a.Valid {
					a.Decimal = decimal.RequireFromString(a.Decimal.String())
				}
			}
		}
		fix(&r.Total, &r.Paid, &r.Discount, &r.ListPrice)
		r.Lines = append([]Line{}, r.Lines...)
		for i := range r.Lines {
			l := &r.Lines[i]
			fix(&l.Quantity, &l.UnitPrice, &l.ListPrice, &l.Discount, &l.Amount)
		}
		if len(r.Warnings) == 0 {
			r.Warnings = nil
		}
		return r
	}
	return reflect.DeepEqual(canonical(a), canonical(b))
}

// TestLawRecordsComeBack: what is written is what is read, to the last digit and microsecond.
func TestLawRecordsComeBack(t *testing.T) {
	encoder, decoder := open(t)
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		value, err := encoder.Encode(&r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decoder.Decode(t.Context(), value)
		if err != nil || !same(got, r) {
			t.Fatalf("%v\n%+v\n%+v", err, got, r)
		}
	})
}

// TestLawAmountsAreTheLibrarys: our bytes of an amount are those of the library's own way through big.Rat.
func TestLawAmountsAreTheLibrarys(t *testing.T) {
	plain := avro.MustParse(`{"type":"bytes","logicalType":"decimal","precision":38,"scale":8}`)
	rapid.Check(t, func(t *rapid.T) {
		unscaled, _ := new(big.Int).SetString(rapid.StringMatching(`-?[1-9][0-9]{0,37}`).Draw(t, "unscaled"), 10)
		d := decimal.NewFromBigInt(unscaled, -scale)
		_, encoded, err := appendAmount(nil, decimal.NullDecimal{Decimal: d, Valid: true})
		if err != nil {
			t.Fatal(err)
		}
		want, err := plain.Encode(d.Rat())
		if err != nil || string(want[1:]) != string(encoded) {
			t.Fatalf("%s: %x, the library says %x, %v", d, encoded, want[1:], err)
		}
		if got, err := readAmount(encoded); err != nil || !got.Valid || !got.Decimal.Equal(d) {
			t.Fatalf("%s became %v, %v", d, got, err)
		}
	})
}

func TestAmountsWithoutRoom(t *testing.T) {
	encoder, _ := open(t)
	for i, d := range []decimal.Decimal{
		decimal.New(1, 30), decimal.New(-1, 30), decimal.New(1, -9), decimal.New(1, 100_000_000), decimal.New(1, -100_000_000),
		decimal.RequireFromString("123456789012345678901234567890.123456789"),
	} {
		r := Record{Kind: order.Sale, Lines: []Line{{Amount: decimal.NullDecimal{Decimal: d, Valid: true}}}}
		if _, err := encoder.Encode(&r); !errors.Is(err, ErrAmount) || strings.Contains(err.Error(), "123") {
			t.Errorf("amount %d: %v", i, err)
		}
	}
	// The largest amounts that a contract takes, as often as an order may have them, have room.
	largest, err := order.ParseAmount("999999999999999999.99999999")
	if err != nil {
		t.Fatal(err)
	}
	sum := decimal.NullDecimal{Decimal: largest.Mul(decimal.NewFromInt(source.MaxLines)), Valid: true}
	if _, _, err := appendAmount(nil, sum); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]byte{make([]byte, 17), append([]byte{0x7f}, make([]byte, 15)...)} {
		if _, err := readAmount(bad); !errors.Is(err, ErrAmount) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	encoder, decoder := open(f)
	value, err := encoder.Encode(&Record{Kind: order.Sale, Lines: []Line{{LineNo: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add(value[:9])
	f.Add([]byte{0, 0, 0, 0, 9, 1})
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := decoder.Decode(t.Context(), value)
		if err != nil {
			if !errors.Is(err, registry.ErrUnreadable) {
				t.Error(err)
			}
			return
		}
		if again, err := encoder.Encode(&r); err != nil {
			t.Errorf("%v of %x", err, again)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	encoder, _ := open(b)
	at := time.Date(2026, 11, 20, 2, 0, 0, 123456000, time.UTC)
	hundred := decimal.NullDecimal{Decimal: decimal.RequireFromString("450.00"), Valid: true}
	r := Record{
		OrderKey: "mall:HQS0001:0000128092", Source: order.Mall, Revision: order.NewRevision(1, 42), EventID: "mall:HQS0001:0000128092@42",
		Kind: order.Sale, OrderNo: "0000128092", Shop: "HQS0001", Channel: "taobao", Status: "completed", Currency: "CNY",
		Total: hundred, Paid: hundred, Discount: hundred,
		Lines:          []Line{{LineNo: 1, Product: "15026609123", Quantity: hundred, UnitPrice: hundred, ListPrice: hundred, Amount: hundred}},
		BuyerPseudonym: "p.AAAAAAAAAAAAAAAAAAAAAAAA", PhonePseudonym: "p.AAAAAAAAAAAAAAAAAAAAAAAA",
		PlacedAt: at, PaidAt: at, ReceivedAt: at, PublishedAt: at,
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encoder.Encode(&r); err != nil {
			b.Fatal(err)
		}
	}
}
