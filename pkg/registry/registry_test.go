package registry_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/registry"
)

const (
	subject = "notes.v1-value"
	first   = `{"type":"record","name":"Note","fields":[{"name":"text","type":"string"}]}`
	second  = `{"type":"record","name":"Note","fields":[{"name":"text","type":"string"},{"name":"stars","type":"int","default":5}]}`
)

type note struct {
	Text  string `avro:"text"`
	Stars int    `avro:"stars"`
}

// start gives a registry and a client of it.
func start(t testing.TB, options ...srfake.Option) (*srfake.Registry, *registry.Client) {
	t.Helper()
	fake := srfake.New(options...)
	t.Cleanup(fake.Close)
	return fake, open(t, fake.URL())
}

func open(t testing.TB, url string) *registry.Client {
	t.Helper()
	client, err := registry.New(registry.Settings{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func register(t testing.TB, client *registry.Client, schema string) int {
	t.Helper()
	id, err := client.Register(t.Context(), subject, schema)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func levels(t *testing.T, fake *srfake.Registry) (global, own sr.CompatibilityLevel) {
	t.Helper()
	asks, err := sr.NewClient(sr.URLs(fake.URL()))
	if err != nil {
		t.Fatal(err)
	}
	found := asks.Compatibility(t.Context(), sr.GlobalSubject, subject)
	if err := errors.Join(found[0].Err, found[1].Err); err != nil {
		t.Fatal(err)
	}
	return found[0].Level, found[1].Level
}

func TestRegister(t *testing.T) {
	fake, client := start(t, srfake.WithGlobalCompat(sr.CompatNone))
	id := register(t, client, first)
	if again := register(t, client, first); again != id {
		t.Errorf("registered again as %d, was %d", again, id)
	}
	if newer := register(t, client, second); newer == id {
		t.Error("two schemas under one id")
	}
	if global, own := levels(t, fake); global != sr.CompatNone || own != sr.CompatBackwardTransitive {
		t.Errorf("levels %s and %s: the global one is not ours, the subject's is", global, own)
	}
}

// A level that somebody chose for the subject stays.
func TestRegisterKeepsALevel(t *testing.T) {
	fake, client := start(t)
	if err := fake.SetCompat(subject, sr.CompatFullTransitive); err != nil {
		t.Fatal(err)
	}
	register(t, client, first)
	if _, own := levels(t, fake); own != sr.CompatFullTransitive {
		t.Errorf("the level became %s", own)
	}
}

// answer makes the registry answer the registration of a schema with a status.
func answer(fake *srfake.Registry, status int) {
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"error_code":1,"message":"the registry's reason"}`))
		return true
	})
}

func TestRefusalAndOutageAreTold(t *testing.T) {
	for status, refused := range map[int]bool{
		http.StatusConflict: true, http.StatusUnprocessableEntity: true, http.StatusUnauthorized: false, http.StatusForbidden: false,
		http.StatusTooManyRequests: false, http.StatusInternalServerError: false, http.StatusServiceUnavailable: false,
	} {
		fake, client := start(t)
		answer(fake, status)
		_, err := client.Register(t.Context(), subject, first)
		if err == nil || errors.Is(err, registry.ErrRefused) != refused || !strings.Contains(err.Error(), "the registry's reason") {
			t.Errorf("%d: %v", status, err)
		}
	}
	fake, client := start(t)
	fake.Close()
	if _, err := client.Register(t.Context(), subject, first); err == nil || errors.Is(err, registry.ErrRefused) {
		t.Errorf("away: %v", err)
	}
}

func TestSettingsAndPassword(t *testing.T) {
	for _, bad := range []string{"registry:8081", "://", "ftp://a", "http://", "/path"} {
		s := registry.Settings{URL: bad}
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), "SCHEMA_REGISTRY_URL: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	fake := srfake.New(srfake.WithAuth("Basic bWU6aHVzaA==")) // me:hush
	url := strings.Replace(fake.URL(), "http://", "http://me:hush@", 1)
	s := registry.Settings{URL: url}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	client := open(t, url)
	register(t, client, first)
	fake.Close()
	if _, err := client.Register(t.Context(), subject, first); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("the error tells the password: %v", err)
	}
}

// A registry that is away makes a process wait, not ready, until it comes; one that refuses ends it.
func TestAwait(t *testing.T) {
	fake, client := start(t)
	p := &boot.Process{Name: "writer", Log: zap.NewNop(), Health: boot.NewHealth()}
	var tries atomic.Int32
	tried := make(chan string, 1)
	fake.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if tries.Add(1) == 2 {
			tried <- p.Health.Ready()["schema_registry"]
		}
		if tries.Load() <= 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	id, err := client.Await(t.Context(), p, subject, first)
	if err != nil || id == 0 || len(p.Health.Ready()) != 0 {
		t.Errorf("%d, %v, %v", id, err, p.Health.Ready())
	}
	if red := <-tried; !strings.Contains(red, "check SCHEMA_REGISTRY_URL") {
		t.Errorf("while it waited it said %q", red)
	}
	answer(fake, http.StatusConflict) // the stand-in itself compares nothing
	if _, err = client.Await(t.Context(), p, subject, second); !errors.Is(err, registry.ErrRefused) {
		t.Fatalf("an incompatible schema: %v", err)
	}
	if red := p.Health.Ready()["schema_registry"]; !strings.Contains(err.Error(), "must not write") || red != err.Error() {
		t.Errorf("it ended with %v, red with %s", err, red)
	}
	fake.Close()
	ctx, stop := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, boot.ErrStopped)
	defer stop()
	if _, err := client.Await(ctx, p, subject, first); !errors.Is(err, boot.ErrStopped) {
		t.Errorf("a stop while it waits: %v", err)
	}
}

func TestDecoderReadsOlderWriters(t *testing.T) {
	fake, client := start(t)
	old, current := avro.MustParse(first), avro.MustParse(second)
	oldID, id := register(t, client, first), register(t, client, second)
	var asked atomic.Int32
	fake.Intercept(func(http.ResponseWriter, *http.Request) bool { asked.Add(1); return false })
	decoder := registry.NewDecoder(client, current)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for value, want := range map[string]note{
				encode(t, oldID, old, map[string]any{"text": "a"}): {"a", 5},
				encode(t, id, current, note{"b", 2}):               {"b", 2},
			} {
				var got note
				if err := decoder.Decode(t.Context(), []byte(value), &got); err != nil || got != want {
					t.Errorf("%+v, %v", got, err)
				}
			}
		})
	}
	all.Wait()
	before := asked.Load()
	var got note
	if err := decoder.Decode(t.Context(), []byte(encode(t, id, current, note{"c", 1})), &got); err != nil || asked.Load() != before {
		t.Errorf("%v, and the registry was asked for a known id", err)
	}
	fake.Close()
	if err := decoder.Decode(t.Context(), []byte(encode(t, oldID, old, map[string]any{"text": "d"})), &got); err != nil {
		t.Errorf("without the registry: %v", err)
	}
	if err := decoder.Decode(t.Context(), []byte(encode(t, 99, current, note{})), &got); err == nil || errors.Is(err, registry.ErrUnreadable) {
		t.Errorf("an unknown id while the registry is away: %v", err)
	}
}

func encode(t *testing.T, id int, schema *avro.Schema, value any) string {
	t.Helper()
	encoded, err := registry.Append(nil, id, schema, value)
	if err != nil {
		t.Error(err)
	}
	return string(encoded)
}

func TestDecoderRefusesStrangeRecords(t *testing.T) {
	_, client := start(t)
	schema := avro.MustParse(second)
	id := register(t, client, second)
	other, err := client.Register(t.Context(), "other-value", `{"type":"record","name":"Other","fields":[{"name":"secret","type":"string"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	good := encode(t, id, schema, note{"secret", 1})
	decoder := registry.NewDecoder(client, schema)
	for name, value := range map[string]string{
		"nothing": "", "short": good[:4], "another format": "{" + good, "cut": good[:len(good)-1], "too long": good + "x",
		"an unknown id": encode(t, 9999, schema, note{}), "another schema": string([]byte{0, 0, 0, 0, byte(other)}) + good[5:],
	} {
		var got note
		if err := decoder.Decode(t.Context(), []byte(value), &got); !errors.Is(err, registry.ErrUnreadable) || strings.Contains(err.Error(), "secret") && name != "another schema" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A topic full of strange ids does not fill the memory.
func TestDecoderForgets(t *testing.T) {
	fake, client := start(t)
	schema := avro.MustParse(first)
	fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write([]byte(`{"schema":"{\"type\":\"record\",\"name\":\"Note\",\"fields\":[{\"name\":\"text\",\"type\":\"string\"}]}"}`))
		return true
	})
	decoder := registry.NewDecoder(client, schema)
	for id := range 1000 {
		var got note
		if err := decoder.Decode(t.Context(), []byte(encode(t, id, schema, note{Text: "a"})), &got); err != nil || got.Text != "a" {
			t.Fatal(err)
		}
	}
	if kept := registry.Known(decoder); kept > 256 {
		t.Errorf("%d schemas are kept", kept)
	}
}

// One strange id on a million records is asked for once, until it may have become another writer's.
func TestDecoderRemembersStrangeIDs(t *testing.T) {
	fake, client := start(t)
	schema := avro.MustParse(first)
	var asked atomic.Int64
	fake.Intercept(func(http.ResponseWriter, *http.Request) bool { asked.Add(1); return false })
	decoder := registry.NewDecoder(client, schema)
	for range 100 {
		var got note
		if err := decoder.Decode(t.Context(), []byte(encode(t, 9999, schema, note{Text: "a"})), &got); !errors.Is(err, registry.ErrUnreadable) {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// Whatever else answers at the registry's address: no record is blamed for it, and its page is not quoted.
func TestDecoderBlamesNoRecordForAWrongAddress(t *testing.T) {
	fake, client := start(t)
	schema := avro.MustParse(first)
	for _, answer := range []struct {
		status int
		body   string
	}{
		{http.StatusNotFound, "<html>secret page</html>"},
		{http.StatusNotFound, `{"error_code":404,"message":"secret path"}`},
		{http.StatusOK, `{"name":"secret"}`},
		{http.StatusOK, "<html>secret page</html>"},
		{http.StatusUnauthorized, "secret"},
	} {
		fake.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(answer.status)
			_, _ = w.Write([]byte(answer.body))
			return true
		})
		var got note
		err := registry.NewDecoder(client, schema).Decode(t.Context(), []byte(encode(t, 1, schema, note{Text: "a"})), &got)
		if err == nil || errors.Is(err, registry.ErrUnreadable) || strings.Contains(err.Error(), "secret") {
			t.Errorf("HTTP %d %s: %v", answer.status, answer.body, err)
		}
	}
}
