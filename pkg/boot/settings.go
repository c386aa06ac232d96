package boot

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/caarlos0/env/v11"
)

// Settings that every process reads; embed it in a service's own struct.
type Settings struct {
	OpsAddr  string `env:"OPS_ADDR" envDefault:"127.0.0.1:9101" doc:"address of /healthz, /readyz and /metrics"`
	LogLevel string `env:"LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error"`
	OTLP     string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" doc:"base URL of an OTLP/HTTP collector for traces; empty: no traces"`
}

// common lets Main find the Settings inside a service's struct.
func (s *Settings) common() *Settings { return s }

// Common is a service's settings struct: it embeds Settings.
type Common interface{ common() *Settings }

// Validator is implemented by settings sections that check more than syntax. It reports every mistake at once, names the
// setting first, and never prints a value that may be a secret.
type Validator interface{ Validate() error }

// Validate reports every mistake at once.
func (s *Settings) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(s.OpsAddr); err != nil {
		errs = append(errs, errors.New("OPS_ADDR: not host:port"))
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, s.LogLevel) {
		errs = append(errs, errors.New("LOG_LEVEL: not one of debug, info, warn, error"))
	}
	if s.OTLP != "" {
		if u, err := url.Parse(s.OTLP); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			errs = append(errs, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT: not an http or https URL"))
		}
	}
	return errors.Join(errs...)
}

// Load fills cfg, a pointer to a struct of `env`, `envDefault` and `doc` tags whose sections may be structs of the same
// kind, from the environment. NAME_FILE names a file that holds the value of NAME. Every mistake is reported at once,
// each on its own line with the setting's name; values are never printed.
func Load(cfg any) error {
	environment := env.ToMap(os.Environ())
	maps.DeleteFunc(environment, func(_, value string) bool { return value == "" }) // set to nothing is not set
	var errs []error
	unread := map[string]bool{}
	for _, s := range settings(reflect.TypeOf(cfg)) {
		err := fromFile(s.name, environment)
		if err == nil {
			err = s.check(environment)
		}
		if err != nil {
			errs, unread[s.name] = append(errs, err), true
		}
	}
	if err := env.ParseWithOptions(cfg, env.Options{Environment: environment}); err != nil && len(errs) == 0 {
		return fmt.Errorf("settings struct %T: %w", cfg, err) // each setting can be read, so the struct itself is at fault
	}
	for _, err := range validate(reflect.ValueOf(cfg)) {
		if name, _, _ := strings.Cut(err.Error(), ":"); !unread[name] { // what could not be read is empty: not a second mistake
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// setting is one tagged field.
type setting struct {
	name     string
	fallback string
	doc      string
	required bool
	field    reflect.StructField
}

// settings lists the tagged fields of a struct type and of its sections, in order.
func settings(t reflect.Type) []setting {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var all []setting
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("env"), ",")
		switch {
		case name != "":
			required := strings.Contains(options, "required") || strings.Contains(options, "notEmpty")
			all = append(all, setting{name, f.Tag.Get("envDefault"), f.Tag.Get("doc"), required, f})
		case f.Type.Kind() == reflect.Struct && !f.IsExported():
			panic("boot: settings section " + f.Name + " cannot be filled: export it")
		case f.Type.Kind() == reflect.Struct:
			all = append(all, settings(f.Type)...)
		}
	}
	return all
}

// fromFile puts the content of the file that NAME_FILE names where NAME is looked up.
func fromFile(name string, environment map[string]string) error {
	path := environment[name+"_FILE"]
	if path == "" {
		return nil
	}
	if environment[name] != "" {
		return fmt.Errorf("%s and %s_FILE are both set: give one of them", name, name)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s_FILE: %w", name, err)
	}
	environment[name] = strings.TrimRight(string(content), "\r\n")
	return nil
}

// check parses the setting by itself, so that a mistake can be told by the setting's name and without its value: env's
// own errors have it the other way round.
func (s setting) check(environment map[string]string) error {
	alone := reflect.New(reflect.StructOf([]reflect.StructField{s.field}))
	err := env.ParseWithOptions(alone.Interface(), env.Options{Environment: environment})
	if err == nil {
		return nil
	}
	if errors.Is(err, env.VarIsNotSetError{}) || errors.Is(err, env.EmptyVarError{}) {
		return fmt.Errorf("%s: required, but not set (%s)", s.name, s.doc)
	}
	return fmt.Errorf("%s: not a valid %s (%s)", s.name, kind(s.field.Type), s.doc)
}

// kind names a type as people write its values.
func kind(t reflect.Type) string {
	switch {
	case t.String() == "time.Duration":
		return "duration such as 500ms or 10m"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		return "whole number"
	case t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64:
		return "whole number from 0 up"
	case t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32:
		return "number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	default:
		return "value"
	}
}

// validate asks every section, the outermost last. A method that a struct only has from an embedded section runs twice,
// so what was said already is left out.
func validate(v reflect.Value) []error {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	var errs []error
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Type.Kind() == reflect.Struct && f.IsExported() && f.Tag.Get("env") == "" {
			errs = append(errs, validate(v.Field(i))...)
		}
	}
	if section, ok := v.Addr().Interface().(Validator); ok {
		for _, err := range flatten(section.Validate()) {
			said := func(e error) bool { return e.Error() == err.Error() }
			if !slices.ContainsFunc(errs, said) {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}

// Usage prints the table of a service's settings.
func Usage(w io.Writer, name string, cfg any) {
	_, _ = fmt.Fprintf(w, "%s reads its settings from the environment; NAME_FILE names a file that holds NAME.\n\n", name)
	_ = Table(w, cfg)
}

// Table prints the settings of a struct: name, default, meaning.
func Table(w io.Writer, cfg any) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SETTING\tDEFAULT\tMEANING")
	for _, s := range settings(reflect.TypeOf(cfg)) {
		fallback := s.fallback
		if s.required {
			fallback = "(required)"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.name, fallback, s.doc)
	}
	return table.Flush()
}
