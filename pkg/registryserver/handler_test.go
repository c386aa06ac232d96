package registryserver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/zap"

	"orderflow/pkg/bustest"
)

func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

func body(schema string) string { return `{"schema":` + quoted(schema) + `}` }

// open gives the handler alone, over a broker of its own.
func open(t testing.TB) *Registry {
	t.Helper()
	registry, err := Open(bustest.Start(t).Settings, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Close)
	return registry
}

// What clients other than franz-go send and look at, as bytes.
func TestAnswers(t *testing.T) {
	handler := open(t).Handler()
	const fullType = mediaType + "; charset=utf-8"
	stored := strings.Join(strings.Fields(buyer1), "")
	for _, c := range []struct {
		method, path, kind, body string
		status                   int
		want                     string
	}{
		{"GET", "/", "", "", 200, `{}`},
		{"GET", "/subjects", "", "", 200, `[]`},
		{"GET", "/schemas/types", "", "", 200, `["AVRO"]`},
		{"GET", "/config", "", "", 200, `{"compatibilityLevel":"BACKWARD_TRANSITIVE"}`},
		{"GET", "/mode", "", "", 200, `{"mode":"READWRITE"}`},
		{"GET", "/mode/a-value", "", "", 404, `"error_code":40409`},
		{"GET", "/mode/a-value?defaultToGlobal=true", "", "", 200, `{"mode":"READWRITE"}`},
		{"POST", "/subjects/a-value/versions?normalize=false", fullType, body(buyer1), 200, `"id":1`},
		{"POST", "/subjects/a-value/versions", mediaType, body(buyer1Wide), 200, `"version":1,"id":1`},
		{"POST", "/subjects/a-value/versions", mediaType, body(retyped), 409, `incompatible at id: reader long vs writer string`},
		{"POST", "/subjects/a%2Fb%20c/versions", "application/json", body(buyer1), 200, `"id":1`},
		{"GET", "/schemas/ids/1?subject=a-value&fetchMaxId=false", "", "", 200, `{"schema":` + quoted(stored) + `}`},
		{"GET", "/schemas/ids/1/schema", "", "", 200, stored},
		{"GET", "/schemas/ids/1/subjects", "", "", 200, `["a-value","a/b c"]`},
		{"GET", "/schemas/ids/1/versions", "", "", 200, `[{"subject":"a-value","version":1},{"subject":"a/b c","version":1}]`},
		{"GET", "/subjects/a-value/versions/latest", "", "", 200, `{"subject":"a-value","version":1,"id":1,"schema":` + quoted(stored) + `}`},
		{"GET", "/subjects/a-value/versions/-1", "", "", 200, `"version":1`},
		{"GET", "/subjects/a-value/versions/1/schema", "", "", 200, stored},
		{"GET", "/subjects?subjectPrefix=a-", "", "", 200, `["a-value"]`},
		{"PUT", "/config/a-value", mediaType, `{"compatibility":"FULL"}`, 200, `{"compatibility":"FULL"}`},
		{"GET", "/config/a-value", "", "", 200, `{"compatibilityLevel":"FULL"}`},
		{"GET", "/config/b-value", "", "", 404, `"error_code":40408`},
		{"GET", "/config/b-value?defaultToGlobal=true", "", "", 200, `{"compatibilityLevel":"BACKWARD_TRANSITIVE"}`},
		{"DELETE", "/config/a-value", "", "", 200, `{"compatibility":"FULL"}`},
		{"DELETE", "/config/a-value", "", "", 404, `"error_code":40408`},
		{"DELETE", "/config", "", "", 200, `{"compatibility":"BACKWARD_TRANSITIVE"}`},
		{"POST", "/compatibility/subjects/a-value/versions", mediaType, body(buyer2), 200, `{"is_compatible":true,"messages":[]}`},
		{"POST", "/compatibility/subjects/a-value/versions/1", mediaType, body(retyped), 200, `{"is_compatible":false,"messages":["a reader of the new schema cannot read what version 1 wrote`},
		{"POST", "/compatibility/subjects/none/versions/1", mediaType, body(retyped), 404, `"error_code":40401`},
		{"GET", "/subjects/none/versions", "", "", 404, `"error_code":40401`},
		{"GET", "/subjects/a-value/versions/7", "", "", 404, `"error_code":40402`},
		{"GET", "/subjects/a-value/versions/0", "", "", 422, `"error_code":42202`},
		{"GET", "/subjects/a-value/versions/99999999999999999999", "", "", 422, `"error_code":42202`},
		{"GET", "/schemas/ids/99", "", "", 404, `"error_code":40403`},
		{"GET", "/schemas/ids/x", "", "", 404, `"error_code":404`},
		{"PUT", "/config", mediaType, `{"compatibility":"SOME"}`, 422, `"error_code":42203`},
		{"POST", "/subjects/none", mediaType, body(buyer1), 404, `"error_code":40401`},
		{"POST", "/subjects/a-value", mediaType, body(buyer2), 404, `"error_code":40403`},
		{"POST", "/subjects/a-value", mediaType, body(buyer1), 200, `"version":1,"id":1`},
		{"DELETE", "/subjects/a-value", "", "", 405, `deletes nothing`},
		{"GET", "/elsewhere", "", "", 404, `"error_code":404`},
	} {
		answer := send(t, handler, c.method, c.path, c.kind, c.body)
		if got := answer.Body.String(); answer.Code != c.status || !strings.Contains(got, c.want) || answer.Header().Get("Content-Type") != mediaType {
			t.Errorf("%s %s: HTTP %d %s, wanted %d %s", c.method, c.path, answer.Code, got, c.status, c.want)
		}
	}
}

// Whatever comes is answered at once, by a fault of the caller with a code, and leaves the registry as it was.
func TestHostileInput(t *testing.T) {
	registry := open(t)
	handler := registry.Handler()
	record := func(fields string) string { return `{"type":"record","name":"R","fields":[` + fields + `]}` }
	const register = "/subjects/a-value/versions"
	for name, c := range map[string]struct {
		path, kind, body string
		status, code     int
	}{
		"a form of a browser":        {register, "application/x-www-form-urlencoded", body(buyer1), 415, 415},
		"plain text of a browser":    {register, "text/plain", body(buyer1), 415, 415},
		"no media type":              {register, "", body(buyer1), 415, 415},
		"nothing":                    {register, mediaType, "", 400, 400},
		"no object":                  {register, mediaType, "[1]", 400, 400},
		"half a body":                {register, mediaType, `{"schema":"`, 400, 400},
		"a name twice":               {register, mediaType, `{"schema":"\"int\"","schema":"\"long\""}`, 400, 400},
		"a schema that is no text":   {register, mediaType, `{"schema":{}}`, 400, 400},
		"no schema":                  {register, mediaType, `{}`, 422, 42201},
		"no Avro":                    {register, mediaType, body(`{"type":"money"}`), 422, 42201},
		"no JSON in the schema":      {register, mediaType, body("message M {}"), 422, 42201},
		"a field's name twice":       {register, mediaType, body(record(`{"name":"a","type":"int"},{"name":"a","type":"int"}`)), 422, 42201},
		"a key twice in the schema":  {register, mediaType, body(`{"type":"int","type":"long"}`), 422, 42201},
		"a default of another type":  {register, mediaType, body(record(`{"name":"a","type":"int","default":"x"}`)), 422, 42201},
		"Protobuf":                   {register, mediaType, `{"schema":"syntax","schemaType":"PROTOBUF"}`, 422, 42201},
		"an unknown type":            {register, mediaType, `{"schema":"\"int\"","schemaType":"XML"}`, 422, 42201},
		"references":                 {register, mediaType, `{"schema":"\"int\"","references":[{"name":"a","subject":"b","version":1}]}`, 422, 42201},
		"rules":                      {register, mediaType, `{"schema":"\"int\"","ruleSet":{"domainRules":[]}}`, 422, 42210},
		"an id of the caller's":      {register, mediaType, `{"schema":"\"int\"","id":5}`, 422, 42205},
		"a body without end":         {register, mediaType, `{"schema":"` + strings.Repeat("x", maxBody) + `"}`, 413, 413},
		"a schema too long":          {register, mediaType, body(`{"type":"int","doc":"` + strings.Repeat("x", maxText) + `"}`), 422, 42209},
		"nested without end":         {register, mediaType, body(strings.Repeat(`{"type":"array","items":`, 9000) + `"int"` + strings.Repeat("}", 9000)), 422, 42201},
		"brackets without end":       {register, mediaType, body(strings.Repeat("[", 200_000)), 422, 42201},
		"a body of brackets":         {register, mediaType, strings.Repeat("[", maxBody-1), 400, 400},
		"a decimal of many digits":   {register, mediaType, body(`{"type":"bytes","logicalType":"decimal","precision":99999999999,"scale":99999999998}`), 422, 42201},
		"a subject with controls":    {"/subjects/a%0Ab/versions", mediaType, body(buyer1), 422, 42208},
		"a subject that is no UTF-8": {"/subjects/a%ff/versions", mediaType, body(buyer1), 422, 42208},
		"a subject too long":         {"/subjects/" + strings.Repeat("a", maxSubject+1) + "/versions", mediaType, body(buyer1), 422, 42208},
	} {
		began := time.Now()
		answer := send(t, handler, http.MethodPost, c.path, c.kind, c.body)
		var got struct {
			Code    int    `json:"error_code"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || answer.Code != c.status || got.Code != c.code || got.Message == "" || len(got.Message) > 2000 {
			t.Errorf("%s: HTTP %d %.300s, wanted %d with %d", name, answer.Code, answer.Body, c.status, c.code)
		}
		if took := time.Since(began); took > answerWithin {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	if answer := send(t, handler, http.MethodGet, "/subjects", "", ""); answer.Body.String() != "[]" {
		t.Errorf("subjects were left behind: %s", answer.Body)
	}
}

// Rings of 40 and of 37 records whose names match: every record of one meets every record of the other. The check must
// not walk all ways through them.
func TestCheckOfTangledSchemas(t *testing.T) {
	tangled := func(ring int) string {
		var b strings.Builder
		for n := range ring {
			fmt.Fprintf(&b, `{"type":"record","name":"n%d.R","fields":[{"name":"a","type":`, n)
		}
		b.WriteString(`"n0.R"`)
		for range ring {
			b.WriteString(`},{"name":"b","type":["null","n0.R"],"default":null}]}`)
		}
		return b.String()
	}
	first, second := tangled(40), tangled(37)
	handler := open(t).Handler()
	for _, text := range []string{first, second} {
		began := time.Now()
		answer := send(t, handler, http.MethodPost, "/subjects/a-value/versions", mediaType, body(text))
		if answer.Code != 200 {
			t.Errorf("HTTP %d %.300s", answer.Code, answer.Body)
		}
		if took := time.Since(began); took > answerWithin {
			t.Errorf("it took %v", took)
		}
	}
}

func TestLevels(t *testing.T) {
	history := []registered{{Version: 1, Schema: buyer1}, {Version: 2, Schema: buyer2}}
	optional := strings.Replace(buyer2, `{"name":"id","type":"string"},`, "", 1)
	for _, c := range []struct {
		level   level
		text    string
		refused int // reasons
	}{
		{none, retyped, 0},
		{backward, required, 0},
		{backwardTransitive, required, 1}, // version 1 has no city
		{backward, retyped, 1},
		{backwardTransitive, retyped, 2},
		{forward, optional, 1},
		{forwardTransitive, optional, 2},
		{backwardTransitive, optional, 0}, // id is gone
		{full, required, 0},
		{fullTransitive, required, 1},
		{fullTransitive, optional, 2},
		{fullTransitive, buyer1, 0},
	} {
		_, schema, err := parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		reasons, err := c.level.incompatible(t.Context(), schema, c.level.judgedBy(history))
		if err != nil || len(reasons) != c.refused {
			t.Errorf("%s of %s: %q, %v; wanted %d reasons", c.level, c.text, reasons, err, c.refused)
		}
	}
	for _, l := range levels {
		var known sr.CompatibilityLevel
		if err := known.UnmarshalText([]byte(l)); err != nil || known.String() != string(l) {
			t.Errorf("franz-go does not know the level %s", l)
		}
	}
}

// FuzzRegister holds that no body or subject makes the registry fail, and that what it took is what it gives.
func FuzzRegister(f *testing.F) {
	for _, text := range []string{buyer1, buyer1Wide, buyer2, required, retyped, `"int"`, `["null","string"]`, `{"type":"enum","name":"E","symbols":["A"]}`} {
		f.Add("a-value", body(text))
	}
	f.Add("a/b", `{"schema":"{}","schemaType":"JSON","references":null}`)
	f.Add("", "{")
	f.Add("/", body(buyer1))
	handler := open(f).Handler()
	f.Fuzz(func(t *testing.T, subject, text string) {
		path := "/subjects/" + url.PathEscape(subject) + "/versions"
		request, err := http.NewRequest(http.MethodPost, "http://registry"+path, strings.NewReader(text))
		if err != nil || strings.Contains(subject, "..") || subject == "." || subject == "" {
			return // no such request can be sent, or not to this path
		}
		answer := send(t, handler, http.MethodPost, request.URL.RequestURI(), mediaType, text)
		if subject == "/" && answer.Code == 404 { // net/http takes a name that is but a slash for the path's own last one
			return
		}
		switch answer.Code {
		case 400, 409, 413, 422:
			var fault struct {
				Code int `json:"error_code"`
			}
			if err := json.Unmarshal(answer.Body.Bytes(), &fault); err != nil || fault.Code == 0 {
				t.Errorf("HTTP %d %s", answer.Code, answer.Body)
			}
		case 403: // full, after a while
		case 200:
			var stored registered
			if err := json.Unmarshal(answer.Body.Bytes(), &stored); err != nil || stored.ID < 1 || stored.Version < 1 {
				t.Fatalf("%s: %v", answer.Body, err)
			}
			if again := send(t, handler, http.MethodPost, request.URL.RequestURI(), mediaType, body(stored.Schema)); again.Body.String() != answer.Body.String() {
				t.Errorf("%s was taken as %s, and then as %s", text, answer.Body, again.Body)
			}
			if got := send(t, handler, http.MethodGet, fmt.Sprintf("/schemas/ids/%d/schema", stored.ID), "", ""); got.Body.String() != stored.Schema {
				t.Errorf("schema %d is %s, was %s", stored.ID, got.Body, stored.Schema)
			}
		default:
			t.Errorf("HTTP %d %s", answer.Code, answer.Body)
		}
	})
}
