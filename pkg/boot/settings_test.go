package boot

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

type section struct {
	Lanes int           `env:"T_LANES" envDefault:"4" doc:"keys in flight"`
	Wait  time.Duration `env:"T_WAIT" envDefault:"10m" doc:"longest wait"`
}

func (s *section) Validate() error {
	var errs []error
	if s.Lanes < 1 {
		errs = append(errs, errors.New("T_LANES: at least 1"))
	}
	if s.Wait <= 0 {
		errs = append(errs, errors.New("T_WAIT: more than 0"))
	}
	return errors.Join(errs...)
}

type serviceSettings struct {
	Settings
	Section section
	Secret  string `env:"T_SECRET,required" doc:"secret of the partner"`
	Port    uint16 `env:"T_PORT" doc:"port"`
}

func (s *serviceSettings) Validate() error {
	if s.Secret == "forbidden-value" {
		return errors.New("T_SECRET: not allowed")
	}
	return nil
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("from the file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		env  map[string]string
		want []string // the errors, by how their lines begin
	}{
		"defaults":             {env: map[string]string{"T_SECRET": "s"}},
		"secret from a file":   {env: map[string]string{"T_SECRET_FILE": file}},
		"an empty one is none": {env: map[string]string{"T_SECRET": "s", "T_WAIT": ""}},
		"everything at once": {
			env: map[string]string{
				"T_LANES": "hush-1", "T_WAIT": "-1s", "T_PORT": "hush-2", "OPS_ADDR": "hush", "LOG_LEVEL": "hush",
				"OTEL_EXPORTER_OTLP_ENDPOINT": "hush-3:4318",
			},
			want: []string{
				"T_LANES: not a valid whole number (", "T_SECRET: required, but not set (", "T_PORT: not a valid whole number from 0 up (",
				"OPS_ADDR: ", "LOG_LEVEL: ", "OTEL_EXPORTER_OTLP_ENDPOINT: ", "T_WAIT: more than 0",
			},
		},
		"own rule beside those of the sections": {
			env:  map[string]string{"T_SECRET": "forbidden-value", "T_LANES": "0", "LOG_LEVEL": "panic"},
			want: []string{"LOG_LEVEL: ", "T_LANES: at least 1", "T_SECRET: not allowed"},
		},
		"required and empty": {
			env:  map[string]string{"T_SECRET": ""},
			want: []string{"T_SECRET: required, but not set ("},
		},
		"both": {
			env:  map[string]string{"T_SECRET": "hush", "T_SECRET_FILE": file},
			want: []string{"T_SECRET and T_SECRET_FILE are both set"},
		},
		"file missing": {
			env:  map[string]string{"T_SECRET_FILE": file + ".gone"},
			want: []string{"T_SECRET_FILE: open "},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for key, value := range tt.env {
				t.Setenv(key, value)
			}
			var cfg serviceSettings
			err := Load(&cfg)
			var lines []string
			if err != nil {
				lines = strings.Split(err.Error(), "\n")
			}
			if len(lines) != len(tt.want) {
				t.Fatalf("errors:\n%v\nwant %d", err, len(tt.want))
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("error %d: %q, want %q...", i, lines[i], want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "forbidden-value")) {
				t.Errorf("a value is printed: %v", err)
			}
		})
	}
}

func TestLoadFillsSections(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("from the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("T_SECRET_FILE", file)
	t.Setenv("T_LANES", "8")
	var cfg serviceSettings
	if err := Load(&cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.Secret != "from the file" || cfg.Section.Lanes != 8 || cfg.Section.Wait != 10*time.Minute || cfg.OpsAddr != "127.0.0.1:9101" {
		t.Errorf("loaded %+v", cfg)
	}
}

// A section whose method is only promoted to the service's struct is asked twice but heard once.
func TestPromotedRuleIsHeardOnce(t *testing.T) {
	cfg := struct{ Settings }{Settings{OpsAddr: "x", LogLevel: "info"}}
	errs := validate(reflect.ValueOf(&cfg))
	if len(errs) != 1 || errs[0].Error() != "OPS_ADDR: not host:port" {
		t.Errorf("errors %v", errs)
	}
}

func TestUnexportedSectionIsAMistakeOfTheProgram(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a section that env cannot fill was taken")
		}
	}()
	_ = Load(&struct{ section }{})
}

func TestUsage(t *testing.T) {
	var out strings.Builder
	t.Setenv("T_SECRET", "hush")
	Usage(&out, "svc", &serviceSettings{Secret: "hush"})
	for _, want := range []string{
		"svc reads its settings from the environment; NAME_FILE names a file that holds NAME.",
		"SETTING ", "OPS_ADDR ", "127.0.0.1:9101", "T_WAIT ", "10m ", "longest wait", "T_SECRET ", "(required)", "secret of the partner",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "hush") {
		t.Errorf("a value is printed:\n%s", out.String())
	}
}
