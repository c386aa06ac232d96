package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkExport exports b.N orders with a process of its own and tells its greatest resident memory. The million:
//
//	go test -run '^$' -bench Export -benchtime 1000000x ./services/orderctl
func BenchmarkExport(b *testing.B) {
	program := filepath.Join(b.TempDir(), "orderctl")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	w := newAnalystsWorld(b)
	w.publishMany(b.N)
	out := filepath.Join(b.TempDir(), "orders.parquet")
	cmd := exec.CommandContext(b.Context(), program, "orders", "export", "--incomplete",
		"--from", noon.Format(time.RFC3339), "--to", noon.Add(time.Hour).Format(time.RFC3339), "--out", out)
	cmd.Env = os.Environ()
	for name, value := range w.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	b.ResetTimer()
	text, err := cmd.CombinedOutput()
	b.StopTimer()
	if err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	b.ReportMetric(float64(usage.Maxrss)/1024, "MiB-rss")
	b.ReportMetric(cmd.ProcessState.UserTime().Seconds()+cmd.ProcessState.SystemTime().Seconds(), "cpu-s")
	b.ReportMetric(b.Elapsed().Seconds(), "s")
	b.Logf("%d orders\n%s", b.N, text)
}

// publishMany writes n orders, a transaction for each 500 as validate does, and one in ten of them once more: corrected.
func (w *analystsWorld) publishMany(n int) {
	ctx := context.Background()
	const batch = 500
	for from := 0; from < n; from += batch {
		if err := w.client.BeginTransaction(); err != nil {
			w.Fatal(err)
		}
		for i := from; i < min(from+batch, n); i++ {
			r := sale(i, noon.Add(time.Duration(i)*time.Millisecond), fmt.Sprintf("%d.%02d", i%1000, i%100))
			w.client.Produce(ctx, w.record(&r), nil)
			if i%10 == 0 {
				r.Revision += 1 << 40
				w.client.Produce(ctx, w.record(&r), nil)
			}
		}
		if err := w.client.Flush(ctx); err != nil {
			w.Fatal(err)
		}
		if err := w.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			w.Fatal(err)
		}
	}
}
