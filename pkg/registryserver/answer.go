package registryserver

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/zap"
)

const (
	mediaType = "application/vnd.schemaregistry.v1+json"
	avroType  = "AVRO"
)

// fault is an answer that says what the caller did wrong, or asked for in vain, with Confluent's error code.
type fault struct {
	status  int
	code    int
	message string
}

func (f *fault) Error() string { return f.message }

// plainJSON is an answer that is not wrapped: the text of a schema.
type plainJSON string

// answer writes a value or an error.
func (g *Registry) answer(w http.ResponseWriter, value any, err error) {
	status := http.StatusOK
	if err != nil {
		f := g.explain(err)
		if status = f.status; status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		value = map[string]any{"error_code": f.code, "message": f.message}
	}
	body, plain := []byte(nil), false
	if text, ok := value.(plainJSON); ok {
		body, plain = []byte(text), true
	}
	if !plain {
		if body, err = json.Marshal(value, json.Deterministic(true), jsontext.AllowInvalidUTF8(true)); err != nil {
			g.log.Error("an answer cannot be written", zap.Error(err))
			status, body = http.StatusInternalServerError, []byte(`{"error_code":500,"message":"internal error"}`)
		}
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// explain makes a fault of any error. What is not the caller's is Kafka's, and may be tried again.
func (g *Registry) explain(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	g.log.Warn("a request cannot be answered now", zap.Error(err))
	if errors.Is(err, context.DeadlineExceeded) {
		return &fault{http.StatusServiceUnavailable, 50002, fmt.Sprintf("Kafka, which holds the schemas, did not answer in time: %v", err)}
	}
	return &fault{http.StatusServiceUnavailable, 50001, fmt.Sprintf("Kafka, which holds the schemas, cannot be used now: %v", err)}
}

// submission is the body that carries a schema. What this registry cannot keep is refused, not dropped.
type submission struct {
	Schema     string         `json:"schema"`
	Type       string         `json:"schemaType"`
	ID         int            `json:"id"`
	References jsontext.Value `json:"references"`
	Metadata   jsontext.Value `json:"metadata"`
	RuleSet    jsontext.Value `json:"ruleSet"`
}

func (s *submission) check() error {
	switch {
	case s.Type != "" && !strings.EqualFold(s.Type, avroType):
		return &fault{422, 42201, "this registry takes Avro schemas only (schemaType AVRO)"}
	case s.ID > 0:
		return &fault{422, 42205, "this registry gives the ids itself: leave the id out"}
	case !empty(s.References):
		return &fault{422, 42201, "this registry takes no references: write the schema out"}
	case !empty(s.Metadata) || !empty(s.RuleSet):
		return &fault{422, 42210, "this registry takes no metadata and no rules"}
	case s.Schema == "":
		return &fault{422, 42201, "the schema is missing: the field schema holds its text"}
	}
	return nil
}

// empty tells whether an optional part says nothing.
func empty(v jsontext.Value) bool {
	switch strings.Join(strings.Fields(string(v)), "") {
	case "", "null", "[]", "{}":
		return true
	}
	return false
}

// read reads the JSON body of a request. A media type is asked for, because a browser sends forms and plain text to any
// address that a page names, without asking.
func read(r *http.Request, into any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return &fault{http.StatusUnsupportedMediaType, 415, "the body must be JSON: Content-Type " + mediaType + " or application/json"}
	}
	err = json.UnmarshalRead(r.Body, into)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &fault{http.StatusRequestEntityTooLarge, 413, fmt.Sprintf("the body is over %d KiB", maxBody>>10)}
	case err != nil:
		return &fault{http.StatusBadRequest, 400, "the body is no JSON that this registry knows (syntax, or the type of a field)"}
	}
	return nil
}
