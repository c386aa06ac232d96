package main

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/shopspring/decimal"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"orderflow/pkg/bus"
	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/published"
	"orderflow/pkg/registry"
	"orderflow/schemas"
)

// exportNoon exports the hour from noon on and gives the file's rows, ordered by key, and its bytes.
// An error of errForeign comes with a file.
func exportNoon(t *testing.T, more ...string) (out string, rows []parquetOrder, content []byte, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "orders.parquet")
	out, err = orderctl(t, append([]string{"orders", "export", "--from", "2026-01-02T12", "--to", "2026-01-02T21:00+08:00", "--out", path}, more...)...)
	left, _ := os.ReadDir(filepath.Dir(path))
	if told := err; err != nil && errors.Is(err, errForeign) {
		err = nil
		defer func() { err = cmp.Or(err, told) }()
	}
	if err != nil {
		if len(left) > 0 {
			t.Errorf("a failed export leaves %v", left)
		}
		return out, nil, nil, err
	}
	if len(left) != 1 {
		t.Errorf("an export leaves %v", left)
	}
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err = parquet.Read[parquetOrder](bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(rows, func(a, b parquetOrder) int { return strings.Compare(a.OrderKey, b.OrderKey) })
	return out, rows, content, nil
}

// The greatest revision that was received in the window counts, in whatever order the revisions come; what was aborted does
// not, nor what was received outside. The same hours give the same bytes.
func TestExportWritesTheNewestRevisionOfEachOrder(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	corrected, replayed, early, late := sale(1, noon, "1"), sale(2, noon.Add(time.Hour-time.Microsecond), "2.00000001"), sale(3, noon.Add(-time.Microsecond), "3"), sale(4, noon.Add(time.Hour), "4")
	w.publish(kgo.TryCommit, corrected, replayed, early, late)
	newer, older, outside := sale(1, noon, "-12345678901234567890.5"), sale(2, noon, "22"), sale(2, noon.Add(time.Hour), "222")
	newer.Revision, older.Revision, outside.Revision = newer.Revision+100, older.Revision-1, outside.Revision+200
	newer.Lines, newer.Shop, newer.PaidAt, newer.Warnings, newer.Discount = nil, "", time.Time{}, []string{"too_early /a"}, decimal.NullDecimal{}
	w.publish(kgo.TryCommit, newer, older, outside)
	aborted := sale(1, noon, "9")
	aborted.Revision += 300
	w.publish(kgo.TryAbort, aborted)

	out, rows, content, err := exportNoon(t, "--incomplete")
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v\n%s", len(rows), err, out)
	}
	contains(t, out, "2 orders received from 2026-01-02T12:00:00Z to 2026-01-02T13:00:00Z: ")
	first, second := rows[0], rows[1]
	if first.Revision != int64(newer.Revision) || amountIn(first.Total) != "-12345678901234567890.5" || len(first.Lines) != 0 || first.Shop != nil ||
		first.PaidAt != nil || first.Discount != nil || *first.PlacedAt != newer.PlacedAt.UnixMicro() || !slices.Equal(first.Warnings, newer.Warnings) {
		t.Errorf("the corrected order: %+v", first)
	}
	if second.Revision != int64(replayed.Revision) || amountIn(second.Total) != "2.00000001" || *second.City != "杭州市" || second.ReceivedAt != replayed.ReceivedAt.UnixMicro() ||
		len(second.Lines) != 2 || second.Lines[1].LineNo != 2 || amountIn(second.Lines[1].Amount) != "52.0001" || second.Lines[1].Name != nil {
		t.Errorf("the order of which an older revision came later: %+v", second)
	}
	if _, _, again, err := exportNoon(t, "--incomplete"); err != nil || !bytes.Equal(content, again) {
		t.Errorf("the second file differs: %v", err)
	}
}

func TestExportRefusesHoursThatAreNotComplete(t *testing.T) {
	w := newAnalystsWorld(t)
	w.settings(t)
	w.publish(kgo.TryCommit, sale(1, noon, "1"), sale(2, noon, "2"))
	say := w.balance()
	_, _, _, err := exportNoon(t)
	for _, want := range []string{"3 hours are not complete", "mall        2026-01-02T12:00Z  not closed yet", "--incomplete takes what there is"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing is said of the hour: %v, want %q", err, want)
		}
	}
	for _, source := range order.Sources {
		say(completeness{Source: source, Hour: noon, Revision: 1, Complete: source != order.Mall, Open: 7})
		say(completeness{Source: source, Hour: noon.Add(time.Hour), Revision: 1})
	}
	if _, _, _, err := exportNoon(t); err == nil || !strings.Contains(err.Error(), "1 hours are not complete:\n  mall        2026-01-02T12:00Z  7 records still under way") {
		t.Errorf("records are under way: %v", err)
	}
	say(completeness{Source: order.Mall, Hour: noon, Revision: 3, Complete: true, Published: 2})
	say(completeness{Source: order.Mall, Hour: noon, Revision: 2, Faults: 1}) // an older word that comes later
	if out, rows, _, err := exportNoon(t); err != nil || len(rows) != 2 {
		t.Errorf("a complete hour: %d rows, %v\n%s", len(rows), err, out)
	}
	say(completeness{Source: order.Mall, Hour: noon, Revision: 4, Complete: true, Published: 3})
	if _, _, _, err := exportNoon(t); err == nil || !strings.Contains(err.Error(), "the topic has 2 records of this hour that can be read, 3 were counted") {
		t.Errorf("a record is gone from the topic: %v", err)
	}
	say(completeness{Source: order.Mall, Hour: noon, Revision: 5, Complete: true, Published: 1})
	if _, _, _, err := exportNoon(t); err == nil || !strings.Contains(err.Error(), "2 records of this hour that can be read, 1 were counted") || !strings.Contains(err.Error(), "a replay has just brought more") {
		t.Errorf("a record came that nobody counted: %v", err)
	}
	say(completeness{Source: order.Mall, Hour: noon, Revision: 6, Faults: 1})
	if _, _, _, err := exportNoon(t); err == nil || !strings.Contains(err.Error(), "1 records do not balance") {
		t.Errorf("a fault: %v", err)
	}
}

func TestExportWindow(t *testing.T) {
	settings(t, nil)
	for _, tc := range []struct{ from, to, want string }{
		{"2026-01-02", "2026-01-02", "--to: has to be after --from"},
		{"2026-01-02T12:30", "2026-01-03", "whole hours"},
		{"2026-01-02T12:00+05:30", "2026-01-03", "whole hours"},
		{"yesterday", "2026-01-03", "--from: not a time such as"},
		{"2026-01-02", "", "--to: not a time such as"},
	} {
		if _, err := orderctl(t, "orders", "export", "--from", tc.from, "--to", tc.to, "--out", "x"); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s to %s: %v", tc.from, tc.to, err)
		}
	}
	w, err := parseWindow("2026-01-02T00+08:00", "2026-01-03T00:00:00+08:00")
	if err != nil || !w.from.Equal(noon.Add(-20*time.Hour)) || w.to.Sub(w.from) != 24*time.Hour {
		t.Errorf("a day in China: %v, %v", w, err)
	}
}

// A file that cannot be finished leaves the old one as it was.
func TestWriteWhole(t *testing.T) {
	path := write(t, "orders.parquet", "old")
	broken := errors.New("broken")
	if _, err := writeWhole(path, func(w io.Writer) error { _, _ = w.Write([]byte("half")); return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "old" {
		t.Errorf("the old file says %q", text)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("it leaves %v", left)
	}
}

// Every amount of 38 digits with 8 behind the point comes back as it was.
func TestParquetAmountsAreExact(t *testing.T) {
	bound := new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.SliceOfN(rapid.Byte(), 0, 17).Draw(t, "magnitude")
		unscaled := new(big.Int).Mod(new(big.Int).SetBytes(bytes), bound)
		if rapid.Bool().Draw(t, "negative") {
			unscaled.Neg(unscaled)
		}
		amount := decimal.NewFromBigInt(unscaled, -8)
		var f fixed
		encoded := f.amount(decimal.NewNullDecimal(amount))
		if f.err != nil || len(encoded) != 16 || !decimal.RequireFromString(amountIn(encoded)).Equal(amount) {
			t.Fatalf("%s becomes %x: %v", amount, encoded, f.err)
		}
	})
	for _, text := range []string{"0.000000001", "1e31"} {
		var f fixed
		if f.amount(amountOf(text)); !errors.Is(f.err, published.ErrAmount) {
			t.Errorf("%s: %v", text, f.err)
		}
	}
}

// amountIn reads DECIMAL(38,8) as its specification says: big-endian two's complement.
func amountIn(encoded []byte) string {
	if encoded == nil {
		return "null"
	}
	v := new(big.Int).SetBytes(encoded)
	if encoded[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(encoded))))
	}
	return decimal.NewFromBigInt(v, -8).String()
}

// balance gives what says how complete an hour is, as services/balance does.
func (w *analystsWorld) balance() func(completeness) {
	w.Helper()
	asked, err := registry.New(registry.Settings{URL: w.env["SCHEMA_REGISTRY_URL"]})
	if err != nil {
		w.Fatal(err)
	}
	id, err := asked.Register(w.Context(), event.Completeness+"-value", schemas.CompletenessSchema)
	if err != nil {
		w.Fatal(err)
	}
	schema := avro.MustParse(schemas.CompletenessSchema)
	client := w.broker.Client()
	return func(c completeness) {
		w.Helper()
		value, err := registry.Append(nil, id, schema, map[string]any{
			"source": string(c.Source), "hour": c.Hour, "revision": c.Revision, "complete": c.Complete, "published": c.Published, "open": c.Open, "faults": c.Faults,
			"received": 0, "refused": 0, "validated": 0, "delivered": 0, "persisted": 0, "duplicate": 0, "superseded": 0, "parked": 0, "discarded": 0, "missing": 0,
			"sums": []any{}, "said_at": c.Hour,
		})
		if err == nil {
			err = client.ProduceSync(w.Context(), bus.ToRecord(event.Message{Topic: event.Completeness, Key: string(c.Source) + "/" + c.Hour.Format(time.RFC3339), Value: value})).FirstErr()
		}
		if err != nil {
			w.Fatal(err)
		}
	}
}

// A finished file is moved to its place: whatever else stands there is not replaced.
func TestExportTargets(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "a.parquet"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for path, good := range map[string]bool{
		file: true, filepath.Join(dir, "new.parquet"): true, link: false, dir: false, dir + "/": false, "": false, os.DevNull: false,
	} {
		if err := checkTarget(path); (err == nil) != good {
			t.Errorf("%q: %v", path, err)
		}
	}
}
