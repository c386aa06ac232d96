package registryserver

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"orderflow/pkg/bustest"
)

// Versions of one schema, and what a registry says to them at BACKWARD_TRANSITIVE.
const (
	buyer1     = `{"type":"record","name":"Buyer","fields":[{"name":"id","type":"string"}]}`
	buyer1Wide = "{ \"type\": \"record\",\n \"name\": \"Buyer\", \"fields\": [ {\"name\": \"id\", \"type\": \"string\"} ] }"
	buyer2     = `{"type":"record","name":"Buyer","fields":[{"name":"id","type":"string"},{"name":"city","type":"string","default":""}]}`
	required   = `{"type":"record","name":"Buyer","fields":[{"name":"id","type":"string"},{"name":"city","type":"string"}]}` // fits buyer2 only
	retyped    = `{"type":"record","name":"Buyer","fields":[{"name":"id","type":"long"}]}`
)

func avroSchema(text string) sr.Schema { return sr.Schema{Schema: text} }

func newClient(t *testing.T, url string) *sr.Client {
	t.Helper()
	// A registry has an answer after 4 s, also on a busy machine that is late with it.
	client, err := sr.NewClient(sr.URLs(url), sr.HTTPClient(&http.Client{Timeout: bustest.Patience}))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// journey is what orders.v1's writer and its readers ask of a registry, whoever made it. Neither ids nor numbers of other
// subjects are looked at: it runs on a registry that others use.
func journey(t *testing.T, client *sr.Client) {
	ctx := t.Context()
	const subject, other = "journey.v1-value", "journey/other v1-value"
	wantCode(t, "a subject that is not there", 404, 40401, second(client.SchemaByVersion(ctx, subject, -1)))
	wantCode(t, "an id that is not there", 404, 40403, second(client.SchemaByID(ctx, 2_000_000_000)))

	for _, result := range client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatBackwardTransitive}, subject, other) {
		if result.Err != nil {
			t.Fatalf("set the level of %s: %v", result.Subject, result.Err)
		}
	}
	first := register(t, client, subject, buyer1)
	if again := register(t, client, subject, buyer1); again != first {
		t.Errorf("the same schema once more: id %d, was %d", again, first)
	}
	if shared := register(t, client, other, buyer1); shared != first {
		t.Errorf("the same schema under another subject: id %d, was %d", shared, first)
	}
	next := register(t, client, subject, buyer2)
	if next == first {
		t.Errorf("two schemas have the id %d", first)
	}
	for name, text := range map[string]string{"another type": retyped, "a field that only version 2 has": required} {
		err := second(client.RegisterSchema(ctx, subject, avroSchema(text), -1, -1))
		wantCode(t, name, 409, 409, err)
		verdict, err := client.CheckCompatibility(ctx, subject, -2, avroSchema(text))
		if err != nil || verdict.Is {
			t.Errorf("%s: compatible %v, %v", name, verdict.Is, err)
		}
	}
	wantStatus(t, "no Avro", 422, second(client.RegisterSchema(ctx, subject, avroSchema(`{"type":"nothing"}`), -1, -1)))
	wantCode(t, "a version that is not there", 404, 40402, second(client.SchemaByVersion(ctx, subject, 9)))
	wantCode(t, "a schema that the subject does not have", 404, 40403, second(client.LookupSchema(ctx, subject, avroSchema(retyped))))

	versions, err := client.SubjectVersions(ctx, subject)
	if err != nil || !slices.Equal(versions, []int{1, 2}) {
		t.Errorf("versions %v, %v", versions, err)
	}
	latest, err := client.SchemaByVersion(ctx, subject, -1)
	if err != nil || latest.ID != next || latest.Version != 2 || latest.Subject != subject {
		t.Errorf("the latest version: %+v, %v", latest, err)
	}
	found, err := client.LookupSchema(ctx, subject, avroSchema(buyer1))
	if err != nil || found.ID != first || found.Version != 1 {
		t.Errorf("looked up: %+v, %v", found, err)
	}
	byID, err := client.SchemaByID(ctx, first)
	if err != nil || strings.Join(strings.Fields(byID.Schema), "") != buyer1 {
		t.Errorf("schema %d: %s, %v", first, byID.Schema, err)
	}
	subjects, err := client.Subjects(ctx)
	if err != nil || !slices.Contains(subjects, subject) || !slices.Contains(subjects, other) {
		t.Errorf("subjects %v, %v", subjects, err)
	}
}

func register(t *testing.T, client *sr.Client, subject, text string) int {
	t.Helper()
	id, err := client.RegisterSchema(t.Context(), subject, avroSchema(text), -1, -1)
	if err != nil {
		t.Fatalf("register under %s: %v", subject, err)
	}
	return id
}

func second[T any](_ T, err error) error { return err }

// wantStatus gives the error_code.
func wantStatus(t *testing.T, what string, status int, err error) int {
	t.Helper()
	var answer *sr.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode != status {
		t.Errorf("%s: %v, wanted HTTP %d", what, err, status)
		return 0
	}
	return answer.ErrorCode
}

func wantCode(t *testing.T, what string, status, code int, err error) {
	t.Helper()
	if got := wantStatus(t, what, status, err); got != code {
		t.Errorf("%s: error_code %d, wanted %d (%v)", what, got, code, err)
	}
}
