package partner

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// exchangeError classes a call that brought no answer.
func exchangeError(err error, sent bool) *Error {
	failed := &Error{Class: Unknown, Code: CodeCut, Err: errors.New("http exchange broken")}
	if !sent {
		failed.Class, failed.Code = NotTaken, CodeNotConnected
	}
	// Only known causes are kept: the transport's other texts quote the URL or what the partner sent.
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		failed.Err = dns
		return failed
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &Error{Class: Configuration, Code: CodeCertificate, Err: certificate}
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		failed.Err = errno
		if errno == syscall.ECONNREFUSED && !sent {
			failed.Code = CodeRefused
		}
		return failed
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		failed.Code, failed.Err = CodeCancelled, context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), ok && timeout.Timeout():
		failed.Code, failed.Err = CodeTimeout, context.DeadlineExceeded
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		failed.Err = io.ErrUnexpectedEOF
	}
	return failed
}

// statusError classes a status other than 200. Both partners answer 200 whatever they have to say, so another status comes
// from something in between, which may have passed the order on.
func statusError(response *http.Response, now time.Time) *Error {
	failed := &Error{
		Class:      Unknown,
		Code:       fmt.Sprintf("http-%d", response.StatusCode),
		RetryAfter: RetryAfter(response.Header, now),
	}
	switch status := response.StatusCode; {
	case status == http.StatusTooManyRequests:
		failed.Class = NotTaken
	case status == http.StatusRequestEntityTooLarge:
		failed.Class = TooLarge
	case status >= 300 && status < 400,
		status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		failed.Class = Configuration
	}
	return failed
}

// RetryAfter reads the header of that name: seconds or an HTTP date. It is 0 when there is none, it is unreadable or past.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if at, err := http.ParseTime(text); err == nil {
		return BoundRetryAfter(at.Sub(now))
	}
	seconds, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return BoundRetryAfter(time.Duration(seconds) * time.Second)
}

// BoundRetryAfter keeps a wish to wait between nothing and a day; workers clamp it further.
func BoundRetryAfter(d time.Duration) time.Duration { return min(max(d, 0), maxRetryAfter) }
