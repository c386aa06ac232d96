package privacy

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func contentKey(t testing.TB) *ContentKey {
	t.Helper()
	k := keys(t, "k1="+key(1))
	c, err := k.ContentKey(k.NewContentKey(Place("here")), Place("here"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLawKeyedDigests: equal digests stay equal, others stay others, keying twice is keying once, and another key says
// nothing about the first one's.
func TestLawKeyedDigests(t *testing.T) {
	one, other := contentKey(t), contentKey(t)
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		keyed := one.Keyed(a)
		switch {
		case a == "" && keyed != "":
			t.Fatal("nothing has a digest")
		case (keyed == one.Keyed(b)) != (a == b):
			t.Fatalf("%q and %q", a, b)
		case a != "" && (!strings.HasPrefix(keyed, KeyedPrefix) || keyed == other.Keyed(a)):
			t.Fatalf("%q gives %q", a, keyed)
		case one.Keyed(keyed) != keyed || other.Keyed(keyed) != keyed:
			t.Fatal("a keyed digest is keyed again")
		}
	})
}

func TestContentKeyOpensInItsPlaceOnly(t *testing.T) {
	k := keys(t, "k1="+key(1))
	sealed := k.NewContentKey(Place("here"))
	if _, err := k.ContentKey(sealed, Place("there")); !errors.Is(err, ErrSealed) {
		t.Errorf("elsewhere: %v", err)
	}
	if _, err := keys(t, "k1="+key(2)).ContentKey(sealed, Place("here")); !errors.Is(err, ErrSealed) {
		t.Errorf("under another key of that id: %v", err)
	}
	if _, err := k.ContentKey(k.Encrypt([]byte("short"), nil), nil); err == nil {
		t.Error("five bytes are a key")
	}
}
