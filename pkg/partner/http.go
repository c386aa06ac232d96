package partner

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Bounds of one exchange. An answer echoes at most what was sent (1 MiB) and adds little.
const (
	maxAnswer      = 4 << 20
	maxHeader      = 64 << 10
	connectTimeout = 5 * time.Second
	callTimeout    = 30 * time.Second // where the caller gave no deadline; the read timeout of Alibaba's own SDK
	idleTimeout    = 20 * time.Second // below the usual keep-alive of gateways, so that they rarely hang up on a call
	maxRetryAfter  = 24 * time.Hour
)

// Codes of an exchange that brought no answer of the partner; a status other than 200 gives "http-<status>".
const (
	CodeTimeout       = "timeout"
	CodeCancelled     = "cancelled"
	CodeRefused       = "connection-refused"
	CodeNotConnected  = "not-connected"
	CodeCut           = "connection-cut"
	CodeCertificate   = "bad-certificate"
	CodeBrokenAnswer  = "broken-answer"
	CodeAnswerTooLong = "answer-too-large"
)

// ParseURL reads the address of a partner from a setting. Its error never quotes the value, which may hold a password.
func ParseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("not an http or https URL")
	}
	if u.User != nil || u.Fragment != "" {
		return nil, errors.New("a URL without user and fragment is wanted")
	}
	return u, nil
}

// NewHTTPClient returns the HTTP client of one partner: at most conns connections, kept and reused. It speaks HTTP/1.1, so
// that a cut connection hits one call only, and follows no redirect, since that would hand an order to somebody else.
func NewHTTPClient(conns int) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:    connectTimeout,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			Protocols:              protocols,
			MaxConnsPerHost:        conns,
			MaxIdleConns:           conns,
			MaxIdleConnsPerHost:    conns,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Reply is the whole answer to a call that ended with HTTP 200.
type Reply struct {
	Header http.Header
	Body   []byte
}

// Post makes one call, never two, and reads the whole answer. Its error is always a *Error: NotTaken when no byte of the
// body was handed to a connection, else by the HTTP status, else Unknown. The deadline is checked once more right before
// the body is written, so a process that was frozen in between sends no order.
func Post(ctx context.Context, client *http.Client, target, contentType string, content []byte) (Reply, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	sent := &sending{ctx: ctx, content: content}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, nil)
	if err != nil {
		return Reply{}, &Error{Class: Configuration, Code: CodeNotConnected, Err: errors.New("not a usable URL")}
	}
	request.Body, _ = sent.body()
	request.GetBody = sent.body
	request.ContentLength = int64(len(content))
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("User-Agent", "orderflow")
	response, err := client.Do(request)
	if err != nil {
		return Reply{}, exchangeError(err, sent.seal())
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if response.StatusCode != http.StatusOK {
		return Reply{}, statusError(response, time.Now())
	}
	if err != nil {
		return Reply{}, exchangeError(err, true)
	}
	if len(answer) > maxAnswer {
		return Reply{}, &Error{Class: Unknown, Code: CodeAnswerTooLong}
	}
	return Reply{Header: response.Header, Body: answer}, nil
}

// sending knows whether any byte of a call's content was handed to a connection.
type sending struct {
	ctx     context.Context // the transport reads without one
	content []byte
	mu      sync.Mutex
	begun   bool
	sealed  bool
}

// begin allows the content to be written, unless the deadline has passed or the call is over.
func (s *sending) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed {
		return context.Canceled
	}
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := s.ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	s.begun = true
	return nil
}

// seal tells whether anything may have been sent; if not, nothing ever will be.
func (s *sending) seal() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = true
	return s.begun
}

// body is one reading of the content. The transport may send the head before it asks for the body: a call without its body
// is cut off and can have no effect. It asks for a second reading only where nothing of the first was written.
func (s *sending) body() (io.ReadCloser, error) {
	return &body{sending: s, content: bytes.NewReader(s.content)}, nil
}

type body struct {
	sending *sending
	content *bytes.Reader
	begun   bool
}

func (b *body) Read(p []byte) (int, error) {
	if !b.begun {
		if err := b.sending.begin(); err != nil {
			return 0, err
		}
		b.begun = true
	}
	return b.content.Read(p)
}

func (b *body) Close() error { return nil }
