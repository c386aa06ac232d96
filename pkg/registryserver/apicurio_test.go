//go:build e2e

package registryserver

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"orderflow/pkg/freeport"
)

// The same journey on a registry that others have made: what holds here holds for a registry that an operator brings.
func TestJourneyOnApicurio(t *testing.T) {
	url := startApicurio(t)
	journey(t, newClient(t, url+"/apis/ccompat/v7"))
}

// startApicurio runs the registry that deploy/registry/fetch.sh has put there, in memory, and waits until it answers.
func startApicurio(t *testing.T) string {
	t.Helper()
	jars, err := filepath.Glob("../../deploy/registry/dist/*-runner.jar")
	if err != nil || len(jars) != 1 {
		t.Fatalf("no Apicurio Registry, run deploy/registry/fetch.sh: %v %v", jars, err)
	}
	jar, err := filepath.Abs(jars[0])
	if err != nil {
		t.Fatal(err)
	}
	addr, err := freeport.Addr() // it takes its port seconds from now
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(addr)
	var said bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port="+port, "-jar", jar)
	cmd.Dir, cmd.Env = t.TempDir(), []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Apicurio: %v", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("Apicurio said:\n%.5000s", said.String())
		}
	})
	url := "http://" + addr
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if answer, err := http.Get(url + "/apis/ccompat/v7/subjects"); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return url
			}
		}
		select {
		case <-ticker.C:
		case <-ended:
			t.Fatal("Apicurio ended")
		case <-ctx.Done():
			t.Fatal("Apicurio does not answer")
		}
	}
}
