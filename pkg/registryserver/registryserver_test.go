package registryserver

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/zap"

	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
)

// serve starts a registry over the broker's log, ended with the test.
func serve(t *testing.T, broker *bustest.Broker) (*Server, *sr.Client) {
	t.Helper()
	server, err := Start("127.0.0.1:0", broker.Settings, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server, newClient(t, server.URL())
}

func TestJourney(t *testing.T) {
	_, client := serve(t, bustest.Start(t))
	journey(t, client)
}

func TestRestartKeepsEverything(t *testing.T) {
	broker := bustest.Start(t)
	server, client := serve(t, broker)
	first := register(t, client, "a-value", buyer1)
	second := register(t, client, "a-value", buyer2)
	if r := client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatNone}, "a-value")[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	if r := client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatFull}, "b-value")[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
	if r := client.ResetCompatibility(t.Context(), "b-value")[0]; r.Err != nil || r.Level != sr.CompatFull {
		t.Fatalf("reset the level: %+v", r)
	}
	server.Close()
	broker.Cluster.Compact()
	broker.Stop()
	broker.Restart()

	_, client = serve(t, broker)
	for i, want := range []int{first, second} {
		got, err := client.SchemaByVersion(t.Context(), "a-value", i+1)
		if err != nil || got.ID != want {
			t.Errorf("version %d: %+v, %v; its id was %d", i+1, got, err, want)
		}
	}
	third := register(t, client, "a-value", retyped) // level NONE allows it
	if third == first || third == second {
		t.Errorf("id %d was given out twice", third)
	}
	wantCode(t, "the level that was taken back", 404, 40408, client.Compatibility(t.Context(), "b-value")[0].Err)
}

// Several registries on one log: whatever is registered at once, an id means one schema and a schema has one id.
func TestRegistriesOnOneLogNeverGiveAnIdTwice(t *testing.T) {
	broker := bustest.Start(t)
	var clients []*sr.Client
	for range 3 {
		_, client := serve(t, broker)
		clients = append(clients, client)
	}
	const schemas, subjects = 12, 3
	type result struct{ text, subject, id string }
	ctx := broker.Context()
	results := make(chan result, len(clients)*schemas*subjects)
	var group sync.WaitGroup
	for c, client := range clients {
		for subject := range subjects {
			group.Go(func() {
				for n := range schemas {
					n = (n + 5*c + 3*subject) % schemas // everybody in another order, or they would want the same ids for the same schemas
					text := fmt.Sprintf(`{"type":"record","name":"R","fields":[{"name":"f%d","type":"int","default":0}]}`, n)
					name := fmt.Sprintf("s%d", subject)
					id, err := client.RegisterSchema(ctx, name, avroSchema(text), -1, -1)
					for busy(err) && ctx.Err() == nil { // its turn did not come within 4 s, on a busy machine
						id, err = client.RegisterSchema(ctx, name, avroSchema(text), -1, -1)
					}
					if err != nil {
						t.Errorf("register: %v", err)
						return
					}
					results <- result{text, name, fmt.Sprint(id)}
				}
			})
		}
	}
	group.Wait()
	close(results)
	idOf, textOf := map[string]string{}, map[string]string{}
	for r := range results {
		if id, ok := idOf[r.text]; ok && id != r.id {
			t.Errorf("one schema has the ids %s and %s", id, r.id)
		}
		if text, ok := textOf[r.id]; ok && text != r.text {
			t.Errorf("id %s means two schemas", r.id)
		}
		idOf[r.text], textOf[r.id] = r.id, r.text
	}
	if len(idOf) != schemas {
		t.Errorf("%d schemas were registered", len(idOf))
	}
	var before string
	for _, client := range clients {
		var all []string
		for subject := range subjects {
			got, err := client.Schemas(t.Context(), fmt.Sprintf("s%d", subject))
			if err != nil || len(got) != schemas {
				t.Errorf("%d versions, %v", len(got), err)
			}
			for _, v := range got {
				all = append(all, fmt.Sprint(v.Subject, v.Version, v.ID))
			}
		}
		if text := strings.Join(all, " "); before != "" && text != before {
			t.Errorf("two registries tell different things:\n%s\n%s", before, text)
		} else {
			before = text
		}
	}
}

// busy tells whether a registry had no time, as a caller takes it: it asks again.
func busy(err error) bool {
	answer, ok := errors.AsType[*sr.ResponseError](err)
	return ok && answer.StatusCode == http.StatusServiceUnavailable
}

// While Kafka is away, what stands is told, and everything else is the world's failure and not the caller's.
func TestKafkaAway(t *testing.T) {
	broker := bustest.Start(t)
	_, client := serve(t, broker)
	id := register(t, client, "a-value", buyer1)
	broker.Stop()
	if again := register(t, client, "a-value", buyer1); again != id {
		t.Errorf("id %d, was %d", again, id)
	}
	if _, err := client.SchemaByID(t.Context(), id); err != nil {
		t.Error(err)
	}
	code := wantStatus(t, "a new version", 503, second(client.RegisterSchema(t.Context(), "a-value", avroSchema(buyer2), -1, -1)))
	if code != 50002 && code != 50001 {
		t.Errorf("error_code %d", code)
	}
	wantStatus(t, "an unknown id", 503, second(client.SchemaByID(t.Context(), id+1)))
	broker.Restart()
	ctx := broker.Context()
	for {
		if _, err := client.RegisterSchema(ctx, "a-value", avroSchema(buyer2), -1, -1); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the registry did not come back")
		}
	}
}

// A registry may start before the topic, and the topic may be made anew under it.
func TestTopicComesLaterAndAnew(t *testing.T) {
	broker := bustest.Start(t)
	ctx := broker.Context()
	raw := broker.Client()
	admin := kadm.NewClient(raw)
	remove := func() {
		if _, err := admin.DeleteTopic(ctx, event.Registry); err != nil {
			t.Fatal(err)
		}
	}
	create := func() {
		if _, err := bus.Apply(ctx, raw); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	_, client := serve(t, broker)
	wantStatus(t, "no topic", 503, second(client.Subjects(ctx)))
	create()
	until := func(text string) {
		for {
			_, err := client.RegisterSchema(ctx, "a-value", avroSchema(text), -1, -1)
			if err == nil {
				return
			}
			if ctx.Err() != nil {
				t.Fatalf("still refused: %v", err)
			}
		}
	}
	until(buyer1)
	until(buyer2)
	remove()
	create()
	until(retyped) // no earlier version is left that would forbid it
	if versions, err := client.SubjectVersions(ctx, "a-value"); err != nil || len(versions) != 1 {
		t.Errorf("versions %v, %v", versions, err)
	}
}

// What others write into the log is left out, and a claim that came second changes nothing.
func TestForeignRecords(t *testing.T) {
	broker := bustest.Start(t)
	_, client := serve(t, broker)
	id := register(t, client, "a-value", buyer1)
	var records []*kgo.Record
	for _, r := range [][2]string{
		{"", ""},
		{"claim/", ""},
		{"claim/x", "{"},
		{"claim/y", `{"subject":"a-value","version":1,"id":1,"schema":"\"int\""}`},
		{"claim/z", `{"subject":"a-value","version":2,"id":1,"schema":"\"int\""}`},
		{"claim/w", `{"subject":"","version":1,"id":9,"schema":"\"int\""}`},
		{"claim/v", `{"subject":"b-value","version":1,"id":7,"schema":` + fmt.Sprintf("%q", buyer1) + `}`},
		{"claim/u", `{"subject":"b-value","version":1,"id":-7,"schema":"\"int\""}`},
		{"level/a-value", `{"compatibility":"MAYBE"}`},
		{"level/", "null"},
	} {
		records = append(records, &kgo.Record{Topic: event.Registry, Key: []byte(r[0]), Value: []byte(r[1])})
	}
	if err := broker.Client().ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got, err := client.SchemaByID(t.Context(), id); err != nil || got.Schema != buyer1 {
		t.Errorf("%v %v", got, err)
	}
	if subjects, err := client.Subjects(t.Context()); err != nil || len(subjects) != 1 {
		t.Errorf("subjects %v, %v", subjects, err)
	}
	wantCode(t, "the level still holds", 409, 409, second(client.RegisterSchema(t.Context(), "a-value", avroSchema(retyped), -1, -1)))
}

func TestLimits(t *testing.T) {
	s := newState()
	for n := range maxVersions {
		s.claim(claim{"s", n + 1, n + 1, fmt.Sprint(n)}, fmt.Sprint(n))
	}
	if err := s.room(""); err == nil || s.versions != maxVersions {
		t.Errorf("%d versions, %v", s.versions, err)
	}
	s = newState()
	s.claim(claim{"s", 1, 1, strings.Repeat("x", maxBytes)}, "k")
	if err := s.room("y"); err == nil {
		t.Error("there is room for ever")
	}
}

func send(t testing.TB, handler http.Handler, method, path, kind, body string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(method, "http://registry"+path, strings.NewReader(body))
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}
