package boot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/caarlos0/env/v11"
)

// Settings that every process reads; embed it in a service's own struct.
type Settings struct {
	OpsAddr  string `env:"OPS_ADDR" envDefault:"127.0.0.1:9101" doc:"address of /healthz, /readyz and /metrics"`
	LogLevel string `env:"LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error"`
	OTLP     string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" doc:"OTLP/HTTP collector for traces; empty: no traces"`
}

// common lets Main find the Settings inside a service's struct.
func (s *Settings) common() *Settings { return s }

// Common is a service's settings struct: it embeds Settings.
type Common interface{ common() *Settings }

// Validator is implemented by settings sections that check more than syntax. It reports every mistake at once, and never
// prints a value that may be a secret.
type Validator interface{ Validate() error }

// Load fills cfg, a pointer to a struct with `env`, `envDefault` and `doc` tags, from the environment. NAME_FILE names a
// file that holds the value of NAME. Every mistake is reported at once; values are never printed.
func Load(cfg any) error {
	environment, errs := withFiles(cfg, env.ToMap(os.Environ()))
	if err := env.ParseWithOptions(cfg, env.Options{Environment: environment}); err != nil {
		var all env.AggregateError
		if errors.As(err, &all) {
			for _, e := range all.Errors {
				errs = append(errs, quiet(e))
			}
		} else {
			errs = append(errs, quiet(err))
		}
	}
	errs = append(errs, validate(reflect.ValueOf(cfg))...)
	return errors.Join(errs...)
}

// withFiles replaces NAME by the content of NAME_FILE for every setting of cfg that is not given itself.
func withFiles(cfg any, environment map[string]string) (map[string]string, []error) {
	var errs []error
	for _, f := range fields(reflect.TypeOf(cfg)) {
		path := environment[f.name+"_FILE"]
		if path == "" || environment[f.name] != "" {
			continue
		}
		content, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		if err != nil {
			errs = append(errs, fmt.Errorf("%s_FILE: %w", f.name, err))
			continue
		}
		environment[f.name] = strings.TrimRight(string(content), "\r\n")
	}
	return environment, errs
}

// quiet strips the value out of a parse error: it may be a secret.
func quiet(err error) error {
	var parse env.ParseError
	if errors.As(err, &parse) {
		return fmt.Errorf("%s: not a valid %s", parse.Name, parse.Type)
	}
	return err
}

func validate(v reflect.Value) []error {
	var errs []error
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	for i := range v.NumField() {
		if field := v.Field(i); field.Kind() == reflect.Struct && v.Type().Field(i).IsExported() {
			errs = append(errs, validate(field)...)
		}
	}
	if check, ok := v.Addr().Interface().(Validator); ok && !promoted(v.Type()) {
		if err := check.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// promoted tells whether a struct has Validate only because an embedded section has it: that section was checked already.
func promoted(t reflect.Type) bool {
	own, _ := reflect.PointerTo(t).MethodByName("Validate")
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.Anonymous || f.Type.Kind() != reflect.Struct {
			continue
		}
		if _, ok := reflect.PointerTo(f.Type).MethodByName("Validate"); ok && own.Name != "" {
			return true
		}
	}
	return false
}

type setting struct{ name, fallback, doc string }

// fields lists the settings of a struct type and of its nested sections, in order.
func fields(t reflect.Type) []setting {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var all []setting
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		switch {
		case name != "":
			all = append(all, setting{name, f.Tag.Get("envDefault"), f.Tag.Get("doc")})
		case f.Type.Kind() == reflect.Struct:
			all = append(all, fields(f.Type)...)
		}
	}
	return all
}

// Usage prints the table of a service's settings.
func Usage(w io.Writer, name string, cfg any) {
	fmt.Fprintf(w, "%s reads its settings from the environment; NAME_FILE names a file that holds NAME.\n\n", name)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tDEFAULT\tMEANING")
	for _, f := range fields(reflect.TypeOf(cfg)) {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.name, f.fallback, f.doc)
	}
	_ = table.Flush()
}
