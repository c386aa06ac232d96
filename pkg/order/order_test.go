package order_test

import (
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"orderflow/pkg/order"
)

func TestNewKey(t *testing.T) {
	long := strings.Repeat("单", order.MaxKeyPart)
	for want, parts := range map[order.Key][]string{
		"icbu:P1":                 {"P1"},
		"icbu:HQS0001:0000128092": {"HQS0001", "0000128092"},
		"icbu:a%3Ab:%25%2F":       {"a:b", "%/"},
		"icbu:%21x!":              {"!x!"},
		"icbu:%00%0A%7F":          {"\x00\n\x7f"},
		"icbu:%E5%8D%95":          {"单"},
		"icbu: ":                  {" "},
		order.Key("icbu:" + strings.Repeat("%E5%8D%95", order.MaxKeyPart)): {long},
	} {
		key := order.NewKey(order.ICBU, []byte("body"), parts...)
		if key != want || !key.Named() || key.Source() != order.ICBU {
			t.Errorf("%q: %q", parts, key)
		}
	}
	for _, parts := range [][]string{nil, {""}, {"a", ""}, {"", "a"}, {long + "1"}, {"a", long + "1"}} {
		key := order.NewKey(order.Mall, []byte("body"), parts...)
		if want := order.Key("mall:!" + order.Digest([]byte("body"))[:32]); key != want || key.Named() || key.Source() != order.Mall {
			t.Errorf("%q: %q", parts, key)
		}
	}
	if order.Key("nonsense").Named() {
		t.Error("a key without a source is named")
	}
}

// TestLawKeysTellOrdersApart: different natural keys have different order keys, a key's parts can be read back, and it is
// printable ASCII; nobody can forge an unnamed key.
func TestLawKeysTellOrdersApart(t *testing.T) {
	part := rapid.StringN(1, 8, -1).Filter(func(s string) bool { return s != "" })
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(part, 1, 2).Draw(t, "parts")
		key := string(order.NewKey(order.Mall, nil, parts...))
		encoded := strings.Split(strings.TrimPrefix(key, "mall:"), ":")
		if len(encoded) != len(parts) || !order.Key(key).Named() {
			t.Fatalf("%q: %q", parts, key)
		}
		for i := range parts {
			back, err := url.PathUnescape(encoded[i])
			if err != nil || back != parts[i] {
				t.Errorf("%q became %q, %v", parts[i], back, err)
			}
		}
		if strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r >= 0x7f }) {
			t.Errorf("%q is not printable", key)
		}
	})
}

func TestParseAmount(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "-0.00": "0", "450.00": "450", "-0.01": "-0.01", "28600.0": "28600", "1e3": "1000", "4.5E+2": "450", "5e-2": "0.05",
		"0e32": "0", "0.000000000000": "0", "999999999999999999": "999999999999999999", "0.12345678": "0.12345678", "1e17": "100000000000000000",
	} {
		if d, err := order.ParseAmount(text); err != nil || d.String() != want {
			t.Errorf("%s: %s, %v", text, d, err)
		}
	}
	for _, text := range []string{
		"", "-", ".", "1.", ".5", "+1", "01", "-01", "00", "1e", "1e+", "e5", "1.e5", "1,5", " 1", "1 ", "0x10", "1_000", "NaN", "Infinity",
		"１", "−1", "1e33", "1e1000000000", "1e-1000000000", "1e9999999999999999999", "1000000000000000000", "1e18", "0.123456789", "1e-9",
		strings.Repeat("9", 1<<20), "0." + strings.Repeat("0", 63), "1e0000000000000000000000000000000000000000000000000000000000000000",
	} {
		_, err := order.ParseAmount(text)
		if !errors.Is(err, order.ErrAmount) || text != "" && len(text) > 3 && strings.Contains(err.Error(), text) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// A hostile exponent must not make a number of a billion digits.
func TestParseAmountIsCheap(t *testing.T) {
	for _, text := range []string{"1e1000000000", "1E-999999999999", strings.Repeat("1", 1<<20), "1e32"} {
		if allocs := testing.AllocsPerRun(100, func() { _, _ = order.ParseAmount(text) }); allocs > 4 {
			t.Errorf("%.20s: %v allocations", text, allocs)
		}
	}
}

// FuzzParseAmount holds it against big.Rat: what is taken has exactly the value of its text.
func FuzzParseAmount(f *testing.F) {
	for _, text := range []string{"450.00", "-1e3", "0e32", "1e1000000000", "123456789012345678.12345678"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := order.ParseAmount(text)
		if err != nil {
			return
		}
		want, ok := new(big.Rat).SetString(text)
		if !ok || d.Rat().Cmp(want) != 0 {
			t.Errorf("%q became %s", text, d)
		}
		if d.Exponent() < -8 || d.Abs().NumDigits()+int(d.Exponent()) > 18 {
			t.Errorf("%q is beyond the bounds: %s", text, d)
		}
	})
}

func TestRevision(t *testing.T) {
	r := order.NewRevision(3, 123456789)
	if r.Generation() != 3 || r.Offset() != 123456789 {
		t.Errorf("generation %d, offset %d", r.Generation(), r.Offset())
	}
	if order.NewRevision(2, 0) <= order.NewRevision(1, 1<<47) || order.NewRevision(1, 0) == 0 {
		t.Error("a newer generation is not newer, or the first record has no revision")
	}
	if highest := order.NewRevision(31, 1<<48-1); order.Revision(float64(highest)) != highest {
		t.Errorf("revision %d is not exact as a double", highest)
	}
}
