package registryserver

import (
	"fmt"
	"net/http"
)

func (g *Registry) config(r *http.Request) (any, error) {
	if err := g.catchUp(r.Context()); err != nil {
		return nil, err
	}
	subject := r.PathValue("subject")
	var own, effective level
	var ok bool
	g.look(func(s *state) { own, ok = s.levels[subject]; effective = s.level(subject) })
	if subject != "" && !ok && r.URL.Query().Get("defaultToGlobal") != "true" {
		return nil, &fault{http.StatusNotFound, 40408, fmt.Sprintf("subject %q has no level of its own", subject)}
	}
	if ok {
		effective = own
	}
	return map[string]level{"compatibilityLevel": effective}, nil
}

func (g *Registry) putConfig(r *http.Request) (any, error) {
	subject, err := optionalSubject(r)
	if err != nil {
		return nil, err
	}
	var body setting
	if err := read(r, &body); err != nil {
		return nil, err
	}
	if !body.Level.known() {
		return nil, &fault{422, 42203, fmt.Sprintf("the compatibility level is not one of %v", levels)}
	}
	return body, g.setLevel(r.Context(), subject, body.Level)
}

func (g *Registry) deleteConfig(r *http.Request) (any, error) {
	subject, err := optionalSubject(r)
	if err != nil {
		return nil, err
	}
	was, ok, err := g.resetLevel(r.Context(), subject)
	if err != nil {
		return nil, err
	}
	if !ok && subject != "" {
		return nil, &fault{http.StatusNotFound, 40408, fmt.Sprintf("subject %q has no level of its own", subject)}
	}
	if !ok {
		was = defaultLevel
	}
	return setting{was}, nil
}

// mode is what clients ask before they register: this registry always takes new versions.
func (g *Registry) mode(r *http.Request) (any, error) {
	if subject := r.PathValue("subject"); subject != "" && r.URL.Query().Get("defaultToGlobal") != "true" {
		return nil, &fault{http.StatusNotFound, 40409, fmt.Sprintf("subject %.200q has no mode of its own", subject)}
	}
	return map[string]string{"mode": "READWRITE"}, nil
}

// optionalSubject reads the subject of the path; none stands for all subjects.
func optionalSubject(r *http.Request) (string, error) {
	if r.PathValue("subject") == "" {
		return "", nil
	}
	return subjectOf(r)
}
