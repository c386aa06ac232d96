package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"orderflow/pkg/event"
	"orderflow/pkg/order"
	"orderflow/pkg/source/mall"
)

// pushes is one good push of each source.
func (in *ingest) pushes() map[string]func() toldAnswer {
	return map[string]func() toldAnswer{
		"icbu":        func() toldAnswer { return in.pushICBU(jsonType, []byte(`{"ali_order_no":"P1"}`)) },
		"procurement": func() toldAnswer { return in.pushProcurement(jsonType, []byte(`{"order_info":{"order_id":"O1"}}`)) },
		"mall":        func() toldAnswer { return in.pushMall(`[` + mallOrder1 + `,` + mallOrder2 + `]`) },
	}
}

// everywhere pushes once to each source at the same time.
func (in *ingest) everywhere(check func(source string, a toldAnswer)) {
	var all sync.WaitGroup
	for source, push := range in.pushes() {
		all.Go(func() { check(source, push()) })
	}
	all.Wait()
}

func (in *ingest) refusedNow(name string) {
	in.t.Helper()
	inTime(in.t, 5*time.Second, func() {
		in.everywhere(func(source string, a toldAnswer) {
			if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.header.Get(headerReceipt) != "" {
				in.t.Errorf("%s: %d %v %s", source, a.status, a.header, a.body)
			}
			a.body = withoutSign(in.t, source, a.body)
			golden(in.t, source+"-again", a.text(in.t))
		})
	})
	if in.t.Failed() {
		in.t.Fatalf("%s: pushes were not told to try again", name)
	}
}

func (in *ingest) acceptedNow(name string) {
	in.t.Helper()
	in.everywhere(func(source string, a toldAnswer) {
		if a.status != http.StatusOK || a.header.Get(headerReceipt) == "" {
			in.t.Errorf("%s: %s: %d %s", name, source, a.status, a.body)
			return
		}
		in.receipt(a)
	})
}

// A broker that is gone: 503 in each dialect within 5 s, red; back again: green, and pushes are accepted.
func TestKafkaAway(t *testing.T) {
	in := start(t)
	in.acceptedNow("before")
	in.broker.Stop()
	in.refusedNow("away")
	in.await("red", func() bool { return in.get("/readyz").status == http.StatusServiceUnavailable })
	if a := in.get("/healthz"); a.status != http.StatusOK {
		t.Errorf("/healthz without Kafka: %d", a.status)
	}
	if a := in.post(icbuAddress(icbuKey, "wrong", time.Now(), jsonType, nil), jsonType, nil); a.body != icbuSignFailure {
		t.Errorf("a refusal needs no Kafka: %d %s", a.status, a.body)
	}
	if a := in.pushProcurement(jsonType, []byte("{")); a.status != http.StatusServiceUnavailable {
		t.Errorf("accepted into a quarantine that is away: %d %s", a.status, a.body)
	}
	in.broker.Restart()
	in.await("green", func() bool { return in.get("/readyz").status == http.StatusOK })
	in.acceptedNow("after")
}

// A broker that freezes: the connection stands, nothing is answered.
func TestKafkaFrozen(t *testing.T) {
	in := start(t)
	thaw := make(chan struct{})
	in.broker.Cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		in.broker.Cluster.KeepControl()
		in.broker.Cluster.SleepControl(func() { <-thaw })
		return nil, nil, false
	})
	in.refusedNow("frozen")
	in.await("red", func() bool { return in.get("/readyz").status == http.StatusServiceUnavailable })
	close(thaw)
	in.await("green", func() bool { return in.get("/readyz").status == http.StatusOK })
	in.acceptedNow("thawed")
}

// Kafka that answers, but not with an acknowledgement, is no reason to accept anything.
func TestNoAcceptanceWithoutAcknowledgement(t *testing.T) {
	in := start(t)
	in.broker.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	in.refusedNow("too few replicas")
}

// One order of a batch that cannot be written: the whole push is told to try again.
func TestHalfWrittenBatch(t *testing.T) {
	in := start(t)
	in.broker.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: event.Received(order.Mall), Partitions: []int32{0, 1, 2}, Err: kerr.MessageTooLarge, Count: -1})
	var orders []string
	for i := range mall.MaxBatch {
		orders = append(orders, fmt.Sprintf(`{"ShopCode":"S","Code":"%d"}`, i))
	}
	if a := in.pushMall("[" + strings.Join(orders, ",") + "]"); a.status != http.StatusServiceUnavailable || a.header.Get(headerReceipt) != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// While Kafka is frozen only as many pushes wait as there are slots; the others hear of it at once, and no source takes
// the slots that belong to another.
func TestInFlightIsCapped(t *testing.T) {
	patient(t)
	in := start(t, func(s *Settings) { s.Ingest.MaxInFlight = 8 })
	thaw := make(chan struct{})
	in.broker.Cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		in.broker.Cluster.KeepControl()
		in.broker.Cluster.SleepControl(func() { <-thaw })
		return nil, nil, false
	})
	var all sync.WaitGroup
	for range 4 { // icbu's own two and the two shared ones
		all.Go(func() { in.pushICBU(jsonType, []byte(`{"ali_order_no":"P1"}`)) })
	}
	in.await("full", func() bool { return in.gauge("orderflow_ingest_in_flight", "icbu") == 4 })
	a := in.pushICBU(jsonType, []byte(`{"ali_order_no":"P1"}`))
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.body != icbuAgain {
		t.Errorf("a push too many: %d %s", a.status, a.body)
	}
	if n := in.counter("orderflow_ingest_pushes_total", "icbu", outcomeOverloaded); n != 1 {
		t.Errorf("%v pushes counted as overloaded", n)
	}
	accepted := make(chan toldAnswer, 1)
	go func() { accepted <- in.pushProcurement(jsonType, []byte(`{"order_info":{"order_id":"O1"}}`)) }()
	in.await("procurement has its own slot", func() bool { return in.gauge("orderflow_ingest_in_flight", "procurement") == 1 })
	close(thaw)
	if a := <-accepted; a.status != http.StatusOK {
		t.Errorf("procurement: %d %s", a.status, a.body)
	}
	all.Wait()
}

// A graceful stop answers what it accepted, and takes nothing new.
func TestStopAnswersWhatItAccepted(t *testing.T) {
	patient(t)
	in := start(t)
	thaw := make(chan struct{})
	in.broker.Cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		in.broker.Cluster.SleepControl(func() { <-thaw })
		return nil, nil, false
	})
	answered := make(chan toldAnswer, 1)
	go func() { answered <- in.pushICBU(jsonType, []byte(`{"ali_order_no":"P1"}`)) }()
	in.await("in flight", func() bool { return in.gauge("orderflow_ingest_in_flight", "icbu") == 1 })
	stopped := make(chan struct{})
	go func() { in.stop(); close(stopped) }()
	in.await("deaf", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(in.url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(thaw)
	a := <-answered
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	<-stopped
	in.receipt(a)
}

// A sender that hangs, trickles or hangs up holds no slot and costs no push of others.
func TestSlowSendersCostNothing(t *testing.T) {
	patient(t)
	in := start(t, func(s *Settings) { s.Ingest.MaxInFlight = 4 })
	for i := range 100 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(in.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{", icbuPath, maxBody-i); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		in.acceptedNow("beside slow senders")
	}
}

// A body that never ends is cut off, told so, and counted.
func TestCutOffBody(t *testing.T) {
	in := start(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(in.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", mallPath); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(content), `"StatusCode":500`) {
		t.Errorf("%d %s %v", response.StatusCode, content, err)
	}
	if n := in.counter("orderflow_ingest_pushes_total", "mall", outcomeCutOff); n != 1 {
		t.Errorf("%v pushes counted as cut off", n)
	}
}

// A sender that hangs up while its push is being written must not fail the batch of the others.
func TestSenderHangsUp(t *testing.T) {
	patient(t)
	in := start(t)
	thaw := make(chan struct{})
	in.broker.Cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		in.broker.Cluster.SleepControl(func() { <-thaw })
		return nil, nil, false
	})
	ctx, hangUp := context.WithCancel(t.Context())
	content := []byte(`{"ali_order_no":"P1"}`)
	gone := make(chan error, 1)
	r := in.request(http.MethodPost, icbuAddress(icbuKey, icbuSecret, time.Now(), jsonType, content), jsonType, content).WithContext(ctx)
	go func() {
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = response.Body.Close()
		}
		gone <- err
	}()
	in.await("in flight", func() bool { return in.gauge("orderflow_ingest_in_flight", "icbu") == 1 })
	hangUp()
	if err := <-gone; err == nil {
		t.Fatal("the first push was answered")
	}
	stayed := make(chan toldAnswer, 1)
	go func() { stayed <- in.pushICBU(jsonType, content) }()
	in.await("both in flight", func() bool { return in.gauge("orderflow_ingest_in_flight", "icbu") == 2 })
	close(thaw)
	if a := <-stayed; a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Nothing of a push is logged but what may be seen: no body, no query, no token, no signature.
func TestLogsHoldNoSecretsAndNoContent(t *testing.T) {
	in := start(t)
	in.acceptedNow("first")
	in.pushProcurement(jsonType, []byte("{broken-content"))
	in.post(procurementPrefix+"wrong-token"+procurementSuffix, jsonType, []byte(`{}`))
	in.broker.Stop()
	in.refusedNow("away")
	in.stop()
	var b bytes.Buffer
	for _, entry := range in.log.All() {
		fmt.Fprintln(&b, entry.Message, entry.ContextMap())
	}
	if !strings.Contains(b.String(), "push answered") || !strings.Contains(b.String(), "push not written") {
		t.Fatalf("the log lacks its lines: %s", b.String())
	}
	for _, secret := range []string{token, "wrong-token", icbuSecret, mallToken, "sign=", "P1", "O1", "broken-content", "HQS0001", "app_key"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}
