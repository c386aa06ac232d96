package store_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func testKeys(t testing.TB) *privacy.Keys {
	t.Helper()
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{5}, 32))
	keys, err := privacy.New(privacy.Settings{PseudonymKeys: "p=" + secret, PayloadKeys: "k=" + secret})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// shelf is a writer on a fresh database, with a connection to look at what it wrote.
type shelf struct {
	testing.TB
	*store.Writer
	store *store.Store
	keys  *privacy.Keys
	conn  *pgx.Conn
}

func openShelf(t testing.TB) *shelf {
	t.Helper()
	s, url := open(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	keys := testKeys(t)
	w := store.NewWriter(s, keys)
	w.SetNow(func() time.Time { return epoch.Add(time.Hour) })
	return &shelf{t, w, s, keys, conn}
}

func (s *shelf) apply(facts ...store.Fact) {
	s.Helper()
	for i, err := range s.Apply(s.Context(), facts) {
		if err != nil {
			s.Fatalf("fact %d: %v", i, err)
		}
	}
}

// rows gives a query's rows as text, columns joined by a blank.
func (s *shelf) rows(sql string, args ...any) []string {
	s.Helper()
	rows, err := s.conn.Query(s.Context(), sql, args...)
	if err != nil {
		s.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		return strings.TrimSuffix(fmt.Sprintln(values...), "\n"), err
	})
	if err != nil {
		s.Fatal(err)
	}
	return texts
}

func (s *shelf) want(sql string, want ...string) {
	s.Helper()
	if got := s.rows(sql); !slices.Equal(got, want) {
		s.Errorf("%s:\n got %q\nwant %q", sql, got, want)
	}
}

func rev(n int64) order.Revision { return order.NewRevision(1, n) }

func meta(key order.Key, n int64, digest string) event.Meta {
	return event.Meta{
		OrderKey: key, Revision: rev(n), Digest: digest, PushID: fmt.Sprint("push", n),
		ReceivedPartition: 3, ReceivedOffset: n, ReceivedAt: epoch.Add(time.Duration(n) * time.Second),
	}
}

func validated(key order.Key, n int64, digest string) store.Fact {
	m := meta(key, n, digest)
	total := decimal.RequireFromString("100.10").Add(decimal.NewFromInt(int64(len(digest))))
	o := order.Order{
		Key: key, Source: key.Source(), OrderNo: "NO" + digest, Numbers: []string{"NO" + digest, "X1"}, Kind: order.Sale, Currency: "CNY",
		Total: decimal.NewNullDecimal(total), Personal: order.Personal{Name: "陈小平", Phone: "13812345678"}, PlacedAt: epoch,
		Lines: []order.Line{{No: 1, Name: "tea " + digest, Quantity: decimal.NewNullDecimal(decimal.NewFromInt(2))}, {No: 2, Name: "cup"}},
	}
	return store.Fact{Meta: m, Service: "validate", Validated: &store.Validated{
		Order: o, Document: []byte(`{"content":"` + digest + `"}`), At: m.ReceivedAt.Add(time.Millisecond),
	}}
}

func delivery(key order.Key, n int64, digest string, outcome event.Outcome) store.Fact {
	m := meta(key, n, digest)
	return store.Fact{Meta: m, Service: "okkisync", Delivery: &event.Delivery{
		Partner: "okki", OrderKey: key, Revision: m.Revision, Digest: digest, Outcome: outcome, Total: "100.10", Attempts: 1,
		At: m.ReceivedAt.Add(2 * time.Millisecond),
	}}
}

func letter(key order.Key, n int64, digest, stage, topic, code string, replays int) store.Fact {
	m := meta(key, n, digest)
	failed := m.ReceivedAt.Add(time.Duration(3+replays) * time.Minute)
	return store.Fact{Meta: m, Service: stage, Letter: &store.Letter{
		Letter: deadletter.Letter{
			Origin: event.Message{Topic: topic, Partition: 3, Offset: n, Key: string(key), Value: []byte(`{"refused":1}`)},
			Stage:  stage, Code: code, Path: "/amount", Class: "permanent", Attempts: 1, First: failed, Last: failed, Replays: replays,
		},
		Record:  event.Message{Topic: event.DeadLetters(stage), Partition: 3, Offset: n*10 + int64(replays), Headers: []event.Header{{Key: "h", Value: []byte{0, 255}}}},
		Excerpt: store.Excerpt{OrderNo: "EX" + digest, Numbers: []string{"EX" + digest, fmt.Sprint("RN", n)}},
	}}
}

func refused(key order.Key, n int64, digest string, replays int) store.Fact {
	return letter(key, n, "0 of the push, not of "+digest, "validate", event.Received(key.Source()), "bad_amount", replays)
}

func rejected(key order.Key, n int64, digest string, replays int) store.Fact {
	return letter(key, n, digest, "okkisync", event.Validated(key.Source()), "partner_rejected", replays)
}
