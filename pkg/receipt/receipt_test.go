package receipt_test

import (
	"encoding/base64"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/order"
	"orderflow/pkg/receipt"
)

const (
	oldKey = "2025=b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="
	newKey = "2026=bmV3LW5ldy1uZXctbmV3LW5ldy1uZXc="
)

func keys(t interface{ Fatal(...any) }, text string) receipt.Keys {
	k, err := receipt.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var sample = receipt.Receipt{
	PushID:     receipt.PushID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	Source:     order.Mall,
	ReceivedAt: time.Date(2026, 11, 22, 7, 0, 0, 123e6, time.UTC),
	Records:    []receipt.Record{{Partition: 3, Offset: 100}, {Partition: 0, Offset: 7}, {Partition: 3, Offset: 101}},
}

// A receipt outlives a deploy: its text may never change for the same content.
func TestTextIsStable(t *testing.T) {
	const want = "AQQyMDI2AQIDBAUGBwgJCgsMDQ4PEAMA-_O3kKA0AwPIAQAOAwK3hMY0Qawix2ESrMTz9Or1"
	if got := receipt.Mint(keys(t, newKey), sample); got != want {
		t.Errorf("minted %s, want %s", got, want)
	}
}

func TestRoundTrip(t *testing.T) {
	k := keys(t, newKey+","+oldKey)
	rapid.Check(t, func(t *rapid.T) {
		r := receipt.Receipt{
			PushID:      receipt.NewPushID(time.Now()),
			Source:      rapid.SampledFrom(order.Sources).Draw(t, "source"),
			ReceivedAt:  time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "ms")).UTC(),
			Quarantined: rapid.Bool().Draw(t, "quarantined"),
			Records: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) receipt.Record {
				return receipt.Record{
					Partition: rapid.Int32Range(0, math.MaxInt32).Draw(t, "partition"),
					Offset:    rapid.Int64Range(0, 1<<48-1).Draw(t, "offset"),
				}
			}), 0, receipt.MaxRecords).Draw(t, "records"),
		}
		text := receipt.Mint(k, r)
		got, err := receipt.Parse(k, text)
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		if got.PushID != r.PushID || got.Source != r.Source || !got.ReceivedAt.Equal(r.ReceivedAt) ||
			got.Quarantined != r.Quarantined || !slices.Equal(got.Records, r.Records) {
			t.Fatalf("got %+v, want %+v", got, r)
		}
	})
}

func TestWorstCaseIsUnder2KBAndURLSafe(t *testing.T) {
	r := receipt.Receipt{PushID: receipt.NewPushID(time.Now()), Source: order.Mall, ReceivedAt: time.Now()}
	for i := range receipt.MaxRecords {
		offset := int64(1<<48 - 1)
		if i%2 == 1 {
			offset = 0
		}
		r.Records = append(r.Records, receipt.Record{Partition: math.MaxInt32, Offset: offset})
	}
	text := receipt.Mint(keys(t, "sixteen-chars-id=bmV3LW5ldy1uZXctbmV3LW5ldy1uZXc="), r)
	if len(text) > receipt.MaxText {
		t.Errorf("%d characters, at most %d", len(text), receipt.MaxText)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(text) {
		t.Errorf("not URL-safe: %s", text)
	}
}

func TestTopic(t *testing.T) {
	if got := sample.Topic(); got != "mall.received.v1" {
		t.Errorf("topic %s", got)
	}
	if got := (receipt.Receipt{Source: order.Procurement, Quarantined: true}).Topic(); got != "quarantine.v1" {
		t.Errorf("topic %s", got)
	}
}

func TestKeyRotation(t *testing.T) {
	before := receipt.Mint(keys(t, oldKey), sample)
	if _, err := receipt.Parse(keys(t, newKey+","+oldKey), before); err != nil {
		t.Errorf("a receipt of the former key: %v", err)
	}
	if _, err := receipt.Parse(keys(t, newKey), before); !errors.Is(err, receipt.ErrInvalid) {
		t.Errorf("a receipt of a dropped key: %v", err)
	}
	after := receipt.Mint(keys(t, newKey+","+oldKey), sample)
	if _, err := receipt.Parse(keys(t, newKey), after); err != nil {
		t.Errorf("the first key must write: %v", err)
	}
}

// No single changed bit, cut or added character gives another valid receipt.
func TestForgedReceiptsAreRefused(t *testing.T) {
	k := keys(t, newKey)
	text := receipt.Mint(k, sample)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			forged := slices.Clone(raw)
			forged[i] ^= 1 << bit
			if _, err := receipt.Parse(k, base64.RawURLEncoding.EncodeToString(forged)); !errors.Is(err, receipt.ErrInvalid) {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
		}
	}
	for _, bad := range []string{
		"", "A", text[:len(text)-1], text + "A", text + "=", " " + text, text + "\n", "!!!!",
		strings.Repeat("A", receipt.MaxText+1), strings.Repeat("A", 64),
		receipt.Mint(keys(t, "2026=b3RoZXItb3RoZXItb3RoZXItb3RoZXI="), sample),
	} {
		if _, err := receipt.Parse(k, bad); !errors.Is(err, receipt.ErrInvalid) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
	if _, err := receipt.Parse(receipt.Keys{}, text); !errors.Is(err, receipt.ErrInvalid) {
		t.Errorf("without keys: %v", err)
	}
}

func TestKeysReportEveryMistakeAndNoSecret(t *testing.T) {
	_, err := receipt.ParseKeys("a=c2hvcnQ=,geheimnis,b=%%%,=QUJDRA==," + newKey + "," + newKey)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"key 1:", "key 2:", "key 3:", "key 4:", "key 6:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	for _, secret := range []string{"c2hvcnQ", "geheimnis", "%%%", "bmV3"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is quoted in %v", secret, err)
		}
	}
	if err := (&receipt.Settings{}).Validate(); err == nil {
		t.Error("no keys at all: no error")
	}
	if err := (&receipt.Settings{Keys: newKey + ", " + oldKey}).Validate(); err != nil {
		t.Errorf("good keys: %v", err)
	}
}

func TestPushIDs(t *testing.T) {
	at := time.UnixMilli(1763790000123)
	id, later := receipt.NewPushID(at), receipt.NewPushID(at.Add(time.Millisecond))
	if id == receipt.NewPushID(at) {
		t.Error("two ids are equal")
	}
	if id.String() >= later.String() {
		t.Errorf("%s does not sort before %s", id, later)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id.String()) {
		t.Errorf("%s is no UUID version 7", id)
	}
}

// FuzzParse feeds texts with a valid MAC over hostile bodies too: the parser behind the MAC must hold by itself.
func FuzzParse(f *testing.F) {
	k := keys(f, newKey)
	f.Add(receipt.Mint(k, sample))
	f.Add("AQQyMDI2")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := receipt.Parse(k, text)
		if err != nil {
			return
		}
		if again := receipt.Mint(k, r); again != text {
			t.Errorf("%q reads as %+v, which writes %q", text, r, again)
		}
	})
}
