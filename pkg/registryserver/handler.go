package registryserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/avro"
)

const (
	answerWithin  = 4 * time.Second // below the patience of clients, so that they are told what is missing
	maxBody       = 1 << 20
	maxSubject    = 255
	maxRequests   = 64 // at a time
	latestVersion = "latest"
)

// query answers a request with a value for JSON, a plain text or an error.
type query func(r *http.Request) (any, error)

// Handler serves the REST API.
func (g *Registry) Handler() http.Handler {
	mux := http.NewServeMux()
	running := make(chan struct{}, maxRequests)
	for pattern, ask := range map[string]query{
		"GET /{$}":                                                  func(*http.Request) (any, error) { return struct{}{}, nil },
		"GET /schemas/types":                                        func(*http.Request) (any, error) { return []string{avroType}, nil },
		"GET /schemas/ids/{id}":                                     g.schema,
		"GET /schemas/ids/{id}/schema":                              g.schemaText,
		"GET /schemas/ids/{id}/versions":                            g.schemaVersions,
		"GET /schemas/ids/{id}/subjects":                            g.schemaSubjects,
		"GET /subjects":                                             g.subjects,
		"GET /subjects/{subject}/versions":                          g.versions,
		"GET /subjects/{subject}/versions/{version}":                g.version,
		"GET /subjects/{subject}/versions/{version}/schema":         g.versionText,
		"POST /subjects/{subject}":                                  g.lookup,
		"POST /subjects/{subject}/versions":                         g.newVersion,
		"POST /compatibility/subjects/{subject}/versions":           g.check,
		"POST /compatibility/subjects/{subject}/versions/{version}": g.check,
		"GET /config":                                               g.config,
		"GET /config/{subject}":                                     g.config,
		"PUT /config":                                               g.putConfig,
		"PUT /config/{subject}":                                     g.putConfig,
		"DELETE /config":                                            g.deleteConfig,
		"DELETE /config/{subject}":                                  g.deleteConfig,
		"GET /mode":                                                 g.mode,
		"GET /mode/{subject}":                                       g.mode,
		"DELETE /subjects/":                                         refused,
		"/":                                                         unknown,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
			defer cancel()
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			select {
			case running <- struct{}{}:
				defer func() { <-running }()
				value, err := ask(r.WithContext(ctx))
				g.answer(w, value, err)
			case <-ctx.Done():
				g.answer(w, nil, ctx.Err())
			}
		})
	}
	return mux
}

func refused(*http.Request) (any, error) {
	return nil, &fault{http.StatusMethodNotAllowed, 405, "this registry deletes nothing: records may carry any id that it has handed out"}
}

func unknown(r *http.Request) (any, error) {
	return nil, &fault{http.StatusNotFound, 404, fmt.Sprintf("this registry has no %s %.200q", r.Method, r.URL.Path)}
}

// schema gives a schema by its id. One that is known can never change, so only an unknown id asks for the end of the log.
func (g *Registry) schema(r *http.Request) (any, error) {
	text, _, err := g.byID(r)
	return map[string]string{"schema": text}, err
}

func (g *Registry) schemaText(r *http.Request) (any, error) {
	text, _, err := g.byID(r)
	return plainJSON(text), err
}

func (g *Registry) schemaVersions(r *http.Request) (any, error) {
	if err := g.catchUp(r.Context()); err != nil {
		return nil, err
	}
	_, usages, err := g.byID(r)
	return usages, err
}

func (g *Registry) schemaSubjects(r *http.Request) (any, error) {
	if err := g.catchUp(r.Context()); err != nil {
		return nil, err
	}
	_, usages, err := g.byID(r)
	subjects := []string{}
	for _, u := range usages {
		subjects = append(subjects, u.Subject)
	}
	return subjects, err
}

func (g *Registry) byID(r *http.Request) (text string, usages []usage, err error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil {
		return "", nil, &fault{http.StatusNotFound, 404, "the id of a schema is a whole number"}
	}
	var ok bool
	find := func(s *state) { text, ok = s.texts[int(id)]; usages = slices.Clone(s.usages[int(id)]) }
	if g.look(find); !ok {
		if err := g.catchUp(r.Context()); err != nil {
			return "", nil, err
		}
		g.look(find)
	}
	if !ok {
		return "", nil, &fault{http.StatusNotFound, 40403, fmt.Sprintf("schema %d not found", id)}
	}
	return text, usages, nil
}

func (g *Registry) subjects(r *http.Request) (any, error) {
	if err := g.catchUp(r.Context()); err != nil {
		return nil, err
	}
	prefix, names := r.URL.Query().Get("subjectPrefix"), []string{}
	g.look(func(s *state) {
		for _, name := range s.names() {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
	})
	return names, nil
}

func (g *Registry) versions(r *http.Request) (any, error) {
	history, err := g.history(r)
	if err != nil {
		return nil, err
	}
	numbers := make([]int, len(history))
	for i, v := range history {
		numbers[i] = v.Version
	}
	return numbers, nil
}

func (g *Registry) version(r *http.Request) (any, error) { return g.one(r) }

func (g *Registry) versionText(r *http.Request) (any, error) {
	v, err := g.one(r)
	return plainJSON(v.Schema), err
}

// history gives all versions of the subject in the path, at least one.
func (g *Registry) history(r *http.Request) (all []registered, err error) {
	subject, err := subjectOf(r)
	if err != nil {
		return nil, err
	}
	if err := g.catchUp(r.Context()); err != nil {
		return nil, err
	}
	g.look(func(s *state) { all = s.history(subject) })
	if len(all) == 0 {
		return nil, subjectNotFound(subject)
	}
	return all, nil
}

// one gives the version of the subject in the path.
func (g *Registry) one(r *http.Request) (registered, error) {
	history, err := g.history(r)
	if err != nil {
		return registered{}, err
	}
	return pick(history, r.PathValue("version"))
}

// pick finds the version that a path names.
func pick(history []registered, name string) (registered, error) {
	if name == latestVersion || name == "-1" {
		return history[len(history)-1], nil
	}
	n, err := strconv.ParseInt(name, 10, 32)
	if err != nil || n < 1 {
		return registered{}, &fault{422, 42202, `the version is no whole number from 1 up, nor "latest"`}
	}
	if n > int64(len(history)) {
		return registered{}, &fault{http.StatusNotFound, 40402, fmt.Sprintf("version %d not found: subject %q has %d", n, history[0].Subject, len(history))}
	}
	return history[n-1], nil
}

func (g *Registry) lookup(r *http.Request) (any, error) {
	subject, text, _, err := candidate(r)
	if err != nil {
		return nil, err
	}
	if found, ok := g.known(subject, text); ok {
		return found, nil
	}
	if _, err := g.history(r); err != nil {
		return nil, err
	}
	if found, ok := g.known(subject, text); ok {
		return found, nil
	}
	return nil, &fault{http.StatusNotFound, 40403, fmt.Sprintf("subject %q has no such schema", subject)}
}

func (g *Registry) newVersion(r *http.Request) (any, error) {
	subject, text, schema, err := candidate(r)
	if err != nil {
		return nil, err
	}
	v, err := g.register(r.Context(), subject, text, schema)
	return v, err
}

// check holds a schema against one version, or against those that the subject's level looks at.
func (g *Registry) check(r *http.Request) (any, error) {
	_, _, schema, err := candidate(r)
	if err != nil {
		return nil, err
	}
	history, err := g.history(r)
	if err != nil {
		return nil, err
	}
	var by level
	g.look(func(s *state) { by = s.level(history[0].Subject) })
	against := by.judgedBy(history)
	if name := r.PathValue("version"); name != "" {
		one, err := pick(history, name)
		if err != nil {
			return nil, err
		}
		against = []registered{one}
	}
	reasons, err := by.incompatible(r.Context(), schema, against)
	if err != nil {
		return nil, err
	}
	return map[string]any{"is_compatible": len(reasons) == 0, "messages": append([]string{}, reasons...)}, nil
}

// candidate reads the subject of the path and the schema of the body.
func candidate(r *http.Request) (subject, text string, schema *avro.Schema, err error) {
	if subject, err = subjectOf(r); err != nil {
		return "", "", nil, err
	}
	var body submission
	if err := read(r, &body); err != nil {
		return "", "", nil, err
	}
	if err := body.check(); err != nil {
		return "", "", nil, err
	}
	text, schema, err = parse(body.Schema)
	return subject, text, schema, err
}

// subjectOf reads the subject of the path, which becomes a part of the log and of error texts.
func subjectOf(r *http.Request) (string, error) {
	subject := r.PathValue("subject")
	if subject == "" || len(subject) > maxSubject || !utf8.ValidString(subject) || strings.ContainsFunc(subject, unicode.IsControl) {
		return "", &fault{422, 42208, fmt.Sprintf("the name of a subject is a text of 1 to %d bytes without control characters", maxSubject)}
	}
	return subject, nil
}

func subjectNotFound(subject string) error {
	return &fault{http.StatusNotFound, 40401, fmt.Sprintf("subject %q not found", subject)}
}
