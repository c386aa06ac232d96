package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"orderflow/pkg/deadletter"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/privacy"
	"orderflow/pkg/store"
)

func fill(n byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, 32)) }

// privateAt is when the orders of privateOrders were received: an hour ago, whatever hour has begun since.
var privateAt = time.Now().Add(-time.Hour)

// privateOrders fills a database with one order of a person, with a letter, and one that shares a number with it.
func privateOrders(t *testing.T) (url string) {
	t.Helper()
	url = pgtest.New(t)
	if err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	settings(t, map[string]string{"DATABASE_URL": url})
	t.Setenv("PAYLOAD_KEYS", "k1="+fill(1))
	t.Setenv("PSEUDONYM_KEYS", "p1="+fill(1))
	t.Setenv("PAYLOAD_RETENTION", "")
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	keys, err := privacy.New(privacy.Settings{PayloadKeys: "k1=" + fill(1), PseudonymKeys: "p1=" + fill(1)})
	if err != nil {
		t.Fatal(err)
	}
	at := privateAt
	var facts []store.Fact
	for i, number := range []string{"P1", "P2"} {
		meta := event.Meta{OrderKey: order.Key("icbu:" + number), Revision: order.NewRevision(1, int64(i+1)), Digest: "d", ReceivedOffset: int64(i + 1), ReceivedAt: at}
		facts = append(facts, store.Fact{Meta: meta, Service: "validate", Validated: &store.Validated{
			Document: []byte(`{"amount":28600.10,"name":"陈小平"}`), At: at, Order: order.Order{
				Key: meta.OrderKey, Source: order.ICBU, OrderNo: number, Numbers: []string{number, "shared"}, Currency: "CNY",
				Total: decimal.NewNullDecimal(decimal.RequireFromString("28600.10")), Personal: order.Personal{Account: "acc", Name: "陈小平"},
			},
		}}, store.Fact{Meta: meta, Service: "okkisync", Letter: &store.Letter{
			Letter: deadletter.Letter{
				Origin: event.Message{Topic: "icbu.validated.v1", Offset: int64(i), Key: string(meta.OrderKey), Value: []byte("\xff\x00not json")},
				Stage:  "okkisync", Code: "partner_rejected", First: at, Last: at, Attempts: 1,
			},
			Record: event.Message{Topic: "okkisync.dlq.v1", Offset: int64(i), Headers: []event.Header{{Key: "push-id", Value: []byte("u1")}}},
		}})
	}
	for _, err := range store.NewWriter(db, keys).Apply(t.Context(), facts) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return url
}

func want(t *testing.T, url, sql string, rows ...string) {
	t.Helper()
	if got := pgtest.Rows(t, url, sql); !slices.Equal(got, rows) {
		t.Errorf("%s:\n got %q\nwant %q", sql, got, rows)
	}
}

func TestPrivacyRotate(t *testing.T) {
	url := privateOrders(t)
	out, err := orderctl(t, "privacy", "rotate", "--check")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "k1   orders.payload", "PAYLOAD_KEYS: k1 writes", "PSEUDONYM_KEYS: p1 writes")
	t.Setenv("PAYLOAD_KEYS", "k2="+fill(2)+",k1="+fill(1))
	t.Setenv("PSEUDONYM_KEYS", "p2="+fill(2)+",p1="+fill(1))
	if out, err = orderctl(t, "privacy", "rotate", "--check"); err != nil {
		t.Fatal(err)
	}
	contains(t, out, "PAYLOAD_KEYS: keep k1: 9 values stand under it", "PSEUDONYM_KEYS: keep p1: 2 values")
	pgtest.Texts(t, url, `update orders set personal = null where order_key = 'icbu:P2'`)
	if out, err = orderctl(t, "privacy", "rotate", "--by", "anna", "--reason", "yearly"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	contains(t, out, "0 of 5 rows", "5 rows sealed anew", "PAYLOAD_KEYS: k1 may be removed: nothing stands under it. Backups",
		"PSEUDONYM_KEYS: p1 may be removed, and then nobody can look up a buyer in 1 orders")
	want(t, url, `select action, object from audit where who <> 'anna' order by id`, "check keys keys k1, pseudonyms p1", "check keys keys k2, pseudonyms p2")
	want(t, url, `select who, action, object, reason from audit where who = 'anna' order by id`,
		"anna rotate keys k2, pseudonyms p2 yearly", "anna rotated keys k2, pseudonyms p2 5 rows sealed anew")
	want(t, url, `select buyer_pseudonym like 'p2.%' from orders order by order_key`, "true", "false")
	t.Setenv("PAYLOAD_KEYS", "k3="+fill(3))
	out, err = orderctl(t, "privacy", "rotate")
	if !errors.Is(err, errRefused) {
		t.Errorf("a key that is missing: %v", err)
	}
	contains(t, out, "5 rows cannot be opened", "order icbu:P1", "PAYLOAD_KEYS: it lacks k2, and nobody can read the 8 values")
	want(t, url, `select count(*) > 0 from audit where who <> 'anna' and who <> ''`, "true")
}

// An id does not make a key: what a service wrote under another key of the same id is found, and no key is said to be gone.
func TestPrivacyRotateOpensWhatItCounts(t *testing.T) {
	url := privateOrders(t)
	out, err := orderctl(t, "privacy", "rotate", "--check", "--by", "anna")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "5 encrypted rows looked at: all of them open")
	if strings.Contains(out, "without a key") {
		t.Errorf("digests without a key:\n%s", out)
	}
	pgtest.Texts(t, url, `update received set content_digest = repeat('0', 64) where order_key = 'icbu:P1'`)
	// A bit is turned over: a byte put in its place would now and then be the one that stood there.
	pgtest.Texts(t, url, `update orders set personal = set_byte(personal, 39, get_byte(personal, 39) # 1) where order_key = 'icbu:P2'`)
	for _, args := range [][]string{{"--check"}, {}} {
		out, err = orderctl(t, append([]string{"privacy", "rotate", "--by", "anna"}, args...)...)
		if !errors.Is(err, errRefused) {
			t.Errorf("%v: %v", args, err)
		}
		contains(t, out, "1 of 5 rows cannot be opened", "another key stands under its id", "  order icbu:P2", "until then remove no key")
		if told := strings.Contains(out, "1 digests of contents stand without a key"); told != (len(args) > 0) {
			t.Errorf("%v tells of digests without a key: %v", args, told)
		}
	}
}

func TestPrivacyExportAndErase(t *testing.T) {
	url := privateOrders(t)
	for _, args := range [][]string{{"export", "P1"}, {"erase", "P1", "--by", "anna"}, {"erase", "P1", "--reason", "x"}} {
		if _, err := orderctl(t, append([]string{"privacy"}, args...)...); err == nil || !strings.Contains(err.Error(), "--by NAME --reason TEXT") {
			t.Errorf("%v: %v", args, err)
		}
	}
	for number, fault := range map[string]string{"shared": "icbu:P1\n  icbu:P2", "none": "knows no order"} {
		for _, action := range []string{"export", "erase"} {
			if _, err := orderctl(t, "privacy", action, number, "--by", "anna", "--reason", "x"); err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("%s %s: %v", action, number, err)
			}
		}
	}
	want(t, url, `select count(*) from audit`, "0")

	path := filepath.Join(t.TempDir(), "p1.json")
	if out, err := orderctl(t, "privacy", "export", "P1", "--by", "anna", "--reason", "request 7", "--out", path); err != nil || strings.Contains(out, "陈") {
		t.Fatalf("%v %s", err, out)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := orderctl(t, "privacy", "export", "P1", "--by", "anna", "--reason", "request 7", "--out", path); err == nil || !strings.Contains(err.Error(), "file exists") {
		t.Errorf("an existing file: %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(text), "28600.10", "u1", "base64")
	var document struct {
		Order   heldOrder
		Letters []heldRecord
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if o := document.Order; o.OrderKey != "icbu:P1" || o.Personal.Name != "陈小平" || o.Pseudonyms.Buyer == "" || o.Payload == nil || len(document.Letters) != 1 {
		t.Errorf("exported %s", text)
	}

	out, err := orderctl(t, "privacy", "erase", "icbu:P1", "--by", "anna", "--reason", "request 7")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "order icbu:P1: personal data and payload are erased, with the records of 1 letters", "1 letters that wanted attention are discarded",
		"icbu.received.v1", "icbu.validated.v1", "okkisync.dlq.v1", "the last copy in Kafka expires by "+stamp(privateAt.Add(15 * 24 * time.Hour))[:13])
	want(t, url, `select order_key, payload is null, total::text from orders order by 1`, "icbu:P1 true 28600.10", "icbu:P2 false 28600.10")
	if out, err = orderctl(t, "privacy", "erase", "P1", "--by", "anna", "--reason", "request 7"); err != nil {
		t.Fatal(err)
	}
	contains(t, out, "held nothing personal of it any more", "expires by")
	if out, err = orderctl(t, "privacy", "export", "P1", "--by", "anna", "--reason", "request 7"); err != nil || strings.Contains(out, "陈") {
		t.Errorf("after the erasure: %v %s", err, out)
	}
	contains(t, out, `"personal": null`, `"payload": null`, `"gone": true`, `"erased_at"`)
	want(t, url, `select who, action, object, reason from audit order by id`, "anna export order icbu:P1 request 7", "anna erase order icbu:P1 request 7",
		"anna erase order icbu:P1 request 7", "anna export order icbu:P1 request 7")
	t.Setenv("PAYLOAD_KEYS", "k2="+fill(2))
	out, err = orderctl(t, "privacy", "export", "P2", "--by", "anna", "--reason", "x")
	if !errors.Is(err, errRefused) {
		t.Errorf("without the key: %v", err)
	}
	contains(t, out, `"unreadable": true`, "2 values cannot be opened")
}

func TestErasureOfOldRecords(t *testing.T) {
	var out bytes.Buffer
	now := time.Now()
	err := printErasure(&out, "icbu:P1", store.Erasure{UnderWay: 1, Copies: []store.KafkaCopy{
		{Topic: "icbu.received.v1", Written: now.Add(-16 * 24 * time.Hour)}, {Topic: "strange", Written: now},
	}}, now)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out.String(), "1 pushes of it are still under way", "icbu.received.v1", "gone", "no copy in Kafka that is known of is left")
}

func TestPrivacyExpire(t *testing.T) {
	url := privateOrders(t)
	pgtest.Texts(t, url, `update orders set received_at = now() - interval '100 days' where order_key = 'icbu:P1'`)
	out, err := orderctl(t, "privacy", "expire", "--by", "anna")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, "removed the payloads and personal data of 1 orders, 0 letters, 0 requests")
	want(t, url, `select payload is null and personal is null, total::text, buyer_pseudonym <> '' from orders order by order_key`, "true 28600.10 true", "false 28600.10 true")
	if _, err := orderctl(t, "privacy", "expire", "--by", "anna", "--reason", "to see"); err != nil {
		t.Error(err)
	}
	want(t, url, `select who, action, object, reason from audit order by id`, "anna expire 1 orders of icbu kept 2160h0m0s", "anna expire nothing to see")
	t.Setenv("PAYLOAD_RETENTION", "90")
	if _, err = orderctl(t, "privacy", "expire"); err == nil || !strings.Contains(err.Error(), "PAYLOAD_RETENTION: entry 1: not a duration") {
		t.Errorf("a bad setting: %v", err)
	}
}

func TestPrivacyShow(t *testing.T) {
	asked := script{
		"GET /api/orders?number=P1":            {`{"items":[{"order_key":"icbu:P1"}]}`},
		"GET /api/orders?number=two":           {`{"items":[{"order_key":"icbu:a"},{"order_key":"icbu:b"}]}`},
		"POST /api/orders/icbu:P1/payload":     {`{"order_key":"icbu:P1","payload":{"amount":1.10}}`},
		"POST /api/dead-letters/7/payload":     {`{"id":7,"payload":{"x":1}}`, `409 {"error":{"code":"sealed","message":"cannot be decrypted"}}`},
		"POST /api/orders/icbu:none/payload":   {`404 {"error":{"code":"not_found","message":"none"}}`},
		"GET /api/orders?number=icbu%3Asecret": {`{"items":[]}`},
	}.start(t)
	out, err := orderctl(t, "privacy", "show", "P1", "--reason", "case 17")
	if err != nil {
		t.Fatal(err)
	}
	contains(t, out, `"amount": 1.10`)
	if !slices.Contains(*asked, `POST /api/orders/icbu:P1/payload {"reason":"case 17"}`) {
		t.Errorf("asked %q", *asked)
	}
	if out, err = orderctl(t, "privacy", "show", "--letter", "7", "--reason", "case 17"); err != nil {
		t.Error(err)
	}
	contains(t, out, `"x": 1`)
	for want, args := range map[string][]string{
		"next: an SRE compares": {"--letter", "7", "--reason", "x"},
		"say why":               {"P1"},
		"say which one: an":     {"--reason", "x"},
		"icbu:a\n  icbu:b":      {"two", "--reason", "x"},
		"no order has this key": {"icbu:secret", "--reason", "x"},
	} {
		if _, err := orderctl(t, append([]string{"privacy", "show"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
