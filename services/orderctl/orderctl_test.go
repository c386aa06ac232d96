package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"orderflow/pkg/bus"
	"orderflow/pkg/bustest"
	"orderflow/pkg/pgtest"
	"orderflow/pkg/store"
)

// orderctl runs a command line and returns what it printed.
func orderctl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(`{"order_info":{"order_id":"OMLJ1"}}`))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func settings(t *testing.T, values map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir()) // no .local/env of somebody else
	for _, name := range []string{"INGEST_URL", "ICBU_SECRETS", "PROCUREMENT_TOKENS", "MALL_APPS", "KAFKA_BROKERS", "DATABASE_URL", "CONSOLE_URL", "CONSOLE_USER", "CONSOLE_PASSWORD"} {
		t.Setenv(name, values[name])
	}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func contains(t *testing.T, out string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
}

func TestSend(t *testing.T) {
	var bodies []string
	ingest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, r.Header.Get("Content-Type")+" "+string(body))
		switch {
		case strings.Contains(r.URL.Path, "icbu") && strings.Contains(string(body), "BAD"):
			_, _ = io.WriteString(w, `{"success":false,"resp_code":"sign-check-failure","error_desc":"Illegal request"}`)
		case strings.Contains(r.URL.Path, "icbu"):
			w.Header().Set("Orderflow-Receipt", "R1")
			_, _ = io.WriteString(w, `{"success":true,"resp_code":"0"}`)
		case strings.Contains(r.URL.Path, "morder"):
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"Status":false,"StatusCode":500,"Msg":"x"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(ingest.Close)
	settings(t, map[string]string{"INGEST_URL": ingest.URL, "ICBU_SECRETS": "a=b", "PROCUREMENT_TOKENS": "tok", "MALL_APPS": "A=T"})
	good := write(t, "icbu.json", `{"ali_order_no":"P1"}`)
	bad := write(t, "icbu-bad.json", `{"ali_order_no":"BAD"}`)
	mallFile := write(t, "batch.json", `[{"ShopCode":"S","Code":"1","OrderTime":"2019-06-22 10:30:01"}]`)
	unclear := write(t, "x.json", `{"a":1}`)

	out, err := orderctl(t, "send", good)
	if err != nil {
		t.Errorf("an accepted push: %v", err)
	}
	contains(t, out, "accepted  "+good+" (icbu) code 0", "receipt R1")

	out, err = orderctl(t, "send", good, bad, mallFile, unclear, "-", good+".gone")
	if !errors.Is(err, errRefused) {
		t.Errorf("refused pushes: %v", err)
	}
	contains(t, out,
		"refused   "+bad+" (icbu) HTTP 200, code sign-check-failure: Illegal request", "meaning: ingest knows another secret", "next: ",
		"refused   "+mallFile+" (mall) HTTP 503, code 500: x", "Kafka is away or ingest is full",
		"unsent    "+unclear, "--source icbu, procurement or mall",
		"refused   - (procurement) HTTP 404", "does not know the token",
		"unsent    "+good+".gone", "1 of 6 accepted")

	bodies = nil
	if _, err := orderctl(t, "send", "--form", good); err != nil {
		t.Error(err)
	}
	if len(bodies) != 1 || bodies[0] != "application/x-www-form-urlencoded;charset=UTF-8 ali_order_no=P1" {
		t.Errorf("--form sent %q", bodies)
	}
	bodies = nil
	if _, err := orderctl(t, "send", "--shift-dates", "--source", "mall", mallFile); !errors.Is(err, errRefused) {
		t.Error(err)
	}
	if len(bodies) != 1 || strings.Contains(bodies[0], "2019-06-22") {
		t.Errorf("--shift-dates sent %q", bodies)
	}
	for want, args := range map[string][]string{
		"--source: not one of": {"send", "--source", "shop", good},
		"requires at least 1":  {"send"},
	} {
		if _, err := orderctl(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if out, err := orderctl(t, "send", "--form", mallFile); !errors.Is(err, errRefused) || !strings.Contains(out, "--form is for icbu only") {
		t.Errorf("--form of a mall push: %v\n%s", err, out)
	}
	ingest.Close()
	out, err = orderctl(t, "send", good)
	if !errors.Is(err, errRefused) {
		t.Errorf("ingest away: %v", err)
	}
	contains(t, out, "unknown   "+good, "connection refused", "send the same file again")
}

func TestSettingsFile(t *testing.T) {
	settings(t, map[string]string{"MALL_APPS": "A=given"})
	path := write(t, "env", "# words = here\nset -a\nINGEST_URL=http://127.0.0.1:1\nICBU_SECRETS='a=it'\\''s'\nexport PROCUREMENT_TOKENS=t\nMALL_APPS=A=file\nset +a\n")
	if _, err := orderctl(t, "send", "--env", path, "-"); !errors.Is(err, errRefused) {
		t.Errorf("send: %v", err)
	}
	for name, want := range map[string]string{"ICBU_SECRETS": "a=it's", "PROCUREMENT_TOKENS": "t", "MALL_APPS": "A=given", "INGEST_URL": "http://127.0.0.1:1"} {
		if got := os.Getenv(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if _, err := orderctl(t, "migrate", "--env", path+".gone"); err == nil || !strings.Contains(err.Error(), "read the settings file") {
		t.Errorf("a settings file that is not there: %v", err)
	}
	if _, err := orderctl(t, "migrate"); err == nil || !strings.Contains(err.Error(), "DATABASE_URL: required") {
		t.Errorf("migrate without a database: %v", err)
	}
}

func TestMigrateAndTopics(t *testing.T) {
	broker := bustest.Start(t)
	database := pgtest.New(t)
	settings(t, map[string]string{"KAFKA_BROKERS": broker.Brokers[0], "DATABASE_URL": database})
	for range 2 {
		if out, err := orderctl(t, "migrate"); err != nil || !strings.Contains(out, "newest migration") {
			t.Fatalf("migrate: %v\n%s", err, out)
		}
	}
	admin := kadm.NewClient(broker.Client())
	received := bus.Topics()[0].Name
	if _, err := admin.DeleteTopic(t.Context(), received); err != nil {
		t.Fatal(err)
	}
	out, err := orderctl(t, "topics", "check")
	if !errors.Is(err, errRefused) {
		t.Errorf("check with a missing topic: %v", err)
	}
	contains(t, out, received+": topic is", "next: orderctl topics apply")

	out, err = orderctl(t, "topics", "apply")
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	contains(t, out, received+": created with", "(1 changes) and recorded in the database")
	recorded(t, broker, database)

	out, err = orderctl(t, "topics", "check")
	if err != nil {
		t.Errorf("check after apply: %v", err)
	}
	contains(t, out, "topics are as in topics.yaml")

	// Deleted and made again: its offsets begin at 0, and the database knows better.
	if _, err := admin.DeleteTopic(t.Context(), received); err != nil {
		t.Fatal(err)
	}
	if _, err := orderctl(t, "topics", "apply"); !errors.Is(err, store.ErrTopicChanged) {
		t.Errorf("apply after the topic was made again: %v", err)
	}
	t.Setenv("DATABASE_URL", "")
	out, err = orderctl(t, "topics", "apply")
	if err != nil {
		t.Errorf("apply without a database: %v", err)
	}
	contains(t, out, "nothing is recorded")
}

// recorded holds the database's topics against the cluster's.
func recorded(t *testing.T, broker *bustest.Broker, database string) {
	t.Helper()
	ids, err := bus.Identities(t.Context(), broker.Client())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]store.Topic{}
	for name, id := range ids {
		want[name] = store.Topic{ID: id, Generation: bus.Generation(name)}
	}
	db, err := store.Open(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.CheckTopics(t.Context(), want); err != nil || len(want) != len(bus.Topics()) {
		t.Errorf("%d topics recorded: %v", len(want), err)
	}
}

func TestHelpTellsSettingsAndMeaning(t *testing.T) {
	settings(t, nil)
	for _, args := range [][]string{{"send", "--help"}, {"topics", "apply", "--help"}, {"topics", "check", "--help"}, {"migrate", "--help"}} {
		out, err := orderctl(t, args...)
		if err != nil {
			t.Errorf("%v: %v", args, err)
		}
		contains(t, out, "SETTING", "MEANING", "Usage:")
	}
}
