package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"orderflow/pkg/boot"
	"orderflow/pkg/order"
)

// Whatever the others do, a source gets at least its quarter, and all together never more than the total.
func TestGate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(minInFlight, 40).Draw(t, "total")
		g, share := newGate(total), total/4
		held := map[order.Source][]func(){}
		count := 0
		for _, enter := range rapid.SliceOf(rapid.Bool()).Draw(t, "steps") {
			source := rapid.SampledFrom(order.Sources).Draw(t, "source")
			if !enter {
				if n := len(held[source]); n > 0 {
					held[source][n-1]()
					held[source] = held[source][:n-1]
					count--
				}
				continue
			}
			leave := g.enter(source)
			if leave == nil {
				if len(held[source]) < share {
					t.Fatalf("%s was turned away with %d of its own %d slots taken", source, len(held[source]), share)
				}
				continue
			}
			held[source] = append(held[source], leave)
			if count++; count > total {
				t.Fatalf("%d in flight, at most %d", count, total)
			}
		}
	})
}

func TestLimiter(t *testing.T) {
	now := time.Unix(1e9, 0)
	l := newLimiter(1, func() time.Time { return now })
	kept := func(source order.Source, address string, tries int) (n int) {
		for range tries {
			if l.allow(source, address) {
				n++
			}
		}
		return n
	}
	if got := kept(order.ICBU, "10.0.0.1:1", 100); got != 50 {
		t.Errorf("a burst keeps %d, want 50", got)
	}
	if got := kept(order.ICBU, "10.0.0.1:2", 100); got != 0 {
		t.Errorf("another port of the same address keeps %d", got)
	}
	if got := kept(order.Mall, "10.0.0.1:1", 100); got != 50 {
		t.Errorf("another source keeps %d, want 50", got)
	}
	if got := kept(order.ICBU, "[2001:db8::1]:1", 100) + kept(order.ICBU, "[2001:db8::2]:1", 100); got != 50 {
		t.Errorf("two addresses of one /64 keep %d, want 50", got)
	}
	now = now.Add(3 * time.Second)
	if got := kept(order.ICBU, "10.0.0.1:1", 100); got != 3 {
		t.Errorf("three seconds later %d, want 3", got)
	}
	total := 0
	for i := range 10_000 {
		total += kept(order.Procurement, fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), 3)
	}
	if total != 250 {
		t.Errorf("10,000 addresses keep %d, want the source's own 250", total)
	}
	now = now.Add(time.Hour)
	if got := kept(order.Procurement, "192.0.2.1:1", 1); got != 1 || l.remotes.Len() > 2 {
		t.Errorf("an hour later: %d kept, %d addresses remembered", got, l.remotes.Len())
	}
	if got := kept(order.ICBU, "not an address", 60); got != 50 {
		t.Errorf("an unreadable address keeps %d, want 50", got)
	}
}

func TestReadBody(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, c := range map[string]struct {
		from   io.Reader
		length int64
		limit  int64
		want   string
		err    error
	}{
		"empty":           {strings.NewReader(""), 0, budgetSize, "", nil},
		"small":           {strings.NewReader("abc"), 3, 0, "abc", nil},
		"unknown length":  {strings.NewReader(long), -1, budgetSize, long, nil},
		"byte by byte":    {iotest.OneByteReader(strings.NewReader(long)), 100_000, budgetSize, long, nil},
		"end with data":   {iotest.DataErrReader(strings.NewReader(long)), 100_000, budgetSize, long, nil},
		"short":           {iotest.TimeoutReader(strings.NewReader(long)), 100_000, budgetSize, "", errCutOff},
		"over the budget": {strings.NewReader(long), 100_000, 50_000, "", errOverloaded},
	} {
		t.Run(name, func(t *testing.T) {
			b := &budget{limit: c.limit}
			r := httptest.NewRequest(http.MethodPost, "/", c.from)
			r.ContentLength = c.length
			got, err := readBody(r, b)
			if err != c.err || string(got.content) != c.want { //nolint:errorlint // these errors are never wrapped
				t.Fatalf("%d bytes, %v", len(got.content), err)
			}
			if b.give(got.counted); b.used.Load() != 0 {
				t.Errorf("%d bytes of the budget are lost", b.used.Load())
			}
		})
	}
}

// A large Content-Length alone costs no memory.
func TestDeclaredLengthCostsNothing(t *testing.T) {
	b := &budget{limit: budgetSize}
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	r.ContentLength = maxBody
	allocated := testing.Benchmark(func(bench *testing.B) {
		for range bench.N {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(io.ErrUnexpectedEOF)))
			_, _ = readBody(r, b)
		}
	}).AllocedBytesPerOp()
	if allocated > 4*firstRead {
		t.Errorf("%d bytes for one byte that came", allocated)
	}
}

func TestSettings(t *testing.T) {
	good := map[string]string{
		"OKKI_APP_KEY": "k", "OKKI_APP_SECRET": "s", "RECEIPT_KEYS": receiptKey,
		"ICBU_SECRETS": " a=1 , a=2=x,*=3", "PROCUREMENT_TOKENS": "t1,t2", "MALL_APPS": "A=t:md5,A=u",
	}
	for name, value := range good {
		t.Setenv(name, value)
	}
	cfg := &Settings{}
	if err := boot.Load(cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.Ingest.Addr != "127.0.0.1:8080" || cfg.Ingest.SignatureWindow != 10*time.Minute || cfg.Ingest.Unreadable != unreadableAccept {
		t.Errorf("defaults %+v", cfg.Ingest)
	}
	secrets, err := parsePairs("ICBU_SECRETS", cfg.Ingest.ICBUSecrets)
	if err != nil || fmt.Sprint(secrets) != "[{a 1} {a 2=x} {* 3}]" {
		t.Errorf("%v %v", secrets, err)
	}
	for name, value := range map[string]string{
		"ICBU_SECRETS": "geheim1,=geheim2,c=", "PROCUREMENT_TOKENS": "geheim3/x", "MALL_APPS": "A=geheim4:sha9,geheim5",
		"SIGNATURE_WINDOW": "-1s", "INGEST_MAX_IN_FLIGHT": "3", "QUARANTINE_RATE": "0", "PROCUREMENT_UNREADABLE": "maybe",
		"INGEST_ADDR": "nowhere", "RECEIPT_KEYS": "",
	} {
		t.Setenv(name, value)
	}
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("geheim6"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = boot.Load(&Settings{})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"ICBU_SECRETS: entry 1", "ICBU_SECRETS: entry 2", "ICBU_SECRETS: entry 3", "PROCUREMENT_TOKENS: token 1", "MALL_APPS: entry 1",
		"MALL_APPS: entry 2", "SIGNATURE_WINDOW", "INGEST_MAX_IN_FLIGHT", "QUARANTINE_RATE", "PROCUREMENT_UNREADABLE", "INGEST_ADDR", "RECEIPT_KEYS",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("a secret is quoted in:\n%v", err)
	}
}
