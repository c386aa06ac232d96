package partner

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

func post(ctx context.Context, t *testing.T, url string) (Reply, *Error) {
	t.Helper()
	client := NewHTTPClient(2)
	defer client.CloseIdleConnections()
	reply, err := Post(ctx, client, url, "application/json", []byte(`{"a":1}`))
	if err == nil {
		return reply, nil
	}
	failed, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error is a %T: %v", err, err)
	}
	return reply, failed
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// inBubble serves through memory, on a clock that jumps when everybody waits: however busy the machine is, neither a deadline
// of the test nor a patience of the transport ends while somebody is still at work.
func inBubble(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, client *http.Client, url string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var network kfake.VirtualNetwork
		listener, err := network.Listen("tcp", "localhost:80")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(listener) }()
		defer func() { _ = server.Close() }()
		client := NewHTTPClient(4)
		defer client.CloseIdleConnections()
		client.Transport.(*http.Transport).DialContext = network.DialContext
		test(t, client, "http://localhost:80")
	})
}

// taken waits for the whole call. A head that is answered before the body was asked for is no call yet, and would fail as one
// that was not made.
func taken(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }

func TestPostSucceeds(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != `{"a":1}` || r.ContentLength != 7 || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %q (%d bytes announced), %v", body, r.ContentLength, err)
		}
		_, _ = w.Write([]byte("answer"))
	})
	reply, failed := post(t.Context(), t, url)
	if failed != nil || string(reply.Body) != "answer" {
		t.Errorf("reply %q, %v", reply.Body, failed)
	}
}

func TestPostStatus(t *testing.T) {
	for status, want := range map[int]Class{
		201: Unknown, 204: Unknown, 400: Unknown, 408: Unknown, 500: Unknown, 502: Unknown, 503: Unknown, 504: Unknown,
		429: NotTaken, 413: TooLarge,
		301: Configuration, 307: Configuration, 401: Configuration, 403: Configuration, 404: Configuration, 405: Configuration,
	} {
		var calls atomic.Int32
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		})
		_, failed := post(t.Context(), t, url)
		if failed == nil || failed.Class != want || !strings.HasPrefix(failed.Code, "http-") || failed.RetryAfter != 7*time.Second {
			t.Errorf("status %d: %+v, want %s after 7s", status, failed, want)
		}
		if calls.Load() != 1 {
			t.Errorf("status %d: %d calls", status, calls.Load())
		}
	}
}

func TestPostConnectionRefused(t *testing.T) {
	// A port that was closed just now may be somebody else's in a moment.
	_, failed := post(t.Context(), t, "http://127.0.0.1:1/?sign=SECRET")
	if failed == nil || failed.Class != NotTaken || failed.Code != CodeRefused || !errors.Is(failed, syscall.ECONNREFUSED) {
		t.Errorf("refused connection: %v", failed)
	}
	if strings.Contains(failed.Error(), "SECRET") {
		t.Errorf("the URL stands in the error: %v", failed)
	}
}

func TestPostCut(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"before the head": func(_ http.ResponseWriter, r *http.Request) {
			taken(r)
			panic(http.ErrAbortHandler)
		},
		"inside the body": func(w http.ResponseWriter, r *http.Request) {
			taken(r)
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
			panic(http.ErrAbortHandler)
		},
		"inside a chunk": func(w http.ResponseWriter, r *http.Request) {
			taken(r)
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		_, failed := post(t.Context(), t, serve(t, handler))
		if failed == nil || failed.Class != Unknown || failed.Code != CodeCut {
			t.Errorf("%s: %v", name, failed)
		}
	}
}

func TestPostTimeout(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) {
			taken(r)
			<-r.Context().Done()
		},
		"half an answer": func(w http.ResponseWriter, r *http.Request) {
			taken(r)
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		inBubble(t, handler, func(t *testing.T, client *http.Client, url string) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err := Post(ctx, client, url, "application/json", []byte(`{"a":1}`))
			failed, ok := errors.AsType[*Error](err)
			if !ok || failed.Class != Unknown || failed.Code != CodeTimeout || !errors.Is(failed, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestPostCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		taken(r)
		cancel()
		<-r.Context().Done()
	})
	_, failed := post(ctx, t, url)
	if failed == nil || failed.Class != Unknown || failed.Code != CodeCancelled {
		t.Errorf("cancelled while waiting: %v", failed)
	}
}

// A call whose deadline has passed is not made, whatever point it had reached: a frozen process wakes up like this.
func TestPostNeverSendsLate(t *testing.T) {
	var calls atomic.Int32
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		// The head of a call may be on its way before its body is asked for; without the body it is no call.
		if content, err := io.ReadAll(r.Body); err == nil && len(content) > 0 {
			calls.Add(1)
		}
	})
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, failed := post(ctx, t, url); failed == nil || failed.Class != NotTaken {
		t.Errorf("late before the connection: %v", failed)
	}
	if got := lateConnection(t, url); got == nil || got.Class != NotTaken || got.Code != CodeTimeout {
		t.Errorf("late with a connection: %v", got)
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls were made", calls.Load())
	}
}

// lateConnection makes a call whose deadline passes without anybody noticing while the connection is made.
func lateConnection(t *testing.T, url string) *Error {
	t.Helper()
	ctx := &frozen{Context: t.Context()}
	client := NewHTTPClient(1)
	defer client.CloseIdleConnections()
	transport := client.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(dialContext context.Context, network, address string) (net.Conn, error) {
		connection, err := dial(context.WithoutCancel(dialContext), network, address)
		ctx.passed.Store(true)
		return connection, err
	}
	_, err := Post(ctx, client, url, "application/json", []byte(`{"a":1}`))
	failed, _ := errors.AsType[*Error](err)
	return failed
}

// frozen is a context whose timer has not fired yet although its deadline has passed.
type frozen struct {
	context.Context
	passed atomic.Bool
}

func (f *frozen) Deadline() (time.Time, bool) {
	if f.passed.Load() {
		return time.Now().Add(-time.Second), true
	}
	return time.Now().Add(time.Hour), true
}

func TestSealedSendingStaysUnsent(t *testing.T) {
	s := &sending{ctx: t.Context(), content: []byte("x")}
	if s.seal() {
		t.Error("an unread body counts as sent")
	}
	body, err := s.body()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := body.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes of a sealed body, %v", n, err)
	}
}

func TestPostBoundsTheAnswer(t *testing.T) {
	for size, want := range map[int]Class{maxAnswer: "", maxAnswer + 1: Unknown} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), size)) })
		_, failed := post(t.Context(), t, url)
		if want == "" && failed != nil {
			t.Errorf("%d bytes: %v", size, failed)
		}
		if want != "" && (failed == nil || failed.Class != want || failed.Code != CodeAnswerTooLong) {
			t.Errorf("%d bytes: %v", size, failed)
		}
	}
}

// What a partner sends in place of HTTP never reaches an error text.
func TestPostQuotesNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(connection)); err == nil {
				taken(r)
			}
			_, _ = connection.Write([]byte("HTTP/1.1 13122136787 PERSON\r\n\r\n"))
			_ = connection.Close()
		}
	}()
	_, failed := post(t.Context(), t, "http://"+listener.Addr().String())
	if failed == nil || failed.Class != Unknown {
		t.Fatalf("no HTTP: %v", failed)
	}
	if text := failed.Error(); strings.Contains(text, "13122136787") || strings.Contains(text, "PERSON") {
		t.Errorf("the partner is quoted: %v", text)
	}
}

func TestPostReusesConnections(t *testing.T) {
	busy := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("busy"))
	}
	inBubble(t, busy, func(t *testing.T, client *http.Client, url string) {
		var opened atomic.Int32
		transport := client.Transport.(*http.Transport)
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			opened.Add(1)
			return dial(ctx, network, address)
		}
		for range 5 {
			if _, err := Post(t.Context(), client, url, "text/plain", []byte("x")); err == nil {
				t.Fatal("503 is no success")
			}
		}
		if opened.Load() != 1 {
			t.Errorf("%d connections for 5 calls in a row", opened.Load())
		}
	})
}

func TestPostUntrustedCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	_, failed := post(t.Context(), t, server.URL)
	if failed == nil || failed.Class != Configuration || failed.Code != CodeCertificate {
		t.Errorf("untrusted certificate: %v", failed)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"30":                            30 * time.Second,
		" 30 ":                          30 * time.Second,
		"-5":                            0,
		"1.5":                           0,
		"soon":                          0,
		"99999999999999999999":          0,
		"4294967295":                    maxRetryAfter,
		"Sun, 22 Nov 2026 08:00:45 GMT": 45 * time.Second,
		"Sun, 22 Nov 2026 07:00:00 GMT": 0,
		"Sun, 22 Nov 2096 07:00:00 GMT": maxRetryAfter,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("Retry-After %q: %v, want %v", text, got, want)
		}
	}
}

func TestParseURL(t *testing.T) {
	for raw, fine := range map[string]bool{
		"http://127.0.0.1:8099/router/rest": true, "https://eco.taobao.com/router/rest?a=b": true,
		"": false, "127.0.0.1:8099": false, "ftp://host": false, "http://": false, "https://u:hunter2@host": false,
		"https://host/#x": false, "http://a b": false,
	} {
		_, err := ParseURL(raw)
		if (err == nil) != fine {
			t.Errorf("%q: %v", raw, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the value is quoted: %v", err)
		}
	}
}
