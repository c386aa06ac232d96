package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"orderflow/pkg/boot"
	"orderflow/pkg/bustest"
	"orderflow/pkg/event"
	"orderflow/pkg/partner/okki"
	"orderflow/pkg/receipt"
	"orderflow/pkg/source"
	"orderflow/pkg/source/icbu"
	"orderflow/pkg/source/mall"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	icbuKey    = "12345678"
	icbuSecret = "testsecret0123456789abcdef" // that of protocols 2.5
	mallApp1   = "EZP"
	mallToken  = "9cd8c0ed38a9e113" // that of protocols 4.1
	token      = "tok-procurement-1"
	receiptKey = "2026=bmV3LW5ldy1uZXctbmV3LW5ldy1uZXc="
)

// ingest is the service as it runs, beside a Kafka of its own.
type ingest struct {
	t       *testing.T
	broker  *bustest.Broker
	url     string
	metrics *prometheus.Registry
	log     *observer.ObservedLogs
	stop    func() // asks for a graceful stop and waits for its end
}

func settings(broker *bustest.Broker) *Settings {
	return &Settings{
		Kafka: broker.Settings,
		OKKI: okki.Settings{
			URL: "http://127.0.0.1:1/router/rest", SignMethod: "md5",
			Credentials: okki.Credentials{AppKey: "k", AppSecret: "s"},
		},
		Receipt: receipt.Settings{Keys: receiptKey},
		Ingest: Door{
			ICBUSecrets:       icbuKey + "=former," + icbuKey + "=" + icbuSecret + ",87654321=other",
			ProcurementTokens: token + ",tok-procurement-2",
			MallApps:          mallApp1 + "=" + mallToken + "," + mallApp1 + "=next-token,BRAND=tok:md5",
			SignatureWindow:   10 * time.Minute, MaxInFlight: 1024, QuarantineRate: 100, Unreadable: unreadableAccept,
		},
	}
}

// patient gives Kafka nearly as long as a connection may take, for a test that is not about Kafka's being slow. It comes before
// start.
func patient(t *testing.T) {
	ack, kept := ackTimeout, quarantineTimeout
	t.Cleanup(func() { ackTimeout, quarantineTimeout = ack, kept })
	ackTimeout, quarantineTimeout = 20*time.Second, 20*time.Second
}

// start runs ingest with the settings as changed, and waits until it is ready.
func start(t *testing.T, changes ...func(*Settings)) *ingest {
	t.Helper()
	broker := bustest.Start(t)
	cfg := settings(broker)
	for _, change := range changes {
		change(cfg)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	p := &boot.Process{Name: service, Log: zap.New(core), Health: boot.NewHealth(), Metrics: prometheus.NewRegistry()}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- takePushes(ctx, p, cfg, listener) }()
	in := &ingest{t: t, broker: broker, url: "http://" + listener.Addr().String(), metrics: p.Metrics, log: logs}
	in.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ingest ended with %v", err)
		}
		ended <- nil // stopping twice is harmless
	}
	t.Cleanup(in.stop)
	in.await("ready", func() bool { return in.get("/readyz").status == http.StatusOK })
	return in
}

// await polls until the condition holds.
func (in *ingest) await(what string, holds func() bool) {
	in.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(bustest.Patience); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			in.t.Fatalf("still not %s after %s", what, bustest.Patience)
		}
	}
}

// told is an answer as the sender sees it.
type toldAnswer struct {
	status int
	header http.Header
	body   string
}

func (in *ingest) do(r *http.Request) toldAnswer {
	in.t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		in.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		in.t.Fatalf("read the answer: %v", err)
	}
	return toldAnswer{response.StatusCode, response.Header, string(content)}
}

func (in *ingest) get(path string) toldAnswer {
	in.t.Helper()
	return in.do(in.request(http.MethodGet, path, "", nil))
}

func (in *ingest) request(method, path, contentType string, content []byte) *http.Request {
	in.t.Helper()
	r, err := http.NewRequestWithContext(in.t.Context(), method, in.url+path, bytes.NewReader(content))
	if err != nil {
		in.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func (in *ingest) post(path, contentType string, content []byte) toldAnswer {
	in.t.Helper()
	return in.do(in.request(http.MethodPost, path, contentType, content))
}

const (
	jsonType = "application/json;charset=utf-8"
	formType = "application/x-www-form-urlencoded"
)

// icbuAddress is the address of an ICBU call made at a time and signed by a secret.
func icbuAddress(key, secret string, at time.Time, contentType string, content []byte) string {
	query := url.Values{
		"method": {okki.Method}, "app_key": {key}, "timestamp": {at.In(source.Zone).Format(source.TimeLayout)},
		"v": {"2.0"}, "format": {"json"}, "sign_method": {"md5"},
	}
	signed := icbu.SPIRequest{RawQuery: query.Encode(), Header: http.Header{"Content-Type": {contentType}}, Body: content}
	query.Set("sign", icbu.SignSPI(secret, signed))
	return icbuPath + "?" + query.Encode()
}

// pushICBU pushes rightly signed content.
func (in *ingest) pushICBU(contentType string, content []byte) toldAnswer {
	in.t.Helper()
	return in.post(icbuAddress(icbuKey, icbuSecret, time.Now(), contentType, content), contentType, content)
}

func (in *ingest) pushProcurement(contentType string, content []byte) toldAnswer {
	in.t.Helper()
	return in.post(procurementPrefix+token+procurementSuffix, contentType, content)
}

// mallForm is EZR's form, signed at a time.
func mallForm(app, token, method string, at time.Time, args string) []byte {
	timestamp := at.In(source.Zone).Format(mall.TimestampLayout)
	return []byte(url.Values{
		"AppId": {app}, "Timestamp": {timestamp}, "AppSystem": {"shop"}, "Args": {args},
		"Sign": {mall.Sign(method, app, timestamp, token)},
	}.Encode())
}

func (in *ingest) pushMall(args string) toldAnswer {
	in.t.Helper()
	return in.post(mallPath, formType, mallForm(mallApp1, mallToken, mall.SHA1, time.Now(), args))
}

// receipt reads the answer's receipt and holds it against what stands in Kafka.
func (in *ingest) receipt(a toldAnswer) (receipt.Receipt, []event.Message) {
	in.t.Helper()
	keys, err := receipt.ParseKeys(receiptKey)
	if err != nil {
		in.t.Fatal(err)
	}
	r, err := receipt.Parse(keys, a.header.Get(headerReceipt))
	if err != nil {
		in.t.Fatalf("receipt %q of HTTP %d %s: %v", a.header.Get(headerReceipt), a.status, a.body, err)
	}
	at := map[receipt.Record]event.Message{}
	for _, m := range in.broker.Read(r.Topic()) {
		at[receipt.Record{Partition: m.Partition, Offset: m.Offset}] = m
	}
	records := make([]event.Message, len(r.Records))
	for i, place := range r.Records {
		m, found := at[place]
		if !found {
			in.t.Fatalf("receipt names %+v, where nothing stands", place)
		}
		if m.Header(event.HeaderPushID) != r.PushID.String() {
			in.t.Fatalf("receipt of push %s names a record of push %s", r.PushID, m.Header(event.HeaderPushID))
		}
		records[i] = m
	}
	return r, records
}

// quarantined gives the requests kept for a cause.
func (in *ingest) quarantined(why cause) []event.Message {
	in.t.Helper()
	var kept []event.Message
	for _, m := range in.broker.Read(event.Quarantine) {
		if m.Header(headerCause) == string(why) {
			kept = append(kept, m)
		}
	}
	return kept
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// text is an answer as golden files hold it: what varies is checked for being there and replaced by its name.
func (a toldAnswer) text(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(http.StatusText(a.status) + "\n")
	for _, name := range []string{"Content-Type", "Retry-After", "Allow", "Accept-Encoding", headerReceipt} {
		value := a.header.Get(name)
		if value == "" {
			continue
		}
		if name == headerReceipt {
			value = "(receipt)"
		}
		b.WriteString(name + ": " + value + "\n")
	}
	b.WriteString("\n" + a.body + "\n")
	return b.String()
}
