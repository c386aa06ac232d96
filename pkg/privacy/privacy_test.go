package privacy

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/order"
)

func key(fill byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, keySize))
}

func keys(t testing.TB, payload string) *Keys {
	t.Helper()
	k, err := New(Settings{PseudonymKeys: "p1=" + key(7), PayloadKeys: payload})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestXAESVectors holds the cipher against the vectors of c2sp.org/XAES-256-GCM.
func TestXAESVectors(t *testing.T) {
	for _, v := range []struct {
		fill     byte
		ad, want string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		c := newCipherKey(namedKey{"x", [keySize]byte(bytes.Repeat([]byte{v.fill}, keySize))})
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		got := c.aead(nonce).Seal(nil, nonce[12:], []byte("XAES-256-GCM"), []byte(v.ad))
		if hex.EncodeToString(got) != v.want {
			t.Errorf("key %d: %x, want %s", v.fill, got, v.want)
		}
	}
}

func TestEncryptRoundTrip(t *testing.T) {
	k := keys(t, "k1="+key(1))
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		place := rapid.SliceOf(rapid.Byte()).Draw(t, "place")
		sealed := k.Encrypt(plain, place)
		got, err := k.Decrypt(sealed, place)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("decrypt: %x %v", got, err)
		}
		if other := append([]byte{1}, place...); len(sealed) > 0 {
			if _, err := k.Decrypt(sealed, other); !errors.Is(err, ErrSealed) {
				t.Fatalf("a moved value opened: %v", err)
			}
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "damaged")
		sealed[i] ^= 1
		if _, err := k.Decrypt(sealed, place); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d damaged, yet it opened: %v", i, err)
		}
	})
}

func TestAbsentStaysAbsent(t *testing.T) {
	k := keys(t, "k1="+key(1))
	if k.Encrypt(nil, nil) != nil {
		t.Error("nil was sealed")
	}
	if plain, err := k.Decrypt(nil, nil); plain != nil || err != nil {
		t.Error("nil did not open as nil")
	}
	if plain, err := k.Decrypt(k.Encrypt([]byte{}, nil), nil); plain == nil || len(plain) != 0 || err != nil {
		t.Error("empty did not open as empty")
	}
}

func TestSealedTwiceDiffers(t *testing.T) {
	k := keys(t, "k1="+key(1))
	if bytes.Equal(k.Encrypt([]byte("same"), nil), k.Encrypt([]byte("same"), nil)) {
		t.Error("equal values show as equal")
	}
}

func TestRotation(t *testing.T) {
	old := keys(t, "k1="+key(1))
	rotated := keys(t, "k2="+key(2)+",k1="+key(1))
	gone := keys(t, "k2="+key(2))
	sealed := old.Encrypt([]byte("x"), nil)
	if plain, err := rotated.Decrypt(sealed, nil); err != nil || string(plain) != "x" {
		t.Errorf("after rotation: %q %v", plain, err)
	}
	if _, err := gone.Decrypt(sealed, nil); !errors.Is(err, ErrSealed) {
		t.Errorf("without the old key: %v", err)
	}
	if _, err := old.Decrypt(rotated.Encrypt([]byte("x"), nil), nil); !errors.Is(err, ErrSealed) {
		t.Errorf("the first key does not write: %v", err)
	}
}

func TestPlaceIsUnambiguous(t *testing.T) {
	if bytes.Equal(Place("ab", "c"), Place("a", "bc")) || bytes.Equal(Place("a"), Place("a", "")) {
		t.Error("two lists of parts give one place")
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"good", "a=" + key(1) + ", b-2=" + key(2), ""},
		{"no id", "=" + key(1), "not id=base64"},
		{"odd id", "a b=" + key(1), "not id=base64"},
		{"long id", strings.Repeat("a", 33) + "=" + key(1), "not id=base64"},
		{"no base64", "a=%%%", "not base64 of 32 bytes"},
		{"short key", "a=" + base64.StdEncoding.EncodeToString([]byte("short")), "not base64 of 32 bytes"},
		{"twice", "a=" + key(1) + ",a=" + key(2), "stands twice"},
	} {
		s := Settings{PseudonymKeys: c.text, PayloadKeys: c.text}
		err := s.Validate()
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || strings.Count(err.Error(), c.want) != 2 {
			t.Errorf("%s: %v, want both settings reported", c.name, err)
		}
		if err != nil && strings.Contains(err.Error(), key(1)) {
			t.Errorf("%s: the error quotes a key", c.name)
		}
	}
	if _, err := New(Settings{}); err == nil {
		t.Error("New without keys")
	}
}

func TestPseudonym(t *testing.T) {
	k := keys(t, "k1="+key(1))
	phone := k.Pseudonym(Phone, "13812345678")
	for _, same := range []string{" 138-1234-5678", "+86 13812345678", "008613812345678", "１３８12345678"} {
		if k.Pseudonym(Phone, same) != phone {
			t.Errorf("another way to write the phone has another pseudonym")
		}
	}
	if k.Pseudonym(Phone, "13812345679") == phone {
		t.Error("another phone has the same pseudonym")
	}
	if k.Pseudonym(BuyerAt("jd"), "13812345678") == phone {
		t.Error("another kind has the same pseudonym")
	}
	platforms := map[string]bool{k.Pseudonym(FormerBuyer, "17"): true}
	for _, channel := range []string{"alibaba", "fenbeitong", "taobao", "jd", "pinduoduo", ""} {
		platforms[k.Pseudonym(BuyerAt(channel), "17")] = true
	}
	if len(platforms) != 7 {
		t.Errorf("buyer 17 of six platforms has %d pseudonyms", len(platforms)-1)
	}
	if k.Pseudonym(Company, "ＡＣＭＥ Ltd ") != k.Pseudonym(Company, "acme ltd") {
		t.Error("width and case matter")
	}
	if k.Pseudonym(BuyerAt("jd"), " ") != "" || k.Pseudonym(Phone, "") != "" {
		t.Error("nothing has a pseudonym")
	}
	if k.Pseudonym(Phone, "***") == "" {
		t.Error("a masked phone has none")
	}
	id, text, _ := strings.Cut(phone, ".")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if id != "p1" || err != nil || len(raw)*8 < 128 {
		t.Errorf("pseudonym %q: key id, %d bits, %v", phone, len(raw)*8, err)
	}
	two, err := New(Settings{PseudonymKeys: "p2=" + key(8) + ",p1=" + key(7), PayloadKeys: "k1=" + key(1)})
	if err != nil {
		t.Fatal(err)
	}
	if all := two.Pseudonyms(Phone, "13812345678"); len(all) != 2 || all[1] != phone || all[0] != two.Pseudonym(Phone, "13812345678") {
		t.Errorf("pseudonyms under all keys: %v", all)
	}
}

// TestLawPseudonymsAreThoseOfKeys: who has only the pseudonyms' keys writes what the others write, also from many goroutines.
func TestLawPseudonymsAreThoseOfKeys(t *testing.T) {
	k := keys(t, "k1="+key(1))
	alone, err := NewPseudonyms(PseudonymSettings{PseudonymKeys: "p1=" + key(7) + ",p0=" + key(6)})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.String(), 1, 8).Draw(t, "values")
		kind := rapid.SampledFrom([]Kind{BuyerAt("jd"), Phone, Company, Content}).Draw(t, "kind")
		var all sync.WaitGroup
		for _, value := range values {
			all.Go(func() {
				if got, want := alone.Pseudonym(kind, value), k.Pseudonym(kind, value); got != want {
					t.Errorf("%s of %q: %s, Keys say %s", kind, value, got, want)
				}
			})
		}
		all.Wait()
	})
	for _, text := range []string{"", "p1=short", "=" + key(1)} {
		if _, err := NewPseudonyms(PseudonymSettings{PseudonymKeys: text}); err == nil || !strings.HasPrefix(err.Error(), "PSEUDONYM_KEYS: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestMasks(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{MaskPhone("13812345678"), "138******78"},
		{MaskPhone("1234567"), "1******"},
		{MaskPhone(""), ""},
		{MaskName("陈小平"), "陈**"},
		{MaskName("Li"), "L**"},
		{MaskName(" "), ""},
		{MaskAddress("浙江省", "杭州市", "西湖区"), "浙江省 杭州市 西湖区 **"},
		{MaskAddress("", "杭州市", ""), "杭州市 **"},
		{MaskAddress("", "", ""), ""},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	k := keys(f, "k1="+key(1))
	good := k.Encrypt([]byte("secret"), Place("orders.payload", "icbu:P1"))
	f.Add(good)
	f.Add([]byte{})
	f.Add([]byte{format, 255})
	f.Add(good[:len(good)-1])
	f.Fuzz(func(t *testing.T, sealed []byte) {
		plain, err := k.Decrypt(sealed, Place("orders.payload", "icbu:P1"))
		if err == nil && sealed != nil && string(plain) != "secret" {
			t.Fatalf("forged bytes opened as %d bytes", len(plain))
		}
	})
}

func TestRetention(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		text                   string
		icbu, mall, unknown    time.Duration
		fault1, fault2, fault3 string
	}{
		{text: "", icbu: 90 * day, mall: 90 * day, unknown: 90 * day},
		{text: "720h", icbu: 30 * day, mall: 30 * day, unknown: 30 * day},
		{text: " icbu = 240h ,", icbu: 10 * day, mall: 90 * day, unknown: 90 * day},
		{text: "240h,mall=480h", icbu: 10 * day, mall: 20 * day, unknown: 20 * day},
		{text: "90", fault1: "entry 1: not a duration such as 2160h"},
		{text: "shop=240h,icbu=1m,mall=2d", fault1: "entry 1: its source is none of [icbu procurement mall]", fault2: "entry 2: shorter than 1h", fault3: "entry 3: not a duration"},
		{text: "24h,48h,icbu=24h,icbu=25h", fault1: "entry 2: it stands twice", fault2: "entry 4: it stands twice"},
		{text: "icbu=-1h", fault1: "entry 1: shorter"},
	} {
		r, err := ParseRetention(c.text)
		if c.fault1 != "" {
			for _, fault := range []string{c.fault1, c.fault2, c.fault3} {
				if err == nil || !strings.Contains(err.Error(), fault) {
					t.Errorf("%q: %v, want %q", c.text, err, fault)
				}
			}
			continue
		}
		if err != nil || r.Of(order.ICBU) != c.icbu || r.Of(order.Mall) != c.mall || r.Of("") != c.unknown {
			t.Errorf("%q: %+v %v", c.text, r, err)
		}
	}
}

func TestKeyIDs(t *testing.T) {
	k := keys(t, "k2="+key(2)+",k1="+key(1))
	sealed := k.Encrypt([]byte("x"), nil)
	if SealedUnder(sealed) != "k2" || k.PayloadKeyID() != "k2" || k.PseudonymKeyID() != "p1" || PseudonymUnder(k.Pseudonym(BuyerAt("jd"), "b")) != "p1" {
		t.Error("the ids of the writing keys")
	}
	for _, odd := range [][]byte{nil, {}, {format}, {format, 5, 'a'}, {2, 1, 'a'}} {
		if SealedUnder(odd) != "" {
			t.Errorf("%v has a key", odd)
		}
		if prefix := SealPrefix(odd); len(prefix) > len(odd) || (prefix == nil) != (odd == nil) {
			t.Errorf("prefix of %v", odd)
		}
	}
	if p := SealPrefix(sealed); len(p) != 2+2+nonceSize || bytes.Equal(p, SealPrefix(k.Encrypt([]byte("x"), nil))) {
		t.Error("two sealed values share their beginning")
	}
}
