// Package tools holds the pinned tools of the house, outside go.work, and the tests of the deployment files, whose parsers
// no service should have to carry.
package tools

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

const root = "../.."

// notInCompose are the programs that are no daemons of a deployment: local is what compose replaces.
var notInCompose = []string{"local", "orderctl", "chaos"}

func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithInterpolation(true))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return p
}

// daemons are the folders of services with a main.go that keep running.
func daemons(t *testing.T) []string {
	t.Helper()
	mains, err := filepath.Glob(filepath.Join(root, "services", "*", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range mains {
		if name := filepath.Base(filepath.Dir(path)); !slices.Contains(notInCompose, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatal("no service has a main.go")
	}
	return names
}

// built are the services of the project that come from the house's Dockerfile, by the SERVICE they are built with.
func built(p *types.Project) map[string]types.ServiceConfig {
	all := map[string]types.ServiceConfig{}
	for name, s := range p.Services {
		if s.Build != nil {
			all[name] = s
		}
	}
	return all
}

func TestComposeRunsEveryDaemon(t *testing.T) {
	p := project(t)
	for _, name := range daemons(t) {
		s, ok := p.Services[name]
		if !ok {
			t.Errorf("service %s is not in docker-compose.yml", name)
			continue
		}
		if arg := s.Build.Args["SERVICE"]; arg == nil || *arg != name {
			t.Errorf("%s is built with SERVICE=%v", name, arg)
		}
		if s.HealthCheck == nil || !slices.Contains(s.HealthCheck.Test, "healthcheck") {
			t.Errorf("%s has no health check of its own", name)
		}
	}
	for name, s := range built(p) {
		folder := *s.Build.Args["SERVICE"]
		if _, err := os.Stat(filepath.Join(root, "services", folder, "main.go")); err != nil {
			t.Errorf("%s is built from services/%s, which has no main.go", name, folder)
		}
		if s.Build.Context != p.WorkingDir || s.Build.Dockerfile != "deploy/Dockerfile" {
			t.Errorf("%s is built from %s with %s", name, s.Build.Context, s.Build.Dockerfile)
		}
	}
}

// Whoever needs Kafka or PostgreSQL starts after both are healthy, migrated, and have their topics.
func TestComposeStartOrder(t *testing.T) {
	want := map[string]string{
		"kafka":    types.ServiceConditionHealthy,
		"postgres": types.ServiceConditionHealthy,
		"migrate":  types.ServiceConditionCompletedSuccessfully,
		"topics":   types.ServiceConditionCompletedSuccessfully,
	}
	p := project(t)
	for _, name := range daemons(t) {
		s := p.Services[name]
		if s.Environment["KAFKA_BROKERS"] == nil {
			continue
		}
		for on, condition := range want {
			if got := s.DependsOn[on].Condition; got != condition {
				t.Errorf("%s waits for %s to be %q, want %q", name, on, got, condition)
			}
		}
	}
}

// A misspelt variable is silently ignored by a process, so every one must stand in the table that the service prints.
func TestComposeVariablesAreSettings(t *testing.T) {
	bin := t.TempDir()
	args := []string{"build", "-o", bin}
	for _, name := range daemons(t) {
		args = append(args, "./services/"+name)
	}
	build := exec.Command("go", args...)
	build.Dir = root
	build.Env = append(os.Environ(), "GOWORK=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	setting := regexp.MustCompile(`(?m)^([A-Z][A-Z0-9_]+)\s`)
	for name, s := range built(project(t)) {
		folder := *s.Build.Args["SERVICE"]
		if folder == "orderctl" {
			continue // a command line, with a table per command
		}
		table, err := exec.Command(filepath.Join(bin, folder), "-h").Output()
		if err != nil {
			t.Errorf("%s -h: %v", folder, err)
			continue
		}
		var known []string
		for _, m := range setting.FindAllSubmatch(table, -1) {
			known = append(known, string(m[1]))
		}
		for variable := range s.Environment {
			if !slices.Contains(known, variable) {
				t.Errorf("%s sets %s, which %s does not know", name, variable, folder)
			}
		}
	}
}

// Whoever writes or reads Avro knows the registry by its Confluent address, whose state outlives a restart.
func TestComposeRegistry(t *testing.T) {
	p := project(t)
	registry, ok := p.Services["registry"]
	if !ok || !regexp.MustCompile(`^apicurio/apicurio-registry:\d+\.\d+\.\d+$`).MatchString(registry.Image) {
		t.Errorf("the registry is %q, not a pinned Apicurio Registry", registry.Image)
	}
	if kind := registry.Environment["APICURIO_STORAGE_KIND"]; kind == nil || *kind != "kafkasql" {
		t.Error("the registry forgets its ids when it is started again")
	}
	url := p.Services["validate"].Environment["SCHEMA_REGISTRY_URL"]
	if url == nil || !strings.HasPrefix(*url, "http://registry:") || !strings.HasSuffix(*url, "/apis/ccompat/v7") {
		t.Errorf("validate does not know the registry: %v", url)
	}
	for name, s := range built(p) {
		if _, waits := s.DependsOn["registry"]; !waits && s.Environment["SCHEMA_REGISTRY_URL"] != nil {
			t.Errorf("%s does not wait for the registry", name)
		}
	}
}

func TestComposeShowsNothingButLoopback(t *testing.T) {
	for name, s := range project(t).Services {
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", name, port.Published, port.HostIP)
			}
		}
	}
}

// Its secrets are everybody's: each must say so, or come from outside.
func TestComposeSecretsAreMarked(t *testing.T) {
	secret := regexp.MustCompile(`SECRET|TOKEN|PASSWORD|KEYS|MALL_APPS|USERS`)
	for name, s := range project(t).Services {
		for variable, value := range s.Environment {
			if !secret.MatchString(variable) || value == nil {
				continue
			}
			if !strings.Contains(*value, "dev-only") && !strings.HasPrefix(*value, "dev=") {
				t.Errorf("%s: the default of %s does not call itself dev-only", name, variable)
			}
		}
	}
}

// A hash is full of dollar signs, which mean something else to compose.
func TestComposeUsersCanLogIn(t *testing.T) {
	users := project(t).Services["console"].Environment["CONSOLE_USERS"]
	entry := regexp.MustCompile(`^[a-z-]+:(viewer|operator|approver):\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)
	if users == nil {
		t.Fatal("the console has no users")
	}
	for _, one := range strings.Split(*users, ",") {
		if !entry.MatchString(one) {
			t.Errorf("%q is not name:role:bcrypt", one)
		}
	}
}

func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("Dockerfile: %v", err)
	}
	all, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatalf("Dockerfile: %v", err)
	}
	return all
}

func TestDockerfile(t *testing.T) {
	all := stages(t)
	last := all[len(all)-1]
	var user string
	var known []string
	for _, stage := range all {
		if base := stage.BaseName; base != "scratch" && (!strings.Contains(base, ":") || strings.HasSuffix(base, ":latest")) {
			t.Errorf("stage %q: the base %s is not pinned", stage.Name, base)
		}
		for _, command := range stage.Commands {
			switch c := command.(type) {
			case *instructions.CopyCommand:
				if c.From != "" && !slices.Contains(known, c.From) {
					t.Errorf("COPY --from=%s: there is no such stage before it", c.From)
				}
			case *instructions.UserCommand:
				if stage.Name == last.Name {
					user = c.User
				}
			}
		}
		known = append(known, stage.Name)
	}
	// By number: an orchestrator that insists on a user other than root cannot look up a name.
	if !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(user) {
		t.Errorf("the image runs as %q, want a number other than 0", user)
	}
}

// The image builds with the toolchain that the workspace asks for, or a newer one, from files that .dockerignore lets in.
func TestDockerfileFitsTheWorkspace(t *testing.T) {
	work, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(work)
	if version == nil || !strings.HasPrefix(stages(t)[0].BaseName, "golang:"+string(version[1])) {
		t.Errorf("the builder is %s, go.work wants %s", stages(t)[0].BaseName, version)
	}
	ignore, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\s+\./(\S+)`).FindAllSubmatch(work, -1) {
		if !bytes.Contains(ignore, append([]byte("!"), m[1]...)) {
			t.Errorf(".dockerignore keeps the module %s out", m[1])
		}
		if _, err := os.Stat(filepath.Join(root, string(m[1]), "go.mod")); err != nil {
			t.Error(err)
		}
	}
}
