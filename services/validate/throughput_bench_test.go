package main

import (
	"bytes"
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"orderflow/pkg/boot"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/judge"
	"orderflow/pkg/order"
	"orderflow/pkg/worker"
)

// BenchmarkThroughput is validate from the received topic to the committed transaction, on the embedded broker in this process:
// with the analysts' record in the transaction, and with the document alone as it was before there was orders.v1.
//
//	go test -run '^$' -bench Throughput -benchtime 100000x ./services/validate
func BenchmarkThroughput(b *testing.B) {
	alone := func(in event.Message) ([]event.Message, error) {
		passed, err := judge.Judge(in)
		return []event.Message{passed.Document}, err
	}
	both := newTransform(b).apply
	b.Run("document", func(b *testing.B) { throughput(b, alone) })
	b.Run("document+record", func(b *testing.B) { throughput(b, both) })
}

func throughput(b *testing.B, transform worker.Transform) {
	broker := bustest.Start(b)
	seed := mallSeed(b)
	messages := make([]event.Message, b.N)
	for i := range messages {
		code := fmt.Sprintf("B%09d", i)
		body := bytes.Replace(seed.body, []byte(`"0000128092"`), []byte(`"`+code+`"`), 1)
		messages[i] = record(order.Mall, order.Key("mall:HQS0001:"+code), string(body))
	}
	for from := 0; from < len(messages); from += 1000 {
		receive(b, broker, messages[from:min(from+1000, len(messages))]...)
	}
	var cfg worker.Settings
	b.Setenv("WORKER_SLOT", "0")
	if err := boot.Load(&cfg); err != nil {
		b.Fatal(err)
	}
	loop := worker.Transactions{
		Service: service, Transform: transform, Stamp: judge.Stamp, Topics: []string{event.Received(order.Mall)}, Settings: cfg, Bus: broker.Settings,
		Process: &boot.Process{Name: service, Log: zap.NewNop(), Health: boot.NewHealth(), Metrics: prometheus.NewRegistry()},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	before := cpuTime(b)
	b.ResetTimer()
	go func() { ended <- loop.Run(ctx) }()
	broker.WaitCommitted(service, event.Received(order.Mall), int64(b.N))
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/order") // whatever else the machine does
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}

// cpuTime is what this process has used of its cores, the broker included.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// mallSeed is the example of the contract, whose number is 0000128092.
func mallSeed(b *testing.B) example {
	for _, e := range examples(b) {
		if e.source == order.Mall && e.name == "mall/good-seed" && bytes.Contains(e.body, []byte(`"0000128092"`)) {
			return e
		}
	}
	b.Fatal("no seed")
	return example{}
}
